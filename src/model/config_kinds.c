/* How the kinds of keys of config.json are read and written. */
#include "model/config_keys.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

enum { MAX_DIM = 1 << 24 };

static void *field(struct model_config *c, const struct config_key *k)
{
    return (char *)c + k->at;
}

static const void *field_of(const struct model_config *c, const struct config_key *k)
{
    return (const char *)c + k->at;
}

static int read_dim(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    int64_t v;
    if (json_need_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    *(int *)field(c, k) = (int)v;
    return 0;
}

/* A missing one stays as the preset or config_derive has it. */
static int read_opt_dim(struct model_config *c, const json_t *config, const struct config_key *k,
                        struct err *e)
{
    int64_t v = *(int *)field(c, k);
    if (json_opt_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    *(int *)field(c, k) = (int)v;
    return 0;
}

static json_t *write_int(const struct model_config *c, const struct config_key *k)
{
    return json_integer(*(const int *)field_of(c, k));
}

static int read_bool(struct model_config *c, const json_t *config, const struct config_key *k,
                     struct err *e)
{
    return json_opt_bool(config, k->name, field(c, k), e);
}

static json_t *write_bool(const struct model_config *c, const struct config_key *k)
{
    return json_boolean(*(const bool *)field_of(c, k));
}

static int read_real(struct model_config *c, const json_t *config, const struct config_key *k,
                     struct err *e)
{
    return json_opt_real(config, k->name, field(c, k), e);
}

static json_t *write_real(const struct model_config *c, const struct config_key *k)
{
    return json_real(*(const double *)field_of(c, k));
}

static int read_float(struct model_config *c, const json_t *config, const struct config_key *k,
                      struct err *e)
{
    double v = (double)*(float *)field(c, k);
    if (json_opt_real(config, k->name, &v, e))
        return -1;
    *(float *)field(c, k) = (float)v;
    return 0;
}

/* 0 would be taken for a field that nothing is said of. */
static int read_multiplier(struct model_config *c, const json_t *config, const struct config_key *k,
                           struct err *e)
{
    double v = k->preset;
    if (json_opt_real(config, k->name, &v, e))
        return -1;
    *(float *)field(c, k) = (float)v;
    return *(float *)field(c, k) > 0 && isfinite(*(float *)field(c, k))
               ? 0
               : err_set(e, "'%s' must be positive", k->name);
}

static json_t *write_float(const struct model_config *c, const struct config_key *k)
{
    return json_real(config_short_real((double)*(const float *)field_of(c, k)));
}

/* Caps and windows: null is none, and another thing than a missing key. */
static int read_cap(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    if (json_is_null(json_object_get(config, k->name)))
        *(float *)field(c, k) = 0;
    return read_float(c, config, k, e);
}

static json_t *write_cap(const struct model_config *c, const struct config_key *k)
{
    return *(const float *)field_of(c, k) > 0 ? write_float(c, k) : json_null();
}

static int read_window(struct model_config *c, const json_t *config, const struct config_key *k,
                       struct err *e)
{
    if (json_is_null(json_object_get(config, k->name)))
        c->window = 0;
    return read_opt_dim(c, config, k, e);
}

static json_t *write_window(const struct model_config *c, const struct config_key *k)
{
    return c->window ? write_int(c, k) : json_null();
}

/* Qwen's window holds only if this says so, and from layer max_window_layers on. */
static int read_use_window(struct model_config *c, const json_t *config, const struct config_key *k,
                           struct err *e)
{
    bool use = false;
    int64_t window = 4096, first = 28;
    if (json_opt_bool(config, k->name, &use, e) ||
        json_opt_int(config, "sliding_window", 1, MAX_DIM, &window, e) ||
        json_opt_int(config, "max_window_layers", 0, MAX_DIM, &first, e))
        return -1;
    c->window = use ? (int)window : 0;
    c->window_first = use ? (int)first : 0;
    return 0;
}

static json_t *write_use_window(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_boolean(c->window > 0);
}

static json_t *write_window_layers(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_integer(c->window ? c->window_first : c->layers);
}

/* Names of activations; gelu_fast is GPT-NeoX-20B's. The first of a kind is written. */
static const struct {
    const char *name;
    enum act_kind act;
} acts[] = {
    {"silu", ACT_SILU},          {"swish", ACT_SILU},          {"gelu_pytorch_tanh", ACT_GELU_TANH},
    {"gelu_new", ACT_GELU_TANH}, {"gelu_fast", ACT_GELU_TANH}, {"gelu", ACT_GELU_ERF},
    {"relu", ACT_RELU},
};
enum { N_ACTS = sizeof acts / sizeof acts[0] };

static int read_act(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    const char *name = NULL;
    if (json_opt_str(config, k->name, &name, e))
        return -1;
    for (int i = 0; name && i < N_ACTS; i++)
        if (!strcmp(name, acts[i].name)) {
            c->act = acts[i].act;
            return 0;
        }
    return name ? err_set(e,
                          "activation '%s' is not supported; supported: silu, gelu, gelu_new, "
                          "gelu_pytorch_tanh, relu",
                          name)
                : 0;
}

static json_t *write_act(const struct model_config *c, const struct config_key *k)
{
    int i = 0;
    (void)k;
    while (acts[i].act != c->act)
        i++;
    return json_string(acts[i].name);
}

/* The biases of attention's four projections. */
static int read_attn_bias(struct model_config *c, const json_t *config, const struct config_key *k,
                          struct err *e)
{
    if (json_opt_bool(config, k->name, &c->qkv_bias, e))
        return -1;
    c->out_bias = c->qkv_bias;
    return 0;
}

static int read_all_biases(struct model_config *c, const json_t *config, const struct config_key *k,
                           struct err *e)
{
    if (read_attn_bias(c, config, k, e))
        return -1;
    c->mlp_bias = c->qkv_bias;
    return 0;
}

static int read_query_scalar(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e)
{
    double v = k->preset;
    if (json_opt_real(config, k->name, &v, e))
        return -1;
    if (!(v > 0))
        return err_set(e, "'%s' must be positive", k->name);
    c->attn_scale = (float)(1 / sqrt(v));
    return 0;
}

static json_t *write_query_scalar(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    double v = config_short_real(1 / ((double)c->attn_scale * (double)c->attn_scale));
    return v == floor(v) ? json_integer((json_int_t)v) : json_real(v); /* transformers 5 minds */
}

/* The part of a head that rotates; rows before it in a list have read the shape. */
static int read_rotary(struct model_config *c, const json_t *config, const struct config_key *k,
                       struct err *e)
{
    double part = c->rope.rot ? -1 : k->preset;
    if (json_opt_real(config, k->name, &part, e))
        return -1;
    if (part == -1) /* another key has said it */
        return 0;
    if (!(part > 0) || part > 1)
        return err_set(e, "'%s' must be above 0 and at most 1", k->name);
    int d = c->head_dim ? c->head_dim : c->width / c->heads;
    c->rope.rot = (int)(d * part);
    return c->rope.rot ? 0 : err_set(e, "'%s' leaves nothing of a head to rotate", k->name);
}

static json_t *write_rotary(const struct model_config *c, const struct config_key *k)
{
    (void)k;
    return json_real(c->rope.rot / (double)c->head_dim);
}

/* Variants that are not supported: the key must be what `preset` says, 1 true or 0 false. */
static int read_fixed(struct model_config *c, const json_t *config, const struct config_key *k,
                      struct err *e)
{
    bool v = k->preset != 0;
    (void)c;
    if (json_opt_bool(config, k->name, &v, e))
        return -1;
    return v == (k->preset != 0)
               ? 0
               : err_set(e, "'%s' %s is not supported", k->name, v ? "true" : "false");
}

static json_t *write_fixed(const struct model_config *c, const struct config_key *k)
{
    (void)c;
    return json_boolean(k->preset != 0);
}

/* Variants with experts in some layers only. */
static int read_one(struct model_config *c, const json_t *config, const struct config_key *k,
                    struct err *e)
{
    int64_t v = 1;
    (void)c;
    if (json_opt_int(config, k->name, INT32_MIN, INT32_MAX, &v, e))
        return -1;
    return v == 1 ? 0
                  : err_set(e, "'%s' %lld is not supported, only 1: experts in every layer",
                            k->name, (long long)v);
}

static json_t *write_one(const struct model_config *c, const struct config_key *k)
{
    (void)c;
    (void)k;
    return json_integer(1);
}

static int read_empty(struct model_config *c, const json_t *config, const struct config_key *k,
                      struct err *e)
{
    const json_t *v = json_object_get(config, k->name);
    (void)c;
    return !v || json_is_null(v) || (json_is_array(v) && !json_array_size(v))
               ? 0
               : err_set(e, "'%s' is not supported: there must be experts in every layer", k->name);
}

static json_t *write_empty(const struct model_config *c, const struct config_key *k)
{
    (void)c;
    (void)k;
    return json_array();
}

/* OPT's embedding may be narrower than the decoder, with a projection between. */
static int read_embed_width(struct model_config *c, const json_t *config,
                            const struct config_key *k, struct err *e)
{
    int64_t v = c->width;
    if (json_opt_int(config, k->name, 1, MAX_DIM, &v, e))
        return -1;
    return v == c->width ? 0
                         : err_set(e, "'%s' other than 'hidden_size' is not supported", k->name);
}

double config_short_real(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", v);
    return strtod(text, NULL);
}

const struct config_kind kind_dim = {read_dim, write_int};
const struct config_kind kind_opt_dim = {read_opt_dim, write_int};
const struct config_kind kind_bool = {read_bool, write_bool};
const struct config_kind kind_real = {read_real, write_real};
const struct config_kind kind_float = {read_float, write_float};
const struct config_kind kind_multiplier = {read_multiplier, write_float};
const struct config_kind kind_cap = {read_cap, write_cap};
const struct config_kind kind_act = {read_act, write_act};
const struct config_kind kind_act_again = {NULL, write_act};
const struct config_kind kind_window = {read_window, write_window};
const struct config_kind kind_window_again = {NULL, write_window};
const struct config_kind kind_use_window = {read_use_window, write_use_window};
const struct config_kind kind_window_layers = {NULL, write_window_layers};
const struct config_kind kind_attn_bias = {read_attn_bias, write_bool};
const struct config_kind kind_all_biases = {read_all_biases, write_bool};
const struct config_kind kind_query_scalar = {read_query_scalar, write_query_scalar};
const struct config_kind kind_rotary = {read_rotary, write_rotary};
const struct config_kind kind_one = {read_one, write_one};
const struct config_kind kind_empty = {read_empty, write_empty};
const struct config_kind kind_fixed = {read_fixed, write_fixed};
const struct config_kind kind_embed_width = {read_embed_width, write_int};
