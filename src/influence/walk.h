/* A backward pass over rows that sees the linear maps of a block (influence/kfac.h). Private to
 * influence/: kfac_fit.c makes factors of them, scores.c gradients and their products.
 */
#ifndef INFLUENCE_WALK_H
#define INFLUENCE_WALK_H

#include "influence/kfac.h"

struct walk;
typedef void see_map(struct walk *w, int i, const struct product *y);

/* A backward pass over rows in batches: `see` gets the product of each map of the block. */
struct walk {
    const struct kfac *k;
    see_map *see;
    const struct fisher_labels *labels; /* NULL: the data's */
    const char *what;                   /* for the progress bar */
    void *ctx;                          /* of `see` */
    bool one;                           /* a row at a time */
    int row;                            /* the batch's first row */
    struct row_pass pass;
    device float *x, *s, *g; /* owned scratch: projected inputs, output gradients; a gradient */
    device float *outer;     /* owned: of struct outer */
    size_t x_room, s_room, g_room, outer_room;
    int input; /* the map whose projected input is in x; -1: none */
    struct err *e;
    bool failed;
};

int walk_rows(struct walk *w, const struct seq *rows, int n, struct err *e);
/* The gradients of the rows of a batch in map i's product; `projected`: in the coordinates of the
 * eigenvectors, Q_S^T G Q_A, where there are any. False: the walk has failed. */
bool walk_outer(struct walk *w, int i, const struct product *y, bool projected, struct outer *g);
/* *buffer with room for n floats; NULL: the walk has failed. */
device float *walk_room(struct walk *w, device float **buffer, size_t *room, size_t n);

/* The strategy has eigenvectors. */
static inline bool kfac_has_basis(const struct kfac *k)
{
    return k->strategy >= STRATEGY_KFAC;
}

static inline size_t kfac_square(int n)
{
    return (size_t)n * (size_t)n;
}

/* Elements of a map's weight. */
static inline size_t kfac_area(const struct kfac_map *i)
{
    return (size_t)i->out * (size_t)i->in;
}

/* It has eigenvalues of its own: those of K-FAC are products. */
static inline bool kfac_has_lambda(const struct kfac *k)
{
    return k->strategy == STRATEGY_DIAGONAL || k->strategy == STRATEGY_EKFAC;
}

/* K-FAC's Lambda of map i = s a^T; rounding may have made eigenvalues of 0 negative. */
void kfac_multiply(const struct kfac *k, int i);
/* Allocates the factors of the block; the means of Lambda, which must be finite. */
int kfac_reserve(struct kfac *k, struct err *e);
int kfac_mean(struct kfac *k, struct err *e);

#endif
