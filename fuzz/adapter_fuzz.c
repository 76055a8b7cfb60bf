/* Any bytes as adapter_config.json, read for a small model with biases; what is accepted is asked
 * about every weight. Bytes after a zero byte are adapter_model.safetensors.
 */
#include <string.h>

#include "model/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char qwen2[] =
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", \"hidden_size\": 8, "
    "\"intermediate_size\": 12, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "
    "\"num_hidden_layers\": 2, \"vocab_size\": 10, \"max_position_embeddings\": 16, "
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", "
    "\"tie_word_embeddings\": true}";

static void ask(const struct adapter_config *c, const struct weight_table *t)
{
    struct err e;
    for (int i = 0; i < t->n; i++) {
        bool yes;
        int rank;
        double scale;
        if (adapter_config_targets(c, &t->v[i], &yes, &e) ||
            adapter_config_scale(c, &t->v[i], &rank, &scale, &e))
            return;
        BUG_ON(rank < 1 || rank > 1 << 16 || !(scale >= 0));
        adapter_config_saves(c, &t->v[i]);
        adapter_config_tokens(c, &t->v[i]);
    }
}

static int open_model(struct model *m)
{
    struct err e;
    *m = (struct model){0};
    json_t *j = json_read_text(qwen2, strlen(qwen2), "qwen2", &e);
    int rc = config_from_json(&m->cfg, j, NULL, &e);
    json_decref(j);
    return rc || weight_table_init(&m->table, &m->cfg, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    struct model m;
    struct adapter_file f = {0};
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - data) : size;
    BUG_ON(open_model(&m));
    json_t *j = json_read_text((const char *)data, n, "input", &e);
    if (j && !adapter_config_parse(&f.config, j, &e)) {
        ask(&f.config, &m.table);
        if (zero && !tensor_file_parse(&f.tensors, zero + 1, size - n - 1, &e))
            adapter_place(&f, &m, &e);
    }
    adapter_close(&f);
    weight_table_fini(&m.table);
    return 0;
}
