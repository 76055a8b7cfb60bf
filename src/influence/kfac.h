/* Kronecker-factored curvature of the layers' linear maps (K-FAC arXiv 1503.05671, EK-FAC arXiv
 * 1806.03884) as kronfluence 1.0.1 computes it, and influence scores by it (arXiv 2308.03296). The
 * loss of a row is the SUM of the NLL of its scored tokens. Of a map with input x [in] and output
 * gradient s [out] at a token:
 *
 *   A = 1/n sum x x^T, S = 1/n sum s s^T       n: all tokens, scored or not
 *   A = Q_A diag(a) Q_A^T, S likewise          f64 by LAPACK, ascending
 *   K-FAC:   Lambda = s a^T                    per token
 *   EK-FAC:  Lambda = 1/N sum_i (Q_S^T G_i Q_A)^2, G_i [out,in] the gradient of row i; per ROW, so
 *            that the same damping means something else
 *   (B + damping)^-1 G = Q_S [(Q_S^T G Q_A) / (Lambda + damping)] Q_A^T
 *   score(q, t) = sum over maps of <(B + damping)^-1 G_q, G_t>
 *
 * A positive score: training on t lowers the loss of q. A bias is left out; so are embedding and
 * head. Maps with the same input share A. Shapes are [out,in] like the weights.
 */
#ifndef INFLUENCE_KFAC_H
#define INFLUENCE_KFAC_H

#include <signal.h>

#include "influence/passes.h"

/* B: identity; the diagonal of the Fisher matrix in the weights' own basis (Q = I); K-FAC; EK-FAC.
 */
enum strategy { STRATEGY_IDENTITY, STRATEGY_DIAGONAL, STRATEGY_KFAC, STRATEGY_EKFAC };
extern const char strategy_names[]; /* "identity|diagonal|kfac|ekfac" */

/* A linear map, or the part of a fused weight that is one. */
struct kfac_map {
    char name[112]; /* the weight's without ".weight"; of a part: with ".q" and the like */
    int weight, first, layer, in, out;
    int input;            /* index of the map that holds its A */
    device float *a;      /* owned: A, then Q_A^T [in,in], an eigenvector a row; NULL: shared */
    device float *s;      /* owned: S, then Q_S^T [out,out] */
    double *ea, *es;      /* owned: eigenvalues [in], [out] */
    device float *lambda; /* owned [out,in] */
    double mean;          /* of lambda */
};

/* The labels that the Fisher matrix is of. */
struct fisher_labels {
    bool drawn; /* from the model (true Fisher), by `seed`; else the data's (empirical Fisher) */
    unsigned seed;
    const int *given; /* [rows, width] instead: the label of each token of each row; NULL: none */
    int width;
};

/* Maps lo..hi-1, of whole layers, are those worked on: a block that fits the memory. */
struct kfac {
    struct model *m; /* borrowed */
    enum strategy strategy;
    struct kfac_map *maps; /* owned [n], in the order of layers */
    int n, lo, hi;
    int *block; /* owned [n_blocks + 1]: maps where the blocks begin */
    int n_blocks;
    long tokens;                       /* that A and S are of */
    int rows;                          /* that Lambda is of */
    const volatile sig_atomic_t *stop; /* borrowed; NULL: never */
};

/* Finds the maps whose weights match `regex` (NULL: all), by a forward pass over `any`; all are one
 * block. kfac_fini is due in every case. */
int kfac_init(struct kfac *k, struct model *m, enum strategy strategy, const char *regex,
              const struct seq *any, struct err *e);
/* Divides them into blocks whose factors, with `gradients` gradients of each map, take no more than
 * `bytes`, and chooses the first. A layer that takes more is an error. */
int kfac_plan(struct kfac *k, double bytes, int gradients, struct err *e);
/* The next block: the factors of the one before are released. */
void kfac_choose(struct kfac *k, int block);

/* Factors of the block by two passes over the rows: A and S, from which the eigenvectors are found,
 * then Lambda. `keep`, where there are eigenvectors: called between the passes with A and S still
 * in place; NULL: nothing. */
typedef int kfac_keep(void *ctx, const struct kfac *k, struct err *e);
int kfac_fit(struct kfac *k, const struct seq *rows, int n, const struct fisher_labels *labels,
             kfac_keep *keep, void *ctx, struct err *e);
/* The damping of map i; damping < 0: 0.1 mean(Lambda) of that map. */
double kfac_damping(const struct kfac *k, int i, double damping);
/* g [out,in] = Q_S^T g Q_A, its coordinates in the eigenvectors; back; and g = (B + damping)^-1 g.
 * `scratch` [out,in]. */
void kfac_project(const struct kfac *k, int i, device float *g, device float *scratch);
void kfac_project_back(const struct kfac *k, int i, device float *g, device float *scratch);
void kfac_solve(const struct kfac *k, int i, double damping, device float *g,
                device float *scratch);
/* x = (B + damping)^-1 b on the block's maps, of vectors flat by weight.at; x is left as it is
 * elsewhere. */
int kfac_solve_flat(const struct kfac *k, double damping, const device float *b, device float *x,
                    struct err *e);
void kfac_fini(struct kfac *k);

/* Sums over the block's maps are added to what is there. */
struct influence_scores {
    double *score;                     /* [n_queries, n] */
    double *self;                      /* [n]: of each row with itself; NULL: not wanted */
    double *by_map;                    /* [maps, n_queries, n]; likewise */
    double *query_square, *row_square; /* [n_queries], [n] |G|^2, for cosines; likewise */
};
/* One pass over the queries, whose gradients are held, and one over the rows. */
int kfac_scores(const struct kfac *k, const struct seq *queries, int n_queries,
                const struct seq *rows, int n, double damping, struct influence_scores *out,
                struct err *e);

/* --- kfac_file.c --- */

/* The factors as safetensors, written block by block: A.NAME, S.NAME; Q_A.NAME, Q_S.NAME
 * (eigenvectors by row), e_A.NAME, e_S.NAME (eigenvalues); lambda.NAME of EK-FAC, diagonal.NAME of
 * the diagonal; `counts` I32 [2]: tokens, rows;
 * `fingerprint` I32 [2] of the model. A of maps with the same input is written for each. */
struct kfac_writer;
struct kfac_writer *kfac_write_open(const char *path, const struct kfac *k, struct err *e);
/* The kfac_keep of a writer; then, when the block is fitted, the rest of it. */
int kfac_write_factors(void *writer, const struct kfac *k, struct err *e);
int kfac_write_rest(struct kfac_writer *w, const struct kfac *k, struct err *e);
/* Completes the file, or removes what was written of it. */
int kfac_write_close(struct kfac_writer *w, bool failed, struct err *e);
/* Instead of kfac_fit. A file of another model is refused: the tensor and both shapes are named. */
int kfac_read(struct kfac *k, const char *path, struct err *e);

#endif
