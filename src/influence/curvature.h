/* Curvature of the token-mean NLL over rows: products with it, and solutions of
 * (B + lambda) x = b.
 *
 *   Gauss-Newton  G v = (1/n) sum_t J_t^T (diag p_t - p_t p_t^T) J_t v over the n scored tokens,
 *                 J v by a difference of two forward passes, then one backward with given dlogits;
 *                 positive semi-definite, the true Fisher matrix of the softmax
 *   Hessian       by central differences of gradients (train/derivatives.h); indefinite away from a
 *                 minimum, where CG meets negative curvature
 *
 * Vectors are flat by weight.at: table.grads floats. Elements that are not trainable, or masked,
 * are 0 in results. Relative error of a product 1e-5 to 1e-3 in f32, so that the residual that CG
 * carries along is too small: it is recomputed.
 */
#ifndef INFLUENCE_CURVATURE_H
#define INFLUENCE_CURVATURE_H

#include <signal.h>

#include "train/derivatives.h"

#define CURVATURE_STEP 8e-5
enum curvature { CURVATURE_GAUSS_NEWTON, CURVATURE_HESSIAN };

struct curved {
    struct engine *engine; /* borrowed */
    unsigned goals;        /* of the Hessian: those of the objective with the NLL of the rows */
    struct data_rows rows; /* of one role */
    enum curvature kind;
    double step; /* |e v| of the differences; 0: DERIVATIVE_STEP |w| for the Hessian, else
                  * CURVATURE_STEP |w| */
    const volatile sig_atomic_t *stop; /* borrowed; NULL: never */
};

/* out = B v; they must not overlap. The weights are restored exactly. */
int curvature_product(struct curved *c, const device float *v, device float *out, struct err *e);
/* The same for the i-th of the rows alone. */
int curvature_product_row(struct curved *c, int i, const device float *v, device float *out,
                          struct err *e);
/* The largest eigenvalue of one row's B, by `steps` power iterations from `v`. */
int curvature_largest(struct curved *c, int i, const device float *v, int steps, double *largest,
                      struct err *e);

struct solve_options {
    double lambda;
    double tolerance; /* of |b - (B + lambda) x| / |b|, recomputed */
    int iterations;   /* at most */
    double scale;     /* of LiSSA */
    unsigned seed;    /* of the rows that LiSSA draws */
    const int *order; /* [iterations] instead; NULL: none */
};

struct solve_report {
    int iterations;
    double residual;  /* relative, recomputed */
    double recursive; /* that CG carried along */
    double curvature; /* the smallest p^T (B + lambda) p / p^T p met */
    bool converged;
};

/* x = (B + lambda)^-1 b by conjugate gradients from 0. The residual is recomputed every ten
 * iterations and where it seems to have converged. Negative curvature is an error that tells the
 * curvature; a residual above the tolerance after the last iteration is not: `converged` tells. */
int solve_cg(struct curved *c, const device float *b, device float *x,
             const struct solve_options *o, struct solve_report *r, struct err *e);
/* x = v / scale, v_0 = b, v_{j+1} = b + v_j - (B_j v_j + lambda v_j) / scale, B_j of one drawn row
 * (arXiv 1602.03943). Converges only if scale is above the largest eigenvalue + lambda of every
 * row, and takes about scale / (lambda + the smallest) iterations: inferior to CG but for data that
 * stream past. That it grows without bound is an error. */
int solve_lissa(struct curved *c, const device float *b, device float *x,
                const struct solve_options *o, struct solve_report *r, struct err *e);

/* (F + delta)^-1 b by blocks, F = 1/N sum_i g_i g_i^T, g_i the gradient of the SUM of the row's
 * NLL: what WoodFisher's recursion (arXiv 2004.14340) comes to, by one N x N system a block. A
 * block is a tensor, or `block` elements of it (0: all). The gradients take N * table.moving
 * floats: more than `bytes` is an error. */
int solve_woodfisher(struct curved *c, const device float *b, device float *x, double delta,
                     size_t block, double bytes, struct err *e);

/* x = b / (d + lambda), over the trainable elements. */
void solve_diagonal(const struct model *m, const device float *d, double lambda,
                    const device float *b, device float *x);

#endif
