/* base/yaml: any bytes become a value or an error; a value can be written as JSON, and its
 * references end. */
#include "base/json.h"
#include "base/mem.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {.msg = ""};
    struct buf text = {0};
    json_t *v = yaml_read_text((const char *)data, size, "input", &e);
    BUG_ON(!v && !e.msg[0]);
    if (json_is_object(v))
        BUG_ON(json_write_buf(v, &text, JSON_COMPACT, &e));
    json_decref(v ? yaml_resolve(v, v, &e) : NULL);
    buf_fini(&text);
    json_decref(v);
    return 0;
}
