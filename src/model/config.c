#include "model/config.h"

#include <math.h>
#include <string.h>

#include "model/config_keys.h"
#include "model/family.h"

/* The flags of layer l where nothing is listed. */
static unsigned flags_by_rule(const struct model_config *c, int l)
{
    bool full = l < c->window_first || (c->full_every && (l + 1) % c->full_every == 0);
    bool no_rope = c->no_rope_every && (l + 1) % c->no_rope_every == 0;
    return (full ? 0 : LAYER_WINDOW) | (no_rope ? LAYER_NO_ROPE : 0);
}

static void derive_layers(struct model_config *c)
{
    for (int l = 0; l < c->layers && l < MODEL_MAX_LAYERS; l++)
        c->layer[l] = (uint8_t)((c->layer[l] & c->listed) | (flags_by_rule(c, l) & ~c->listed));
}

bool config_layers_by_rule(const struct model_config *c)
{
    unsigned matters = LAYER_NO_ROPE | (c->window || c->rope.local_base > 0 ? LAYER_WINDOW : 0);
    for (int l = 0; l < c->layers; l++)
        if ((c->layer[l] ^ flags_by_rule(&c->family->preset, l)) & matters)
            return false;
    return true;
}

/* What is multiplied by 1 where the family has nothing to multiply by. */
static void derive_scales(struct model_config *c)
{
    if (!c->embed_scale)
        c->embed_scale = c->embed_root ? sqrtf((float)c->width) : 1;
    if (!c->logit_divisor)
        c->logit_divisor = 1;
    if (!c->residual_scale)
        c->residual_scale = 1;
    if (!c->attn_scale)
        c->attn_scale = 1.0f / sqrtf((float)c->head_dim);
}

void config_derive(struct model_config *c)
{
    if (!c->kv_heads)
        c->kv_heads = c->heads;
    if (!c->head_dim)
        c->head_dim = c->width / c->heads;
    if (!c->ff)
        c->ff = 4 * c->width;
    derive_scales(c);
    derive_layers(c);
    if (!c->rope.rot && !family_slot(c, W_POS))
        c->rope.rot = c->head_dim;
    if (!c->positions)
        c->positions = 2048;
    if (!c->rope.original_positions)
        c->rope.original_positions = c->positions;
    if (!c->rope.magnitude)
        c->rope.magnitude = 1;
}

static int check_rope(const struct rope_config *r, int head_dim, struct err *e)
{
    if (r->rot < 0 || r->rot > head_dim || r->rot % 2)
        return err_set(e, "%d of a head's %d numbers cannot be rotated", r->rot, head_dim);
    if (!r->rot)
        return 0;
    if (!isfinite(r->base) || r->base <= 1 ||
        (r->local_base != 0 && (!isfinite(r->local_base) || r->local_base <= 1)))
        return err_set(e, "rope base is out of range");
    if (r->kind != ROPE_PLAIN && r->kind != ROPE_LONG && !(r->factor >= 1 && r->factor < 1e6))
        return err_set(e, "rope scaling factor must be from 1 to a million, not %g", r->factor);
    if (r->kind == ROPE_YARN && !(r->beta_fast >= r->beta_slow && r->beta_slow > 0))
        return err_set(e, "yarn scaling wants 'beta_fast' of at least 'beta_slow', above 0");
    if (!(r->magnitude > 0) || !isfinite(r->magnitude))
        return err_set(e, "rope scaling's attention factor must be above 0");
    for (int i = 0; r->kind == ROPE_LONG && i < r->rot / 2; i++)
        if (!(r->short_factor[i] > 0) || !(r->long_factor[i] > 0))
            return err_set(e, "longrope scaling wants %d positive factors", r->rot / 2);
    return 0;
}

/* Every weight that holds q, k and v head by head takes them to be as many. */
static bool wants_equal_heads(const struct family *f)
{
    const struct slot_name *s = f->names;
    while (s->hf && s->hf_layout != LAYOUT_HEAD_QKV)
        s++;
    return s->hf;
}

bool config_has_key(const struct family *f, const char *name)
{
    const struct config_key *k = f->keys;
    while (k->name && strcmp(k->name, name))
        k++;
    return k->name;
}

enum { MAX_EXPERTS = 1024 };

static int check_experts(const struct model_config *c, struct err *e)
{
    if (c->experts > MAX_EXPERTS)
        return err_set(e, "%d experts a layer are too many; at most %d are supported", c->experts,
                       MAX_EXPERTS);
    if (c->experts && (c->experts_used < 1 || c->experts_used > c->experts))
        return err_set(e, "%d of %d experts cannot be used for a token", c->experts_used,
                       c->experts);
    return 0;
}

static bool is_scale(float v)
{
    return isfinite(v) && v > 0;
}

int config_check(const struct model_config *c, struct err *e)
{
    if (c->layers > MODEL_MAX_LAYERS)
        return err_set(e, "a model of %d layers is too large; at most %d are supported", c->layers,
                       MODEL_MAX_LAYERS);
    if (c->heads % c->kv_heads || (c->heads != c->kv_heads && wants_equal_heads(c->family)))
        return err_set(e, "%d attention heads do not go with %d key-value heads", c->heads,
                       c->kv_heads);
    if (c->head_dim < 1 || c->head_dim > OPS_MAX_HEAD)
        return err_set(e, "head dimension %d is not in 1 to %d", c->head_dim, OPS_MAX_HEAD);
    /* Where no file of the family can say how wide a head is, the heads fill the width. */
    if (!config_has_key(c->family, "head_dim") && c->width != c->heads * c->head_dim)
        return err_set(e, "a width of %d does not go with %d heads of %d numbers", c->width,
                       c->heads, c->head_dim);
    if (!(c->norm_eps > 0) || !isfinite(c->attn_scale) || c->window < 0 || c->window_first < 0 ||
        !(c->attn_softcap >= 0) || !(c->logit_softcap >= 0))
        return err_set(e, "norm epsilon, attention scale, window or soft cap is out of range");
    if (!is_scale(c->embed_scale) || !is_scale(c->logit_divisor) || !is_scale(c->residual_scale))
        return err_set(e, "a multiplier of embeddings, branches or logits is not positive");
    return check_experts(c, e) || check_rope(&c->rope, c->head_dim, e) ? -1 : 0;
}
