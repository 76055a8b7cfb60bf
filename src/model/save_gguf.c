/* Writing a model as GGUF. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/layout.h"
#include "model/rope.h"
#include "model/save.h"
#include "tensor/file.h"

static enum dtype stored_as(const struct weight *w, enum dtype wanted)
{
    if (w->n_dims == 1 || w->slot == W_POS)
        return DT_F32;
    return w->shape[1] % dtype_info[wanted].block ? DT_F16 : wanted;
}

/* Rope frequencies that a formula of llama.cpp's does not give are in tensors: what each one is
 * divided by. */
struct divisors {
    const char *name;
    float v[OPS_MAX_HEAD / 2];
};

static int rope_divisors(const struct rope_config *r, struct divisors d[2])
{
    const int half = r->rot / 2;
    if (r->kind == ROPE_LLAMA3) {
        d[0].name = "rope_freqs.weight";
        for (int i = 0; i < half; i++) {
            const double inv = pow(r->base, -2.0 * i / r->rot);
            d[0].v[i] = (float)(inv / rope_llama3_scale(r, inv));
        }
        return 1;
    }
    if (r->kind != ROPE_LONG)
        return 0;
    d[0].name = "rope_factors_long.weight";
    d[1].name = "rope_factors_short.weight";
    for (int i = 0; i < half; i++) {
        d[0].v[i] = (float)r->long_factor[i];
        d[1].v[i] = (float)r->short_factor[i];
    }
    return 2;
}

static int announce(struct tensor_out *out, const struct model *m, enum dtype dtype, struct err *e)
{
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        const struct slot_name *s = family_slot(&m->cfg, w->slot);
        char name[sizeof w->name];
        int64_t shape[3] = {m->cfg.experts, w->shape[0], w->shape[1]};
        const bool expert = slot_of_expert(w->slot);
        snprintf(name, sizeof name, s->gguf, w->layer, w->expert);
        if (expert && w->expert)
            continue;
        if (expert) /* one tensor for all: its name without the number */
            *strrchr(name, '.') = 0;
        if (tensor_out_add(out, name, stored_as(w, dtype), w->n_dims + expert,
                           expert ? shape : shape + 1, e))
            return -1;
    }
    return 0;
}

static int write_weights(struct tensor_out *out, const struct model *m,
                         const struct save_options *o, struct err *e)
{
    struct save_source s = {.m = m};
    int rc = 0;
    for (int i = 0; !rc && i < m->table.n_model; i++) {
        const enum layout y = family_slot(&m->cfg, m->table.v[i].slot)->gguf_layout;
        const float *x = save_values(&s, i, y, e);
        const struct weight *w = &m->table.v[i];
        const int parts = slot_of_expert(w->slot) ? m->cfg.experts : 1;
        rc = x ? tensor_out_write_part(out, x, w->expert, parts, e) : -1;
        if (o->bar)
            progress_step(o->bar, i + 1, 0, NULL);
    }
    save_source_fini(&s);
    return rc;
}

static int write_all(struct tensor_out *out, const struct model *m, const struct save_options *o,
                     struct err *e)
{
    struct divisors d[2];
    const int n = rope_divisors(&m->cfg.rope, d);
    const int64_t half = m->cfg.rope.rot / 2;
    if (announce(out, m, o->dtype, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (tensor_out_add(out, d[i].name, DT_F32, 1, &half, e))
            return -1;
    if (write_weights(out, m, o, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (tensor_out_write(out, d[i].v, e))
            return -1;
    return 0;
}

int model_save_gguf(const struct model *m, const char *path, const struct gguf_pairs *extra,
                    const struct save_options *o, struct err *e)
{
    struct gguf_pairs p = {0};
    int rc = config_to_gguf(&m->cfg, o->dtype, &p, e);
    if (!rc)
        rc = buf_add(&p.bytes, extra->bytes.data, extra->bytes.len, e);
    p.n += extra->n;
    struct tensor_out *out = rc ? NULL : gguf_out_open(path, &p, e);
    rc = out ? write_all(out, m, o, e) : -1;
    if (out && rc)
        tensor_out_abort(out);
    else if (out)
        rc = tensor_out_commit(out, e);
    gguf_pairs_fini(&p);
    return rc;
}
