/* Reading adapter_config.json. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/adapter.h"

/* --- keys --- */

enum key_kind { READ, NO_MATTER, REFUSED };

/* Every key that PEFT 0.15.2 writes, and those of later versions that change numbers. What they do
 * while an adapter is trained does not matter when it is merged. */
static const struct key {
    const char *name;
    enum key_kind kind;
    const char *why;
} keys[] = {
    {"peft_type", READ, NULL},
    {"r", READ, NULL},
    {"lora_alpha", READ, NULL},
    {"use_rslora", READ, NULL},
    {"use_dora", READ, NULL},
    {"lora_bias", READ, NULL},
    {"bias", READ, NULL},
    {"init_lora_weights", READ, NULL},
    {"target_modules", READ, NULL},
    {"exclude_modules", READ, NULL},
    {"layers_to_transform", READ, NULL},
    {"layers_pattern", READ, NULL},
    {"rank_pattern", READ, NULL},
    {"alpha_pattern", READ, NULL},
    {"modules_to_save", READ, NULL},
    {"trainable_token_indices", READ, NULL},
    {"alora_invocation_tokens", REFUSED,
     "it acts on a part of each text only, so cannot be merged"},
    {"arrow_config", REFUSED, "it chooses between adapters for every token, so cannot be merged"},
    {"layer_replication", REFUSED, "it adds layers; merge it with PEFT and give the merged model"},
    {"megatron_config", REFUSED, "its layers are Megatron's"},
    {"target_parameters", REFUSED, "adapters of parameters that are no module are not read"},
    {"use_qalora", REFUSED, "its inputs are pooled in groups, so that it is no plain A and B"},
    {"auto_mapping", NO_MATTER, NULL},
    {"base_model_name_or_path", NO_MATTER, NULL},
    {"corda_config", NO_MATTER, NULL},
    {"ensure_weight_tying", NO_MATTER, NULL},
    {"eva_config", NO_MATTER, NULL},
    {"fan_in_fan_out", NO_MATTER, NULL}, /* PEFT goes by the class of the layer */
    {"inference_mode", NO_MATTER, NULL},
    {"loftq_config", NO_MATTER, NULL},
    {"lora_dropout", NO_MATTER, NULL},
    {"megatron_core", NO_MATTER, NULL},
    {"peft_version", NO_MATTER, NULL},
    {"qalora_group_size", NO_MATTER, NULL},
    {"revision", NO_MATTER, NULL},
    {"runtime_config", NO_MATTER, NULL},
    {"task_type", NO_MATTER, NULL},
};

/* The start of an init_lora_weights, and what PEFT does when it loads such an adapter. */
static const struct init {
    const char *name;
    bool whole; /* not the start: all of it */
    enum adapter_init init;
    const char *why; /* refused */
} inits[] = {
    {"gaussian", true, ADAPTER_NO_PART, NULL},
    {"eva", true, ADAPTER_NO_PART, NULL},
    {"orthogonal", true, ADAPTER_NO_PART, NULL},
    {"pissa", true, ADAPTER_PISSA, NULL},
    {"olora", true, ADAPTER_OLORA, NULL},
    {"pissa_niter_", false, ADAPTER_NO_PART,
     "PEFT takes a part of each weight that a random method finds; save the adapter with "
     "path_initial_model_for_weight_conversion"},
    {"corda", false, ADAPTER_NO_PART,
     "PEFT takes a part of each weight that depends on data; save the adapter with "
     "path_initial_model_for_weight_conversion"},
    {"loftq", true, ADAPTER_NO_PART,
     "PEFT rounds each weight to few bits; give the rounded model, and set the key to true"},
};

static const char *type_of(const json_t *v)
{
    static const char *const names[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    return names[json_typeof(v)];
}

static bool is_set(const json_t *v)
{
    return json_is_true(v) || json_object_size(v) || json_array_size(v) || json_string_length(v) ||
           (json_is_number(v) && json_number_value(v) != 0);
}

static int check_keys(const json_t *j, struct err *e)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)j, name, v)
    {
        const struct key *k = NULL;
        for (size_t i = 0; i < sizeof keys / sizeof *keys && !k; i++)
            k = strcmp(keys[i].name, name) ? NULL : &keys[i];
        if (k && k->kind == REFUSED && is_set(v))
            return err_set(e, "'%s' is not supported: %s", name, k->why);
        if (!k && is_set(v))
            log_warn("adapter_config.json: '%.100s' is not known and has no effect", name);
    }
    return 0;
}

static int read_type(const json_t *j, struct err *e)
{
    const char *type;
    if (json_object_get(j, "lora_parameters") && !json_object_get(j, "peft_type"))
        return err_set(e, "'lora_parameters' without 'peft_type': this adapter is MLX's; only "
                          "PEFT's are read");
    if (json_need_str(j, "peft_type", &type, e))
        return -1;
    return strcmp(type, "LORA") ? err_set(e, "'peft_type' is '%s'; only LORA is supported", type)
                                : 0;
}

static int read_bias(const json_t *j, struct err *e)
{
    const char *bias = "none"; /* biases that were trained are tensors of the file */
    if (json_opt_str(j, "bias", &bias, e))
        return -1;
    return strcmp(bias, "none") && strcmp(bias, "all") && strcmp(bias, "lora_only")
               ? err_set(e, "'bias' is '%s'; it must be none, all or lora_only", bias)
               : 0;
}

static int read_init(struct adapter_config *c, struct err *e)
{
    const json_t *v = json_object_get(c->json, "init_lora_weights");
    if (!v || json_is_boolean(v) || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return err_set(e, "'init_lora_weights' must be a string, true or false, not %s",
                       type_of(v));
    const char *s = json_string_value(v);
    for (size_t i = 0; i < sizeof inits / sizeof *inits; i++) {
        const struct init *k = &inits[i];
        if (k->whole ? strcmp(s, k->name) : strncmp(s, k->name, strlen(k->name)))
            continue;
        c->init = k->init;
        return k->why ? err_set(e, "'init_lora_weights' is '%.40s': %s", s, k->why) : 0;
    }
    return err_set(e,
                   "'init_lora_weights' is '%.40s', which is not known: true, false, gaussian, "
                   "eva, orthogonal, pissa and olora are",
                   s);
}

/* A rank or an alpha. */
static int check_number(const json_t *v, const char *key, bool is_rank, struct err *e)
{
    const char *wanted = is_rank ? "an integer from 1 to 65536" : "a number from 0 on";
    double x = json_number_value(v);
    if (!(is_rank ? json_is_integer(v) : json_is_number(v)))
        return err_set(e, "'%.100s' is %s; it must be %s", key,
                       json_is_null(v) ? "null or NaN" : type_of(v), wanted);
    bool fine = is_rank ? x >= 1 && x <= 65536 : x >= 0 && isfinite((float)x);
    return fine ? 0 : err_set(e, "'%.100s' is %g; it must be %s", key, x, wanted);
}

/* --- lists and patterns --- */

/* NULL in *list if the key is missing or null. */
static int get_list(const json_t *j, const char *key, const json_t **list, struct err *e)
{
    const json_t *v = json_object_get(j, key);
    *list = NULL;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_array(v))
        return err_set(e, "'%s' must be an array of strings, not %s", key, type_of(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return err_set(e, "'%s' must be an array of strings; it holds %s", key,
                           type_of(json_array_get(v, i)));
    *list = v;
    return 0;
}

static int read_names(const json_t *j, const char *key, struct adapter_names *names, struct err *e)
{
    const json_t *v = json_object_get(j, key);
    if (!json_is_string(v))
        return get_list(j, key, &names->list, e);
    const char *s = json_string_value(v);
    if ((names->all_linear = !strcasecmp(s, "all-linear")) || !*s)
        return 0;
    return pattern_init(&names->pattern, s, PATTERN_WHOLE, e)
               ? err_prefix(e, "'%s', '%.100s': ", key, s)
               : 0;
}

/* `pattern` between two texts, as PEFT compiles it. */
static int init_between(struct pattern *p, const char *before, const char *pattern,
                        const char *after, struct err *e)
{
    struct buf text = {0};
    int rc = buf_printf(&text, e, "%s%s%s", before, pattern, after) ||
             pattern_init(p, text.data, PCRE2_ANCHORED, e);
    buf_fini(&text);
    return rc ? err_prefix(e, "'%.100s': ", pattern) : 0;
}

static int read_numbers(const json_t *j, const char *key, struct adapter_numbers *to, bool ranks,
                        struct err *e)
{
    json_t *all = json_object_get(j, key), *v;
    const char *pattern;
    if (!all || json_is_null(all))
        return 0;
    if (!json_is_object(all))
        return err_set(e, "'%s' must be an object, not %s", key, type_of(all));
    size_t n = json_object_size(all);
    if (!(to->patterns = mem_alloc(n, sizeof *to->patterns, e)) ||
        !(to->values = mem_alloc(n, sizeof *to->values, e)))
        return -1;
    json_object_foreach(all, pattern, v)
    {
        if (check_number(v, pattern, ranks, e) ||
            init_between(&to->patterns[to->n++], "(.*\\.)?(", pattern, ")$", e))
            return err_prefix(e, "'%s': ", key);
        to->values[to->n - 1] = json_number_value(v);
    }
    return 0;
}

/* layers_to_transform, which go with a list of targets, and how a name tells its layer. */
static int read_layers(struct adapter_config *c, struct err *e)
{
    const json_t *v = json_object_get(c->json, "layers_to_transform"),
                 *by = json_object_get(c->json, "layers_pattern"), *list = NULL;
    bool one = json_is_string(by);
    if (!v || json_is_null(v) || (json_is_array(v) && !json_array_size(v)))
        return 0;
    bool numbers = json_is_integer(v) || json_is_array(v);
    for (size_t i = 0; i < json_array_size(v); i++)
        numbers = numbers && json_is_integer(json_array_get(v, i));
    if (!numbers)
        return err_set(e, "'layers_to_transform' must be an integer or an array of integers");
    if (json_is_string(json_object_get(c->json, "target_modules")))
        return err_set(e, "'layers_to_transform' goes with a list of 'target_modules' only");
    if (!one && get_list(c->json, "layers_pattern", &list, e))
        return -1;
    c->layers = v;
    size_t n = one ? json_string_length(by) > 0 : json_array_size(list);
    if (!(c->layer_numbers = mem_alloc(n ? n : 1, sizeof *c->layer_numbers, e)))
        return -1;
    for (size_t i = 0; i < (n ? n : 1); i++) {
        const char *s = !n ? "[^.]*" : json_string_value(one ? by : json_array_get(list, i));
        if (init_between(&c->layer_numbers[c->n_layer_numbers++], ".*\\.", s, "\\.(\\d+)\\.", e))
            return err_prefix(e, "'layers_pattern', ");
    }
    return 0;
}

/* --- the whole --- */

static int read_all(struct adapter_config *c, struct err *e)
{
    const json_t *j = c->json, *alpha = json_object_get(j, "lora_alpha"),
                 *tokens = json_object_get(j, "trainable_token_indices");
    if (!json_is_object(j))
        return err_set(e, "it holds %s, not an object", type_of(j));
    if (read_type(j, e) || check_keys(j, e) || read_bias(j, e) || read_init(c, e) ||
        json_need_int(j, "r", 1, 1 << 16, &c->rank, e) ||
        (alpha && check_number(alpha, "lora_alpha", false, e)) ||
        json_opt_real(j, "lora_alpha", &c->alpha, e) ||
        json_opt_bool(j, "use_rslora", &c->rslora, e) ||
        json_opt_bool(j, "use_dora", &c->dora, e) || json_opt_bool(j, "lora_bias", &c->bias, e) ||
        read_names(j, "target_modules", &c->targets, e) ||
        read_names(j, "exclude_modules", &c->excluded, e) ||
        get_list(j, "modules_to_save", &c->saved, e) || read_layers(c, e) ||
        read_numbers(j, "rank_pattern", &c->ranks, true, e) ||
        read_numbers(j, "alpha_pattern", &c->alphas, false, e))
        return -1;
    if (c->bias && (c->dora || c->init))
        return err_set(e, "'lora_bias' cannot go with %s",
                       c->dora ? "'use_dora'" : "this 'init_lora_weights'");
    if (tokens && !json_is_null(tokens) && !json_is_array(tokens) && !json_is_object(tokens))
        return err_set(e, "'trainable_token_indices' must be an array or an object, not %s",
                       type_of(tokens));
    return 0;
}

int adapter_config_parse(struct adapter_config *c, json_t *json, struct err *e)
{
    *c = (struct adapter_config){.json = json, .alpha = 8};
    return read_all(c, e);
}

int adapter_config_read(struct adapter_config *c, const char *path, struct err *e)
{
    *c = (struct adapter_config){0};
    json_t *j = json_read_file(path, e);
    return !j ? -1 : adapter_config_parse(c, j, e) ? err_prefix(e, "adapter_config.json: ") : 0;
}

void adapter_config_fini(struct adapter_config *c)
{
    struct adapter_numbers *numbers[] = {&c->ranks, &c->alphas};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < numbers[k]->n; i++)
            pattern_fini(&numbers[k]->patterns[i]);
        free(numbers[k]->patterns);
        free(numbers[k]->values);
    }
    for (int i = 0; i < c->n_layer_numbers; i++)
        pattern_fini(&c->layer_numbers[i]);
    free(c->layer_numbers);
    pattern_fini(&c->targets.pattern);
    pattern_fini(&c->excluded.pattern);
    json_decref(c->json);
    *c = (struct adapter_config){0};
}
