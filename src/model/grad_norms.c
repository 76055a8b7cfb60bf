#include "model/grad_norms.h"

#include <string.h>

/* Whether products of tokens are less work than the gradient. */
static bool by_tokens(int n, int in, int out)
{
    return (double)n * ((double)in + out) < (double)in * out;
}

size_t grad_norms_room(const struct model *m, int n)
{
    size_t room = 2 * (size_t)n * (size_t)n;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        bool made =
            w->layer >= 0 && w->n_dims == 2 && !by_tokens(n, (int)w->shape[1], (int)w->shape[0]);
        room = made && w->count > room ? w->count : room;
    }
    return room;
}

void grad_norms_add(const struct model *m, int weight, const float *dy, const float *x, int n,
                    int in, int out)
{
    const struct ops *o = m->ops;
    double *square = &m->norms->square[weight];
    float *room = m->norms->room;
    if (by_tokens(n, in, out)) {
        size_t nn = (size_t)n * (size_t)n;
        o->linear(room, dy, dy, n, out, n, 0);
        o->linear(room + nn, x, x, n, in, n, 0);
        *square += o->dot(room, room + nn, nn);
    } else {
        size_t count = (size_t)in * (size_t)out;
        memset(room, 0, count * sizeof *room);
        o->linear_dw(room, dy, x, n, in, out);
        *square += o->dot(room, room, count);
    }
}
