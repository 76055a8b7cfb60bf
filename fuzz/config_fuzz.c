/* Any bytes as what a decoder's settings are read from: config.json if they begin with a brace,
 * else a GGUF or llama2.c file. What is accepted has a table of weights, is written as both
 * kinds, and what of it is not read is named.
 */
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"
#include "model/family.h"
#include "model/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct model_config *c)
{
    struct err e;
    struct weight_table t = {0};
    struct gguf_pairs pairs = {0};
    if (c->layers < 100)
        weight_table_init(&t, c, &e);
    weight_table_fini(&t);
    config_to_gguf(c, DT_F32, &pairs, &e);
    gguf_pairs_fini(&pairs);
    json_decref(config_to_json(c, "float32"));
    json_decref(config_generation_json(c));
}

static void from_json(const char *text, size_t size)
{
    struct err e;
    struct model_config c;
    struct buf names = {0};
    json_t *j = json_read_text(text, size, "input", &e);
    if (j && !config_from_json(&c, j, j, &e)) {
        use(&c);
        config_unread(&c, j, &names, &e);
        config_dropout(j, &names, &e);
        json_decref(config_to_json_kept(&c, "float32", j));
    }
    config_generation_unread(j, &names, &e);
    buf_fini(&names);
    json_decref(j);
}

static void from_file(const uint8_t *data, size_t size)
{
    struct err e;
    struct model_config c;
    struct tensor_file f;
    if (!tensor_file_parse(&f, data, size, &e)) {
        struct buf names = {0};
        if (f.format == TENSOR_GGUF && !config_from_gguf(&c, &f, &e)) {
            use(&c);
            config_gguf_unread(&f, c.family->gguf, &names, &e);
        }
        buf_fini(&names);
        if (f.format == TENSOR_LLAMA2C && !config_from_llama2c(&c, &f, &e))
            use(&c);
    }
    tensor_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] == '{')
        from_json((const char *)data, size);
    else
        from_file(data, size);
    return 0;
}
