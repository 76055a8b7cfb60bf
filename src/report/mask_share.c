#include "report/mask_share.h"

#include <math.h>

#include "base/mem.h"

/* The kinds of parameters, and the slots that they stand for: first to last. */
static const struct {
    const char *name;
    enum slot first, last;
} kinds[] = {
    {"embed", W_EMBED, W_POS},
    {"q", W_Q, W_Q_B},
    {"k", W_K, W_K_B},
    {"v", W_V, W_V_B},
    {"qkv", W_QKV, W_QKV_B},
    {"o", W_O, W_O_B},
    {"gate", W_GATE, W_GATE_B},
    {"up", W_UP, W_UP_B},
    {"gate_up", W_GATE_UP, W_GATE_UP_B},
    {"down", W_DOWN, W_DOWN_B},
    {"experts", W_ROUTER, W_EXPERT_DOWN_B},
    {"head", W_HEAD, W_HEAD_B},
    {"norms", W_NORM_ATTN, W_NORM_OUT_B}, /* what is left */
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static int kind_of(enum slot slot)
{
    int k = 0;
    while (slot < kinds[k].first || slot > kinds[k].last)
        k++;
    return k;
}

static size_t kept_of(const uint64_t *bits, const struct weight *w)
{
    size_t n = 0;
    for (size_t k = w->offset; k < w->offset + w->count; k++)
        n += bits[k / 64] >> k % 64 & 1;
    return n;
}

static void add(struct share_count *to, double kept, double all)
{
    to->kept += kept;
    to->all += all;
}

int mask_share_count(struct mask_share *s, const struct model *m, const uint64_t *bits,
                     struct err *e)
{
    *s = (struct mask_share){.rows = m->cfg.layers + 1};
    if (!(s->cell = mem_alloc((size_t)s->rows * N_KINDS, sizeof *s->cell, e)) ||
        !(s->kept = mem_alloc((size_t)m->table.n_model, sizeof *s->kept, e)))
        return -1;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        const double kept = (double)(s->kept[i] = kept_of(bits, w)), all = (double)w->count;
        add(&s->cell[(w->layer + 1) * N_KINDS + kind_of(w->slot)], kept, all);
        add(&s->sum, kept, all);
    }
    return 0;
}

void mask_share_fini(struct mask_share *s)
{
    free(s->cell);
    free(s->kept);
    *s = (struct mask_share){0};
}

static const struct share_count *cell_at(const struct mask_share *s, int row, int kind)
{
    return &s->cell[row * N_KINDS + kind];
}

static bool has_kind(const struct mask_share *s, int kind)
{
    for (int r = 0; r < s->rows; r++)
        if (cell_at(s, r, kind)->all > 0)
            return true;
    return false;
}

static double share_of(const struct share_count *c)
{
    return c->all > 0 ? c->kept / c->all : 0;
}

/* Of the layers without their norms, few numbers of which all may be kept; where those keep
 * nothing, of the rest. */
static double largest(const struct mask_share *s)
{
    double layers = 0, all = 0;
    for (int i = 0; i < s->rows * N_KINDS; i++) {
        all = fmax(all, share_of(&s->cell[i]));
        if (i >= N_KINDS && i % N_KINDS != N_KINDS - 1)
            layers = fmax(layers, share_of(&s->cell[i]));
    }
    return layers > 0 ? layers : all;
}

/* A kept share is never as light as none. */
static char shade(double share, double most)
{
    static const char scale[] = " .:-=+*#%@";
    enum { DARKEST = sizeof scale - 2 };
    return scale[(int)ceil(DARKEST * fmin(share / most, 1) - 1e-9)];
}

static int write_cell(const struct mask_share *s, int row, int kind, double most, struct buf *out,
                      struct err *e)
{
    const struct share_count *c = cell_at(s, row, kind);
    if (!(c->all > 0))
        return buf_printf(out, e, "  %7s%s", "", most > 0 ? "  " : "");
    if (most > 0)
        return buf_printf(out, e, "  %7.2f %c", 100 * share_of(c), shade(share_of(c), most));
    return buf_printf(out, e, "  %7.2f", 100 * share_of(c));
}

int mask_share_write(const struct mask_share *s, bool shades, struct buf *out, struct err *e)
{
    const double most = shades ? fmax(largest(s), 1e-300) : 0;
    int rc = buf_printf(out, e, "%% kept  ");
    for (int k = 0; k < N_KINDS && !rc; k++)
        if (has_kind(s, k))
            rc = buf_printf(out, e, "  %7s%s", kinds[k].name, shades ? "  " : "");
    for (int r = 0; r < s->rows && !rc; r++) {
        rc = r ? buf_printf(out, e, "\nlayer %-2d", r - 1) : buf_printf(out, e, "\nno layer");
        for (int k = 0; k < N_KINDS && !rc; k++)
            if (has_kind(s, k))
                rc = write_cell(s, r, k, most, out, e);
    }
    return rc || buf_str(out, "\n", e);
}

static json_t *row_json(const struct mask_share *s, int row)
{
    json_t *j = json_object();
    for (int k = 0; k < N_KINDS; k++)
        if (cell_at(s, row, k)->all > 0)
            json_object_set_new(j, kinds[k].name, json_real(share_of(cell_at(s, row, k))));
    return j;
}

json_t *mask_share_json(const struct mask_share *s)
{
    json_t *layers = json_array();
    for (int r = 1; r < s->rows; r++)
        json_array_append_new(layers, row_json(s, r));
    return json_pack("{s:f, s:o, s:o}", "share", share_of(&s->sum), "layers", layers, "rest",
                     row_json(s, 0));
}
