/* config.json of every family: what is refused and in which words, what missing keys and null mean,
 * and that what is written reads the same.
 */
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
    {"llama", "{\"architectures\": [\"MambaForCausalLM\"]}",
     "architecture 'MambaForCausalLM' is not supported; supported: llama (LlamaForCausalLM), "},
    {"llama", "{\"architectures\": null}", "config.json names no architecture"},
    {"llama", "{\"hidden_size\": null}", "config.json: 'hidden_size' is missing"},
    {"llama", "{\"hidden_size\": \"64\"}",
     "config.json: 'hidden_size' must be an integer from 1 to 16777216, not \"64\""},
    {"llama", "{\"num_attention_heads\": 0}", "config.json: 'num_attention_heads' must be"},
    {"llama", "{\"num_key_value_heads\": 3}", "4 attention heads do not go with 3 key-value heads"},
    {"llama", "{\"head_dim\": 258}", "head dimension 258 is not in 1 to 256"},
    {"llama", "{\"head_dim\": 15}", "15 of a head's 15 numbers cannot be rotated"},
    {"qwen2", "{\"hidden_size\": 18}", "a width of 18 does not go with 4 heads of 4 numbers"},
    {"llama", "{\"eos_token_id\": [2, \"</s>\"]}",
     "config.json: 'eos_token_id' must be an id or a list of ids"},
    {"llama", "{\"eos_token_id\": 4294967298}", "config.json: 'eos_token_id' must be an id"},
    {"gemma2", "{\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]}",
     "'layer_types' must say full_attention for layer 1 in this family"},
    {"llama", "{\"hidden_act\": \"mish\"}", "config.json: activation 'mish' is not supported"},
    {"llama", "{\"rms_norm_eps\": 0}", "norm epsilon, attention scale, window or soft cap"},
    {"llama", "{\"rope_theta\": 0.5}", "rope base is out of range"},
    {"llama", "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}}",
     "config.json: rope scaling 'yarn' is not supported; supported: linear, llama3, longrope"},
    {"llama", "{\"rope_scaling\": {\"type\": \"linear\"}}", "config.json: 'factor' is missing"},
    {"llama", "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}}",
     "rope scaling factor must be at least 1"},
    {"phi3_longrope", "{\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1]}}",
     "config.json: 'short_factor' must be a list of 2 numbers"},
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
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            struct model_config c;
            struct err e = {0};
            struct buf names = {0};
            json_t *j = patched(f->name, odd[i][0]);
            ok(!config_from_json(&c, j, NULL, &e) && !config_unread(&c, j, &names, &e) &&
                   !strcmp(names.data ? names.data : "", odd[i][1]),
               "%s: not read: %s", f->name, names.len ? names.data : "nothing");
            buf_fini(&names);
            json_decref(j);
        }
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
    if (read_twice(&c, "gemma2", "{\"layer_types\": [\"sliding_attention\", \"full_attention\"]}"))
        ok(config_windowed(&c, 0) && !config_windowed(&c, 1), "layer_types");
    if (read_twice(&c, "phi3_longrope",
                   "{\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1, 1], "
                   "\"long_factor\": [2, 2], \"attention_factor\": 1.5}}"))
        ok(c.rope.magnitude == 1.5, "a factor of attention that is given");
}

static void check_meanings(void)
{
    struct model_config c;
    if (read_twice(&c, "mistral", "{\"sliding_window\": null}"))
        ok(c.window == 0, "null is no window");
    if (read_twice(&c, "mistral", "{}"))
        ok(c.window == 4 && c.window_first == 0 && c.window_step == 1, "a window in all layers");
    if (read_twice(&c, "gemma2", "{\"final_logit_softcapping\": null}"))
        ok(c.logit_softcap == 0 && c.attn_softcap == 5 && c.window_step == 2, "null is no cap");
    if (read_twice(&c, "qwen2",
                   "{\"use_sliding_window\": true, \"sliding_window\": 7, "
                   "\"max_window_layers\": 1}"))
        ok(c.window == 7 && c.window_first == 1, "qwen's window starts at a layer");
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
    check_meanings();
    check_unread();
    check_generation_unread();
    check_newer_files();
    return done();
}
