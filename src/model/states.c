#include "model/states.h"

/* A tap's context: the rows of one layer. */
struct tapped {
    const int *token; /* [n] */
    int n;
    device float *to;         /* [n,C] is read into; NULL: nothing is */
    const device float *from; /* [n,C] is put in */
};

static void read_rows(void *ctx, const struct pass *p, device float *x)
{
    const struct tapped *t = ctx;
    p->m->ops->gather(t->to, x, t->token, t->n, p->m->cfg.width);
}

static void replace_rows(void *ctx, const struct pass *p, device float *x)
{
    const struct tapped *t = ctx;
    const size_t c = (size_t)p->m->cfg.width;
    for (int r = 0; r < t->n; r++)
        p->m->ops->copy(x + (size_t)t->token[r] * c, t->from + (size_t)r * c, c);
}

device float *states_at(const struct states *s, int layer)
{
    return s->x + (size_t)layer * (size_t)s->n * (size_t)s->width;
}

int states_read(struct states *s, struct model *m, const struct batch *b, const int *token, int n,
                struct arena *a, struct err *e)
{
    const int layers = m->cfg.layers;
    const size_t count = (size_t)(layers + 1);
    struct pass p;
    *s = (struct states){n, layers, m->cfg.width, NULL};
    struct tap *taps = arena_take(a, count, sizeof *taps, e);
    struct tapped *ctx = arena_take(a, count, sizeof *ctx, e);
    if (!taps || !ctx || !(s->x = m->ops->take(a, count * (size_t)n * (size_t)s->width, e)))
        return -1;
    for (int l = 0; l <= layers; l++) {
        ctx[l] = (struct tapped){token, n, states_at(s, l), NULL};
        taps[l] = (struct tap){
            .place = PLACE_RESID, .layer = l - 1, .forward = read_rows, .ctx = &ctx[l]};
    }
    const struct forward how = {.taps = taps, .n_taps = layers + 1};
    return model_forward(m, b, &how, &p, a, e);
}

int states_head(struct head *h, struct pass *p, struct label_rows *rows, struct model *m,
                const struct states *s, int layer, int *label, bool normed, struct arena *a,
                struct err *e)
{
    *p = (struct pass){.m = m, .x = states_at(s, layer)};
    *rows = (struct label_rows){
        .n = s->n, .token = arena_take(a, (size_t)s->n + 1, sizeof(int), e), .label = label};
    if (!rows->token)
        return -1;
    for (int r = 0; r < s->n; r++)
        rows->token[r] = r;
    if (head_init(h, p, rows, false, a, e))
        return -1;
    if (!normed)
        h->norm = h->x;
    return 0;
}

int states_patch(struct pass *p, struct model *m, const struct batch *b, const int *token, int n,
                 const device float *x, int layer, struct arena *a, struct err *e)
{
    struct tapped *ctx = arena_take(a, 1, sizeof *ctx, e);
    struct tap *tap = arena_take(a, 1, sizeof *tap, e);
    if (!ctx || !tap)
        return -1;
    *ctx = (struct tapped){.token = token, .n = n, .from = x};
    *tap =
        (struct tap){.place = PLACE_RESID, .layer = layer - 1, .forward = replace_rows, .ctx = ctx};
    return model_forward(m, b, &(struct forward){.taps = tap, .n_taps = 1}, p, a, e);
}
