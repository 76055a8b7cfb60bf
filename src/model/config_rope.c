/* The key rope_scaling of config.json. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"
#include "model/family.h"
#include "model/config.h"

enum { MAX_DIM = 1 << 24 };

static int read_linear(struct model_config *c, const json_t *s, struct err *e)
{
    c->rope.kind = ROPE_LINEAR;
    return json_need_real(s, "factor", &c->rope.factor, e);
}

static int read_llama3(struct model_config *c, const json_t *s, struct err *e)
{
    struct rope_config *r = &c->rope;
    int64_t original;
    r->kind = ROPE_LLAMA3;
    if (json_need_real(s, "factor", &r->factor, e) ||
        json_need_real(s, "low_freq_factor", &r->low_freq, e) ||
        json_need_real(s, "high_freq_factor", &r->high_freq, e) ||
        json_need_int(s, "original_max_position_embeddings", 1, MAX_DIM, &original, e))
        return -1;
    r->original_positions = (int)original;
    return 0;
}

static int read_factors(double *out, const json_t *s, const char *name, int n, struct err *e)
{
    const json_t *list = json_object_get(s, name);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n || n > OPS_MAX_HEAD / 2)
        return err_set(e, "'%s' must be a list of %d numbers", name, n);
    for (int i = 0; i < n; i++)
        out[i] = json_number_value(json_array_get(list, (size_t)i));
    return 0;
}

/* Attention is sharpened as the context grows: cosines and sines are multiplied by sqrt(1 + ln s /
 * ln T0), s the growth of the context. */
static double longrope_magnitude(const struct model_config *c)
{
    double original = c->rope.original_positions, growth = c->positions / original;
    return growth > 1 ? sqrt(1 + log(growth) / log(original)) : 1;
}

static int read_longrope(struct model_config *c, const json_t *s, struct err *e)
{
    struct rope_config *r = &c->rope;
    int d = c->head_dim ? c->head_dim : c->width / c->heads, rot = r->rot ? r->rot : d;
    int64_t original = r->original_positions;
    if (read_factors(r->short_factor, s, "short_factor", rot / 2, e) ||
        read_factors(r->long_factor, s, "long_factor", rot / 2, e) ||
        json_opt_int(s, "original_max_position_embeddings", 2, MAX_DIM, &original, e))
        return -1;
    if (original < 2)
        return err_set(e, "longrope scaling wants 'original_max_position_embeddings'");
    r->kind = ROPE_LONG;
    r->original_positions = (int)original;
    r->magnitude = longrope_magnitude(c);
    return json_opt_real(s, "attention_factor", &r->magnitude, e);
}

/* Its factor is not needed for sequences of up to `positions` tokens; it is kept for saving. */
static int read_dynamic(struct model_config *c, const json_t *s, struct err *e)
{
    c->rope.kind = ROPE_DYNAMIC;
    return json_need_real(s, "factor", &c->rope.factor, e);
}

/* A context before scaling, where one is named, makes the factor, whatever 'factor' is. */
static int read_yarn(struct model_config *c, const json_t *s, struct err *e)
{
    struct rope_config *r = &c->rope;
    int64_t original = 0;
    double scale = 0, scale_all = 0;
    bool whole = true;
    r->kind = ROPE_YARN;
    r->beta_fast = 32;
    r->beta_slow = 1;
    if (json_need_real(s, "factor", &r->factor, e) ||
        json_opt_real(s, "beta_fast", &r->beta_fast, e) ||
        json_opt_real(s, "beta_slow", &r->beta_slow, e) || json_opt_real(s, "mscale", &scale, e) ||
        json_opt_real(s, "mscale_all_dim", &scale_all, e) ||
        json_opt_bool(s, "truncate", &whole, e) ||
        json_opt_int(s, "original_max_position_embeddings", 1, MAX_DIM, &original, e))
        return -1;
    if (!whole)
        return err_set(e, "'truncate' false of yarn scaling is not supported");
    r->original_positions = original ? (int)original : c->positions;
    if (original)
        r->factor = c->positions / (double)original;
    r->magnitude = scale != 0 && scale_all != 0 ? rope_yarn_magnitude(r->factor, scale) /
                                                      rope_yarn_magnitude(r->factor, scale_all)
                                                : rope_yarn_magnitude(r->factor, 1);
    return json_opt_real(s, "attention_factor", &r->magnitude, e);
}

#define LONG_KEYS "short_factor long_factor attention_factor original_max_position_embeddings"
static const struct scaling {
    const char *name;
    int (*read)(struct model_config *c, const json_t *s, struct err *e);
    const char *keys; /* that it reads, besides the type */
} scalings[] = {
    {"linear", read_linear, "factor"},
    {"dynamic", read_dynamic, "factor"},
    {"llama3", read_llama3,
     "factor low_freq_factor high_freq_factor original_max_position_embeddings"},
    {"yarn", read_yarn,
     "factor attention_factor beta_fast beta_slow original_max_position_embeddings mscale "
     "mscale_all_dim truncate"},
    {"longrope", read_longrope, LONG_KEYS},
    {"su", read_longrope, LONG_KEYS},
    {"default", NULL, ""},
    {NULL, NULL, NULL},
};

/* The type goes under two names. Where a file has both, the class of the family in transformers
 * copies 'type' over 'rope_type' (preset 1), or its rotation asks for 'rope_type' first (0). */
static const json_t *type_of(const json_t *s, bool type_first)
{
    const json_t *old = json_object_get(s, "type"), *new = json_object_get(s, "rope_type");
    return (type_first && old) || !new ? old : new;
}

static int find_scaling(const json_t *s, bool type_first, const struct scaling **out, struct err *e)
{
    char shown[JSON_BRIEF];
    const json_t *type = type_of(s, type_first);
    if (!json_is_object(s))
        return err_set(e, "'rope_scaling' must be an object or null, not %s", json_brief(s, shown));
    if (!type || json_is_null(type))
        return err_set(e, "'rope_scaling' names no 'rope_type': it is %s", json_brief(s, shown));
    if (!json_is_string(type))
        return err_set(e, "'rope_type' of 'rope_scaling' must be a string, not %s",
                       json_brief(type, shown));
    for (*out = scalings; (*out)->name; ++*out)
        if (!strcmp((*out)->name, json_string_value(type)))
            return 0;
    return err_set(e,
                   "rope scaling '%.40s' is not supported; supported: linear, dynamic, llama3, "
                   "yarn, longrope",
                   json_string_value(type));
}

static int read_rope_scaling(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e)
{
    const json_t *s = json_object_get(config, k->name);
    const struct scaling *kind;
    if (!s || json_is_null(s))
        return 0;
    if (find_scaling(s, k->preset != 0, &kind, e))
        return -1;
    return kind->read && kind->read(c, s, e) ? err_prefix(e, "'rope_scaling': ") : 0;
}

/* Scaling that layers of the window are without: they rotate by the same theta. */
static int read_full_scaling(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e)
{
    if (read_rope_scaling(c, config, k, e))
        return -1;
    c->rope.local_base = c->rope.kind == ROPE_PLAIN ? 0 : c->rope.base;
    return 0;
}

static json_t *factors_json(const double *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

/* Phi-3 takes no further key, and needs none: a GGUF's factor may be another, up to rounding. */
static json_t *longrope_to_json(const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    json_t *j = json_pack("{s:s, s:o, s:o}", "type", "longrope", "short_factor",
                          factors_json(r->short_factor, r->rot / 2), "long_factor",
                          factors_json(r->long_factor, r->rot / 2));
    if (fabs(r->magnitude - longrope_magnitude(c)) > 1e-6)
        json_object_set_new(j, "attention_factor", json_real(r->magnitude));
    return j;
}

/* Where the context before scaling made the factor, it makes it again. */
static json_t *yarn_to_json(const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    json_t *j = json_pack("{s:s, s:f, s:f, s:f}", "rope_type", "yarn", "factor", r->factor,
                          "beta_fast", r->beta_fast, "beta_slow", r->beta_slow);
    if (fabs(r->magnitude - rope_yarn_magnitude(r->factor, 1)) > 1e-6)
        json_object_set_new(j, "attention_factor", json_real(r->magnitude));
    if (r->factor == c->positions / (double)r->original_positions)
        json_object_set_new(j, "original_max_position_embeddings",
                            json_integer(r->original_positions));
    return j;
}

static json_t *write_rope_scaling(const struct model_config *c, const struct config_key *k)
{
    const struct rope_config *r = &c->rope;
    (void)k;
    switch (r->kind) {
    case ROPE_PLAIN:
        break;
    case ROPE_LINEAR:
        return json_pack("{s:s, s:f}", "rope_type", "linear", "factor", r->factor);
    case ROPE_DYNAMIC:
        return json_pack("{s:s, s:f}", "rope_type", "dynamic", "factor", r->factor);
    case ROPE_YARN:
        return yarn_to_json(c);
    case ROPE_LLAMA3:
        return json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", r->factor,
                         "low_freq_factor", r->low_freq, "high_freq_factor", r->high_freq,
                         "original_max_position_embeddings", r->original_positions);
    case ROPE_LONG:
        return longrope_to_json(c);
    }
    return json_null();
}

const struct config_kind kind_rope_scaling = {read_rope_scaling, write_rope_scaling};
const struct config_kind kind_full_scaling = {read_full_scaling, write_rope_scaling};

static bool has_word(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (!at[n] || at[n] == ' '))
            return true;
    return false;
}

int config_rope_unread(const struct model_config *c, const json_t *scaling, struct buf *names,
                       struct err *e)
{
    const struct config_key *k = c->family->keys;
    const struct scaling *kind;
    struct err ignored;
    const char *key;
    json_t *v;
    while (k->name && k->kind != &kind_rope_scaling && k->kind != &kind_full_scaling)
        k++;
    if (!k->name || !json_is_object(scaling) ||
        find_scaling(scaling, k->preset != 0, &kind, &ignored))
        return 0;
    json_object_foreach((json_t *)scaling, key, v)
    {
        bool read = has_word("type rope_type rope_theta partial_rotary_factor", key) ||
                    has_word(kind->keys, key);
        if (c->rope.kind == ROPE_YARN && !strcmp(key, "factor"))
            read = fabs(json_number_value(v) - c->rope.factor) < 1e-6 * c->rope.factor;
        if (!read && !json_is_null(v) &&
            buf_printf(names, e, "%s'rope_scaling.%.60s' (%s)", names->len ? ", " : "", key,
                       json_brief(v, (char[JSON_BRIEF]){0})))
            return -1;
    }
    return 0;
}
