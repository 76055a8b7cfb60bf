/* base/json: what is read is written, and what is written reads back the same. */
#include "base/json.h"
#include "base/mem.h"

static void check_round_trip(const json_t *j, size_t flags)
{
    struct buf text = {0};
    struct err e;
    BUG_ON(json_write_buf(j, &text, flags, &e));
    json_t *back = json_read_text(text.data, text.len, "back", &e);
    BUG_ON(!back || !json_equal(j, back));
    json_decref(back);
    buf_fini(&text);
}

static void check_getters(const json_t *j)
{
    struct err e;
    int64_t i;
    double r;
    bool b;
    const char *s;
    int *ids, n;
    json_need_int(j, "a", 0, 9, &i, &e);
    json_opt_real(j, "a", &r, &e);
    json_opt_bool(j, "a", &b, &e);
    json_need_str(j, "a", &s, &e);
    if (!json_need_ids(j, "a", &ids, &n, &e))
        free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    json_t *j = json_read_text((const char *)data, size, "input", &e);
    if (!j)
        return 0;
    check_round_trip(j, JSON_LIKE_PYTHON);
    check_round_trip(j, JSON_COMPACT);
    check_getters(j);
    json_decref(j);
    return 0;
}
