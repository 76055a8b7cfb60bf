/* config.json of every family: what is refused and in which words, what missing keys and null mean,
 * and that what is written reads the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/config.h"
#include "model/family.h"
#include "tap.h"

/* The config.json of a golden model with the keys of `patch` put over it. */
static json_t *patched(const char *model, const char *patch)
{
    char name[128];
    struct err e;
    snprintf(name, sizeof name, "models/%s/config.json", model);
    char *path = test_data(name);
    json_t *j = path ? json_read_file(path, &e) : NULL;
    json_t *p = json_read_text(patch, strlen(patch), "patch", &e);
    if (!j || !p || json_object_update(j, p))
        note("%s", e.msg);
    json_decref(p);
    free(path);
    return j;
}

static const struct refusal {
    const char *model, *patch, *says;
} refusals[] = {
    {"llama", "{\"model_type\": \"mamba\", \"architectures\": [\"MambaForCausalLM\"]}",
     "architecture 'MambaForCausalLM' is not supported; supported: llama (LlamaForCausalLM), "},
    {"llama", "{\"model_type\": null, \"architectures\": null}",
     "config.json names no 'model_type' and no architecture"},
    {"llama", "{\"model_type\": \"mamba\", \"architectures\": null}",
     "architecture 'mamba' is not supported"},
    {"llama", "{\"hidden_size\": null}", "config.json: 'hidden_size' is missing"},
    {"llama", "{\"hidden_size\": \"64\"}",
     "config.json: 'hidden_size' must be an integer from 1 to 16777216, not \"64\""},
    {"llama", "{\"num_attention_heads\": 0}", "config.json: 'num_attention_heads' must be"},
    {"llama", "{\"num_key_value_heads\": 3}", "4 attention heads do not go with 3 key-value heads"},
    {"llama", "{\"head_dim\": 258}", "head dimension 258 is not in 1 to 256"},
    {"llama", "{\"head_dim\": 15}", "15 of a head's 15 numbers cannot be rotated"},
    {"gpt_neox", "{\"hidden_size\": 18}", "a width of 18 does not go with 4 heads of 4 numbers"},
    {"llama", "{\"eos_token_id\": [2, \"</s>\"]}",
     "config.json: 'eos_token_id' must be an id or a list of ids"},
    {"llama", "{\"eos_token_id\": 4294967298}", "config.json: 'eos_token_id' must be an id"},
    {"gemma2", "{\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]}",
     "'layer_types' must say full_attention for layer 1 in this family"},
    {"llama", "{\"hidden_act\": \"mish\"}", "config.json: activation 'mish' is not supported"},
    {"llama", "{\"rms_norm_eps\": 0}", "norm epsilon, attention scale, window or soft cap"},
    {"llama", "{\"rope_theta\": 0.5}", "rope base is out of range"},
    {"llama", "{\"rope_scaling\": {\"rope_type\": \"mrope\", \"factor\": 2}}",
     "config.json: rope scaling 'mrope' is not supported; supported: linear, dynamic, llama3, "
     "yarn"},
    {"llama", "{\"rope_scaling\": 4.0}",
     "config.json: 'rope_scaling' must be an object or null, not 4.0"},
    {"llama", "{\"rope_scaling\": {\"factor\": 4.0}}",
     "config.json: 'rope_scaling' names no 'rope_type': it is {\"factor\": 4.0}"},
    {"llama", "{\"rope_scaling\": {\"rope_type\": \"linear\", \"type\": null}}",
     "config.json: 'rope_scaling' names no 'rope_type'"},
    {"llama", "{\"rope_scaling\": {\"rope_type\": 3}}",
     "config.json: 'rope_type' of 'rope_scaling' must be a string, not 3"},
    {"llama", "{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}}",
     "config.json: 'rope_scaling' names no 'rope_type'"},
    {"llama", "{\"rope_parameters\": [1]}", "config.json: 'rope_scaling' must be an object"},
    {"llama", "{\"rope_scaling\": {\"type\": \"linear\"}}",
     "config.json: 'rope_scaling': 'factor' is missing"},
    {"llama", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": \"4\"}}",
     "config.json: 'rope_scaling': 'factor' must be a number, not \"4\""},
    {"llama", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}}",
     "rope scaling factor must be from 1 to a million, not 0.5"},
    {"llama", "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"beta_slow\": 40}}",
     "yarn scaling wants 'beta_fast' of at least 'beta_slow'"},
    {"llama", "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}}",
     "the checkpoint is quantised by gptq ('quantization_config' of config.json), which is not "},
    {"llama", "{\"quantization_config\": {\"load_in_8bit\": true}}",
     "the checkpoint is quantised by bitsandbytes"},
    {"llama", "{\"quantization\": {\"bits\": 4}, \"quantization_config\": {\"bits\": 4}}",
     "the checkpoint is quantised by mlx"},
    {"phi3_longrope", "{\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1]}}",
     "config.json: 'rope_scaling': 'short_factor' must be a list of 2 numbers"},
    {"phi3_longrope",
     "{\"rope_scaling\": {\"type\": \"su\", \"short_factor\": [1, 1], \"long_factor\": [1, 0]}}",
     "longrope scaling wants 2 positive factors"},
    {"phi", "{\"partial_rotary_factor\": 1.5}",
     "config.json: 'partial_rotary_factor' must be above 0 and at most 1"},
    {"phi", "{\"partial_rotary_factor\": 0.1}",
     "config.json: 'partial_rotary_factor' leaves nothing of a head to rotate"},
    {"phi", "{\"qk_layernorm\": true}", "config.json: 'qk_layernorm' true is not supported"},
    {"gemma2", "{\"query_pre_attn_scalar\": -1}",
     "config.json: 'query_pre_attn_scalar' must be positive"},
    {"gemma2", "{\"attn_logit_softcapping\": -5.0}", "norm epsilon, attention scale, window"},
    {"gpt2", "{\"scale_attn_by_inverse_layer_idx\": true}",
     "config.json: 'scale_attn_by_inverse_layer_idx' true is not supported"},
    {"opt", "{\"do_layer_norm_before\": false}",
     "config.json: 'do_layer_norm_before' false is not supported"},
    {"llama", "{\"num_hidden_layers\": 1025}", "a model of 1025 layers is too large"},
    {"llama", "{\"layer_types\": [\"full_attention\"]}",
     "'layer_types' must be a list of 3 entries"},
    {"gemma3_text", "{\"layer_types\": [\"full_attention\"]}",
     "config.json: 'layer_types' must be a list of 6 entries, one a layer"},
    {"gemma3_text",
     "{\"num_hidden_layers\": 2, \"layer_types\": [\"full_attention\", \"chunked_attention\"]}",
     "config.json: 'layer_types' says 'chunked_attention' for layer 1; supported: "
     "full_attention, "},
    {"gemma3_text", "{\"use_bidirectional_attention\": true}",
     "config.json: 'use_bidirectional_attention' true is not supported"},
    {"gemma3_text", "{\"rope_local_base_freq\": 0.5}", "rope base is out of range"},
    {"smollm3", "{\"no_rope_layers\": [1, 1, 1, 1, 2]}",
     "config.json: 'no_rope_layers' must be a list of 1 and 0; layer 4 has neither"},
    {"smollm3",
     "{\"num_hidden_layers\": 1, \"no_rope_layers\": [1], \"layer_types\": [\"sliding_"
     "attention\"]}",
     "config.json: 'layer_types' says sliding_attention for layer 0, and 'use_sliding_window'"},
    {"qwen3_moe", "{\"decoder_sparse_step\": 2}",
     "config.json: 'decoder_sparse_step' 2 is not supported, only 1"},
    {"qwen3_moe", "{\"mlp_only_layers\": [0]}", "config.json: 'mlp_only_layers' is not supported"},
    {"qwen3_moe", "{\"use_sliding_window\": true}",
     "config.json: 'use_sliding_window' true is not supported"},
    {"qwen3_moe", "{\"num_experts\": 2048}", "2048 experts a layer are too many"},
    {"qwen3_moe", "{\"num_experts\": 0}", "config.json: 'num_experts' must be"},
    {"mixtral", "{\"num_experts_per_tok\": 5}", "5 of 4 experts cannot be used for a token"},
    {"granite", "{\"residual_multiplier\": 0}",
     "config.json: 'residual_multiplier' must be positive"},
    {"opt", "{\"word_embed_proj_dim\": 8}",
     "config.json: 'word_embed_proj_dim' other than 'hidden_size' is not supported"},
};

static void check_refusals(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        struct model_config c;
        struct err e = {0};
        json_t *j = patched(r->model, r->patch);
        if (!ok(config_from_json(&c, j, NULL, &e) && !strncmp(e.msg, r->says, strlen(r->says)),
                "%s %s", r->model, r->patch))
            note("%s", e.msg);
        json_decref(j);
    }
}

/* Read, and written and read again. */
static bool read_twice(struct model_config *c, const char *model, const char *patch)
{
    struct model_config again;
    struct err e;
    json_t *j = patched(model, patch), *out = NULL, *same = NULL;
    bool fine = !config_from_json(c, j, NULL, &e) && (out = config_to_json(c, "float32")) &&
                !config_from_json(&again, out, NULL, &e) &&
                (same = config_to_json(&again, "float32")) && json_equal(out, same);
    if (!ok(fine, "%s %s: read, written, read again", model, patch))
        note("%s", e.msg);
    json_decref(j);
    json_decref(out);
    json_decref(same);
    return fine;
}

/* Keys that a checkpoint may lack, and what `transformers` takes them to be then. */
static void check_presets(void)
{
    struct model_config c;
    if (read_twice(&c, "gemma2",
                   "{\"head_dim\": null, \"sliding_window\": 4, \"hidden_act\": \"gelu\"}"))
        ok(c.head_dim == 256 && c.act == ACT_GELU_TANH, "gemma's heads and activation");
    if (read_twice(&c, "qwen3", "{\"head_dim\": null}"))
        ok(c.head_dim == 128, "qwen3's heads");
    if (read_twice(&c, "gpt_neox", "{\"hidden_act\": \"gelu_fast\"}"))
        ok(c.act == ACT_GELU_TANH, "GPT-NeoX-20B's activation");
}

/* Frequencies and the attention factor against transformers' (tools/make_rope_golden.py): the
 * tables' row of position 1 has their cosines and sines. */
static void check_frequencies(const json_t *row)
{
    const json_t *freqs = json_object_get(row, "inv_freq");
    const double factor = json_number_value(json_object_get(row, "attention_factor"));
    const char *model = json_string_value(json_object_get(row, "model"));
    const int half = (int)json_array_size(freqs);
    float cs[2 * OPS_MAX_HEAD], sn[2 * OPS_MAX_HEAD];
    struct model_config c;
    struct err e = {0};
    double worst = 0;
    char *patch = json_dumps(json_object_get(row, "patch"), JSON_SORT_KEYS);
    json_t *j = patched(model, patch);
    bool read = !config_from_json(&c, j, NULL, &e) && c.rope.rot == 2 * half;
    if (read)
        rope_tables(&c.rope, 2, false, cs, sn);
    for (int i = 0; read && i < half; i++) {
        double f = json_number_value(json_array_get(freqs, (size_t)i));
        worst = fmax(worst, fabs((double)cs[half + i] - cos(f) * factor));
        worst = fmax(worst, fabs((double)sn[half + i] / (sin(f) * factor) - 1));
    }
    if (!ok(read && worst < 1e-6, "%s %s: %d frequencies, off by %g", model, patch, half, worst))
        note("%s", e.msg);
    json_decref(j);
    free(patch);
}

static void check_rope(void)
{
    struct err e;
    char *path = test_data("rope.json");
    json_t *rows = path ? json_read_file(path, &e) : NULL, *row;
    size_t i;
    ok(json_array_size(rows) > 20, "figures of rope");
    json_array_foreach(rows, i, row) check_frequencies(row);
    json_decref(rows);
    free(path);
}

static void check_named(const char *model, const char *patch, const char *want)
{
    struct model_config c;
    struct err e = {0};
    struct buf names = {0};
    json_t *j = patched(model, patch);
    ok(!config_from_json(&c, j, NULL, &e) && !config_unread(&c, j, &names, &e) &&
           !strcmp(names.data ? names.data : "", want),
       "%s: not read: %s", model, names.len ? names.data : "nothing");
    buf_fini(&names);
    json_decref(j);
}

/* What is not read and may change numbers is named, in every family; what changes nothing is not.
 */
static void check_unread(void)
{
    static const char *const odd[][2] = {
        {"{\"logit_scale\": 1, \"residual_multiplier\": 1.0, \"attention_dropout\": 0.5, "
         "\"no_rope_layers\": null, \"use_mrope\": false, \"pruned_heads\": {}}",
         ""},
        {"{\"logit_scale\": 0.0625}", "'logit_scale' (0.0625)"},
        {"{\"repetition_penalty\": 1.5}", "'repetition_penalty' (1.5)"},
        {"{\"x_multiplier\": true, \"x_list\": [1, 2]}",
         "'x_multiplier' (true), 'x_list' ([1, 2])"},
    };
    for (const struct family *f = families; f->name; f++)
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
            check_named(f->name, odd[i][0], odd[i][1]);
    check_named("llama",
                "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0, \"beta_fast\": 32}}",
                "'rope_scaling.beta_fast' (32)");
    check_named("llama",
                "{\"max_position_embeddings\": 64, \"rope_scaling\": {\"type\": \"yarn\", "
                "\"factor\": 4, \"original_max_position_embeddings\": 32}}",
                "'rope_scaling.factor' (4)");
    check_named("qwen2", "{\"attention_bias\": true}", "'attention_bias' (true)");
}

static void check_dropout(void)
{
    struct err e;
    struct buf names = {0};
    json_t *j = patched("gpt2", "{\"resid_pdrop\": 0.1, \"attn_pdrop\": 0, \"embd_pdrop\": null}");
    ok(!config_dropout(j, &names, &e) && !strcmp(names.data, "'resid_pdrop' (0.1)"), "dropout: %s",
       names.data);
    buf_clear(&names);
    ok(!config_dropout(NULL, &names, &e) && !names.len, "no config.json");
    buf_fini(&names);
    json_decref(j);
}

static void check_generation_unread(void)
{
    static const char text[] =
        "{\"do_sample\": true, \"temperature\": 0.6, \"top_k\": 20, \"repetition_penalty\": 1.0, "
        "\"num_beams\": 4, \"suppress_tokens\": [7], \"bad_words_ids\": []}";
    struct err e;
    struct buf names = {0};
    json_t *j = json_read_text(text, sizeof text - 1, "text", &e);
    ok(!config_generation_unread(j, &names, &e) &&
           !strcmp(names.data, "'num_beams' (4), 'suppress_tokens' ([7])"),
       "generation_config.json: %s", names.data);
    buf_clear(&names);
    ok(!config_generation_unread(NULL, &names, &e) && !names.len, "no generation_config.json");
    buf_fini(&names);
    json_decref(j);
}

/* rope_parameters of transformers 5, and its list of layers. */
static void check_newer_files(void)
{
    struct model_config c;
    if (read_twice(&c, "phi",
                   "{\"rope_theta\": null, \"partial_rotary_factor\": null, \"rope_parameters\": "
                   "{\"rope_type\": \"linear\", \"factor\": 2.0, \"rope_theta\": 500.0, "
                   "\"partial_rotary_factor\": 1.0}}"))
        ok(c.rope.kind == ROPE_LINEAR && c.rope.factor == 2 && c.rope.base == 500 &&
               c.rope.rot == 4,
           "rope_parameters");
    if (read_twice(&c, "llama",
                   "{\"max_position_embeddings\": 512, \"rope_scaling\": {\"type\": \"yarn\", "
                   "\"factor\": 4, \"original_max_position_embeddings\": 128, \"mscale\": 1, "
                   "\"mscale_all_dim\": 0.5}}"))
        ok(c.rope.kind == ROPE_YARN && c.rope.original_positions == 128 && c.rope.magnitude > 1,
           "yarn");
    if (read_twice(&c, "llama", "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}}"))
        ok(c.rope.factor == 4 && c.rope.original_positions == c.positions, "yarn of no context");
    if (read_twice(&c, "mistral", "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}}"))
        ok(c.rope.kind == ROPE_DYNAMIC, "dynamic");
    if (read_twice(&c, "llama", "{\"rope_parameters\": {\"rope_theta\": 500.0}}"))
        ok(c.rope.kind == ROPE_PLAIN && c.rope.base == 500, "rope_parameters of no type");
    if (read_twice(&c, "gemma2", "{\"layer_types\": [\"sliding_attention\", \"full_attention\"]}"))
        ok(config_windowed(&c, 0) && !config_windowed(&c, 1), "layer_types");
    if (read_twice(&c, "phi3_longrope",
                   "{\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1], "
                   "\"long_factor\": [2, 2], \"attention_factor\": 1.5}}"))
        ok(c.rope.magnitude == 1.5, "a factor of attention that is given");
}

/* Weight decay: never of norms and biases; under compat what HF's trainer as of 4.45 does. */
static void check_decay(void)
{
    char *path = test_data("decay.json");
    struct err e = {.msg = ""};
    json_t *want = path ? json_read_file(path, &e) : NULL, *excluded;
    const char *model;
    free(path);
    ok(json_object_size(want) > 15, "figures of weight decay %s", e.msg);
    json_object_foreach(want, model, excluded)
    {
        struct model_config c;
        struct weight_table t = {0};
        json_t *j = patched(model, "{}");
        bool read = !config_from_json(&c, j, NULL, &e) && !weight_table_init(&t, &c, &e);
        int off = 0, vectors = 0, found = 0;
        for (int i = 0; i < t.n; i++)
            off += t.v[i].decay != (t.v[i].n_dims == 2);
        if (read)
            weight_table_decay_norms(&t, &c);
        for (int i = 0; i < t.n; i++) {
            size_t k;
            json_t *name;
            bool left_out = false;
            json_array_foreach(excluded, k, name) left_out |=
                !strcmp(json_string_value(name), t.v[i].name);
            off += t.v[i].decay == left_out;
            found += left_out;
            vectors += t.v[i].n_dims == 1;
        }
        ok(read && !off && found == (int)json_array_size(excluded),
           "%s: %d of %d vectors are not decayed under compat, as in transformers", model, found,
           vectors);
        weight_table_fini(&t);
        json_decref(j);
    }
    json_decref(want);
}

static bool flags_are(const struct model_config *c, enum layer_flag flag, const char *want)
{
    for (int l = 0; l < c->layers; l++)
        if (!(c->layer[l] & flag) != (want[l] == '-'))
            return false;
    return true;
}

/* Layers that differ, listed and by rule. */
static void check_layers(void)
{
    struct model_config c;
    if (read_twice(&c, "gemma3_text", "{\"layer_types\": null, \"sliding_window_pattern\": 3}"))
        ok(flags_are(&c, LAYER_WINDOW, "ww-ww-") && !config_layers_by_rule(&c), "a pattern");
    if (read_twice(&c, "gemma3_text", "{\"layer_types\": null}"))
        ok(flags_are(&c, LAYER_WINDOW, "wwwww-") && config_layers_by_rule(&c), "gemma3's pattern");
    if (read_twice(&c, "gemma3_text",
                   "{\"num_hidden_layers\": 3, \"sliding_window_pattern\": 3, \"layer_types\": "
                   "[\"full_attention\", \"sliding_attention\", \"full_attention\"]}"))
        ok(flags_are(&c, LAYER_WINDOW, "-w-"), "a list counts more than a pattern");
    if (read_twice(&c, "smollm3",
                   "{\"no_rope_layers\": null, \"layer_types\": null, "
                   "\"no_rope_layer_interval\": 2, \"use_sliding_window\": true, "
                   "\"sliding_window\": 3}"))
        ok(c.window == 3 && flags_are(&c, LAYER_NO_ROPE, "-n-n-") &&
               flags_are(&c, LAYER_WINDOW, "-w-w-"),
           "smollm3's window is in layers without rope");
    if (read_twice(&c, "smollm3", "{\"no_rope_layers\": [0, 1, 1, 1, 0]}"))
        ok(flags_are(&c, LAYER_NO_ROPE, "n---n"), "listed layers without rope");
    if (read_twice(&c, "olmo3", "{\"layer_types\": null}"))
        ok(flags_are(&c, LAYER_WINDOW, "www-w") && c.rope.local_base == c.rope.base,
           "olmo3's layers; its scaling is of those without a window");
    if (read_twice(
            &c, "gemma3_text",
            "{\"rope_theta\": null, \"rope_local_base_freq\": null, \"rope_scaling\": null, "
            "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", "
            "\"factor\": 4.0, \"rope_theta\": 500.0}, \"sliding_attention\": {\"rope_type\": "
            "\"default\", \"rope_theta\": 50.0}}}"))
        ok(c.rope.base == 500 && c.rope.local_base == 50 && c.rope.factor == 4,
           "rope_parameters of two kinds of layers");
    if (read_twice(&c, "olmo3", "{\"rope_scaling\": null}"))
        ok(c.rope.local_base == 0, "no scaling, one rope");
}

/* Where the text part of an image model leaves out what is usual. */
static void check_text_part(void)
{
    struct model_config c;
    if (read_twice(
            &c, "gemma3_text",
            "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], \"model_type\": "
            "\"gemma3\", \"eos_token_id\": [1, 106], \"text_config\": {\"hidden_size\": 2560, "
            "\"intermediate_size\": 10240, \"model_type\": \"gemma3_text\", "
            "\"num_hidden_layers\": 34, \"rope_scaling\": {\"factor\": 8.0, \"rope_type\": "
            "\"linear\"}, \"sliding_window\": 1024}}"))
        ok(c.heads == 8 && c.kv_heads == 4 && c.head_dim == 256 && c.vocab == 262208 &&
               c.positions == 131072 && c.layers == 34 && c.window == 1024 && c.n_eos == 2 &&
               c.rope.base == 1e6 && c.rope.local_base == 1e4 && c.rope.kind == ROPE_LINEAR &&
               c.tied_head && c.layer[33] & LAYER_WINDOW && !(c.layer[29] & LAYER_WINDOW),
           "the text part of an image model");
}

static void check_meanings(void)
{
    struct model_config c;
    if (read_twice(&c, "qwen3_moe", "{\"norm_topk_prob\": null, \"num_experts\": null}"))
        ok(c.experts == 128 && c.experts_used == 2 && !c.experts_norm && c.ff == 6 &&
               c.dense_ff == 20,
           "experts where nothing is said");
    if (read_twice(&c, "mixtral", "{\"num_experts_per_tok\": null, \"num_local_experts\": null}"))
        ok(c.experts == 8 && c.experts_used == 2 && c.experts_norm && c.ff == 8,
           "mixtral's experts");
    if (read_twice(&c, "mistral", "{\"sliding_window\": null}"))
        ok(c.window == 0, "null is no window");
    if (read_twice(&c, "mistral", "{}"))
        ok(c.window == 4 && config_windowed(&c, 0) && config_windowed(&c, 1),
           "a window in all layers");
    if (read_twice(&c, "gemma2", "{\"final_logit_softcapping\": null}"))
        ok(c.logit_softcap == 0 && c.attn_softcap == 5 && !config_windowed(&c, 1),
           "null is no cap");
    if (read_twice(&c, "qwen2",
                   "{\"use_sliding_window\": true, \"sliding_window\": 7, "
                   "\"max_window_layers\": 1}"))
        ok(c.window == 7 && !config_windowed(&c, 0) && config_windowed(&c, 1),
           "qwen's window starts at a layer");
    if (read_twice(&c, "qwen2", "{\"use_sliding_window\": false, \"sliding_window\": 7}"))
        ok(c.window == 0, "or nowhere");
    if (read_twice(&c, "gpt2", "{\"n_inner\": null}"))
        ok(c.ff == 4 * c.width, "GPT-2's MLP is four times as wide");
    if (read_twice(&c, "gpt_neox", "{\"rotary_pct\": 0.5, \"partial_rotary_factor\": null}"))
        ok(c.rope.rot == 2 && c.parallel, "the older name of the rotary part");
    if (read_twice(&c, "gemma", "{\"tie_word_embeddings\": null}"))
        ok(c.tied_head && c.norm_offset == 1, "gemma is tied where nothing is said");
    if (read_twice(&c, "phi3_longrope", "{}"))
        ok(c.rope.kind == ROPE_LONG && c.rope.original_positions == 8 && c.rope.magnitude > 1.29 &&
               c.rope.magnitude < 1.291, /* sqrt(1 + ln 4 / ln 8) */
           "longrope sharpens attention by %.6f", c.rope.magnitude);
    if (read_twice(&c, "llama3_tied", "{\"eos_token_id\": [2, 5]}"))
        ok(c.n_eos == 2 && c.eos[1] == 5 && c.rope.kind == ROPE_LLAMA3, "two ends, llama3 scaling");
}

int main(void)
{
    check_refusals();
    check_presets();
    check_decay();
    check_meanings();
    check_rope();
    check_unread();
    check_generation_unread();
    check_dropout();
    check_layers();
    check_text_part();
    check_newer_files();
    return done();
}
