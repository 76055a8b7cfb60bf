#include "model/fingerprint.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"

/* Takes the reference. */
static int add_json(uint64_t *h, json_t *j, struct err *e)
{
    struct buf b = {0};
    int rc = j ? json_write_buf(j, &b, JSON_SORT_KEYS, e) : err_no_memory(e, "model");
    if (!rc)
        *h = hash_bytes(*h, b.data, b.len);
    buf_fini(&b);
    json_decref(j);
    return rc;
}

int model_fingerprint(const struct model *m, uint64_t *out, struct err *e)
{
    const int n = m->table.n;
    uint64_t h = HASH_START, *each = mem_alloc((size_t)n, sizeof *each, e);
    int rc = !each || add_json(&h, config_to_json(&m->cfg, "float32"), e) ||
                     add_json(&h, config_generation_json(&m->cfg), e)
                 ? -1
                 : 0;
    if (!rc) {
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < n; i++) {
            const size_t count = m->table.v[i].count;
            each[i] =
                hash_bytes(HASH_START, m->ops->map_read(m->w[i], count), count * sizeof(float));
            m->ops->unmap(m->w[i]);
        }
        *out = hash_bytes(h, each, (size_t)n * sizeof *each);
    }
    free(each);
    return rc;
}
