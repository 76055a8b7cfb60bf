/* Any bytes as sisa.json; what is accepted is divided, and written and read again. */
#include "base/json.h"
#include "run/sharding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sharding l;
    struct err e;
    json_t *j = json_read_text((const char *)data, size, "input", &e);
    if (j && !sharding_parse(&l, j, &e)) {
        int left = 0, end = 0;
        for (int k = 0; k < l.shards; k++) {
            const struct positions s = sharding_shard(&l, k);
            BUG_ON(s.first != end || s.end <= s.first || s.end > l.n);
            BUG_ON(sharding_slices(&l, k, l.slices - 1).end != s.end);
            left += sharding_left(&l, s);
            end = s.end;
        }
        BUG_ON(end != l.n || left != sharding_left(&l, (struct positions){0, l.n}));
        sharding_delete(&l, l.row[0], &e);
        BUG_ON(!l.deleted[0]);
        sharding_fini(&l);
    }
    json_decref(j);
    return 0;
}
