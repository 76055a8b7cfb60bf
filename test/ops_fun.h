/* For tests of operations: a scalar function in double precision, and its central differences. */
#ifndef TEST_OPS_FUN_H
#define TEST_OPS_FUN_H

#include "ops_util.h"

/* A scalar function of up to three arrays: the loops in double precision, times dout, summed. */
struct fun {
    double (*loss)(const struct fun *f);
    double *in[3];
    size_t size[3];
    const float *dout;
    int n, c, d, kind;
    const float *cs, *sn;
    const int *pos;
};

static inline struct fun fun_of(double (*loss)(const struct fun *), const float *x, size_t nx,
                                const float *y, size_t ny, const float *dout)
{
    return (struct fun){
        .loss = loss, .in = {doubles(x, nx), doubles(y, ny)}, .size = {nx, ny}, .dout = dout};
}

static inline void fun_fini(struct fun *f)
{
    free(f->in[2]);
    free(f->in[0]);
    free(f->in[1]);
}

/* got = before + df/d(in[which]); before NULL: overwritten. */
static inline double gradient_off(const struct fun *f, int which, const float *got,
                                  const float *before)
{
    const double h = 1e-5;
    double worst = 0;
    for (size_t i = 0; i < f->size[which]; i++) {
        double *x = &f->in[which][i], was = *x;
        *x = was + h;
        double up = f->loss(f);
        *x = was - h;
        double down = f->loss(f);
        *x = was;
        double want = (before ? before[i] : 0) + (up - down) / (2 * h);
        worst = fmax(worst, distance(got + i, &want, 1));
    }
    return worst;
}

#endif
