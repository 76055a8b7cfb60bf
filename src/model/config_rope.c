/* The key rope_scaling of config.json. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "model/config_keys.h"

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

static const struct scaling {
    const char *name;
    int (*read)(struct model_config *c, const json_t *s, struct err *e);
} scalings[] = {
    {"linear", read_linear},
    {"llama3", read_llama3},
    {"longrope", read_longrope},
    {"su", read_longrope},
    {NULL, NULL},
};

static int read_rope_scaling(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e)
{
    const json_t *s = json_object_get(config, k->name);
    const char *type = "default";
    if (!json_is_object(s))
        return 0;
    if (json_opt_str(s, "type", &type, e) || json_opt_str(s, "rope_type", &type, e))
        return -1;
    if (!strcmp(type, "default"))
        return 0;
    for (const struct scaling *i = scalings; i->name; i++)
        if (!strcmp(i->name, type))
            return i->read(c, s, e);
    return err_set(e, "rope scaling '%s' is not supported; supported: linear, llama3, longrope",
                   type);
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

static json_t *write_rope_scaling(const struct model_config *c, const struct config_key *k)
{
    const struct rope_config *r = &c->rope;
    (void)k;
    switch (r->kind) {
    case ROPE_PLAIN:
        break;
    case ROPE_LINEAR:
        return json_pack("{s:s, s:f}", "rope_type", "linear", "factor", r->factor);
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
