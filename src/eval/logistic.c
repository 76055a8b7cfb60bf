#include "eval/logistic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PAIRS = 10 }; /* of steps and gradient changes that L-BFGS remembers */

/* The problem, and scratch of L-BFGS; vectors have `dim` entries: the weights, then the
 * intercepts. */
struct problem {
    const float *x;
    const int *label;
    int n, width, classes, vectors;
    double c;
    size_t dim;
    double *memory;           /* owned */
    double *w, *grad;         /* [dim] the point, its gradient */
    double *next, *next_grad; /* [dim] a trial point */
    double *direction;        /* [dim] */
    double *step, *change;    /* [PAIRS,dim] */
    double inverse[PAIRS];    /* 1 / (step . change) */
    int pairs, newest;        /* how many are there; the last one */
};

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Scores of one row, z [vectors]. */
static void row_scores(const double *coef, const double *intercept, int vectors, int width,
                       const float *x, double *z)
{
    for (int k = 0; k < vectors; k++) {
        double sum = intercept[k];
        for (int j = 0; j < width; j++)
            sum += coef[(size_t)k * (size_t)width + (size_t)j] * (double)x[j];
        z[k] = sum;
    }
}

/* From scores z [vectors] to probabilities p [classes]; returns log sum exp of the classes'
 * scores. */
static double probabilities(const double *z, int classes, int vectors, double *p)
{
    const double two[2] = {0, z[0]};
    const double *s = vectors == 1 ? two : z;
    double top = s[0], sum = 0;
    for (int k = 1; k < classes; k++)
        top = fmax(top, s[k]);
    for (int k = 0; k < classes; k++)
        sum += p[k] = exp(s[k] - top);
    for (int k = 0; k < classes; k++)
        p[k] /= sum;
    return top + log(sum);
}

/* The objective at w, and its gradient. */
static double evaluate(const struct problem *q, const double *w, double *grad, double *scratch)
{
    const size_t weights = (size_t)q->vectors * (size_t)q->width;
    double *z = scratch, *p = scratch + q->classes, loss = 0;
    memset(grad, 0, q->dim * sizeof *grad);
    for (int i = 0; i < q->n; i++) {
        const float *x = q->x + (size_t)i * (size_t)q->width;
        row_scores(w, w + weights, q->vectors, q->width, x, z);
        const double lse = probabilities(z, q->classes, q->vectors, p);
        loss += lse - (q->vectors > 1 ? z[q->label[i]] : q->label[i] ? z[0] : 0);
        for (int k = 0; k < q->vectors; k++) {
            const int class = q->vectors > 1 ? k : 1;
            const double d = q->c * (p[class] - (q->label[i] == class));
            double *g = grad + (size_t)k * (size_t)q->width;
            for (int j = 0; j < q->width; j++)
                g[j] += d * (double)x[j];
            grad[weights + (size_t)k] += d;
        }
    }
    for (size_t j = 0; j < weights; j++)
        grad[j] += w[j];
    return dot(w, w, weights) / 2 + q->c * loss;
}

static double largest(const double *v, size_t n)
{
    double top = 0;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(v[i]));
    return top;
}

/* direction = -H grad, H by the two loops of L-BFGS (Nocedal, 1980). */
static void choose_direction(struct problem *q)
{
    double alpha[PAIRS], *d = q->direction;
    for (size_t i = 0; i < q->dim; i++)
        d[i] = -q->grad[i];
    for (int k = 0; k < q->pairs; k++) {
        const int at = (q->newest - k + PAIRS) % PAIRS;
        const double *s = q->step + (size_t)at * q->dim, *y = q->change + (size_t)at * q->dim;
        alpha[at] = q->inverse[at] * dot(s, d, q->dim);
        for (size_t i = 0; i < q->dim; i++)
            d[i] -= alpha[at] * y[i];
    }
    if (q->pairs) {
        const double *y = q->change + (size_t)q->newest * q->dim;
        const double scale = 1 / (q->inverse[q->newest] * dot(y, y, q->dim));
        for (size_t i = 0; i < q->dim; i++)
            d[i] *= scale;
    }
    for (int k = q->pairs - 1; k >= 0; k--) {
        const int at = (q->newest - k + PAIRS) % PAIRS;
        const double *s = q->step + (size_t)at * q->dim, *y = q->change + (size_t)at * q->dim;
        const double beta = alpha[at] - q->inverse[at] * dot(y, d, q->dim);
        for (size_t i = 0; i < q->dim; i++)
            d[i] += beta * s[i];
    }
}

/* Remembers the step from w to next, unless it shows no curvature that rounding leaves. */
static void remember(struct problem *q)
{
    const int at = (q->newest + 1) % PAIRS;
    double *s = q->step + (size_t)at * q->dim, *y = q->change + (size_t)at * q->dim;
    for (size_t i = 0; i < q->dim; i++) {
        s[i] = q->next[i] - q->w[i];
        y[i] = q->next_grad[i] - q->grad[i];
    }
    const double curvature = dot(s, y, q->dim);
    if (!(curvature > 1e-14 * dot(y, y, q->dim)))
        return;
    q->inverse[at] = 1 / curvature;
    q->newest = at;
    q->pairs += q->pairs < PAIRS;
}

/* A step along the direction that lowers the objective enough (Armijo); false: there is none. Where
 * the decrease is lost in rounding, the gradient's length decides. */
static bool search(struct problem *q, double *objective, double *scratch)
{
    const double slope = dot(q->direction, q->grad, q->dim);
    double length = q->pairs ? 1 : 1 / fmax(1, sqrt(dot(q->grad, q->grad, q->dim)));
    for (int tries = 0; tries < 60; tries++, length /= 2) {
        for (size_t i = 0; i < q->dim; i++)
            q->next[i] = q->w[i] + length * q->direction[i];
        const double value = evaluate(q, q->next, q->next_grad, scratch);
        const bool lost = fabs(value - *objective) <= 1e-14 * fabs(*objective);
        if (value <= *objective + 1e-4 * length * slope ||
            (lost && largest(q->next_grad, q->dim) < largest(q->grad, q->dim))) {
            *objective = value;
            return true;
        }
    }
    return false;
}

static int open_problem(struct problem *q, struct err *e)
{
    q->dim = (size_t)q->vectors * (size_t)(q->width + 1);
    q->newest = PAIRS - 1;
    if (!(q->memory = mem_alloc((5 + 2 * PAIRS) * q->dim, sizeof *q->memory, e)))
        return -1;
    double **const parts[] = {&q->w, &q->grad, &q->next, &q->next_grad, &q->direction, &q->step};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        *parts[k] = q->memory + k * q->dim;
    q->change = q->step + PAIRS * q->dim;
    return 0;
}

int logistic_fit(struct logistic *l, const float *x, const int *label, int n, int width,
                 int classes, const struct logistic_options *o, struct err *e)
{
    const int vectors = classes == 2 ? 1 : classes;
    struct problem q = {.x = x,
                        .label = label,
                        .n = n,
                        .width = width,
                        .classes = classes,
                        .vectors = vectors,
                        .c = o->c};
    double *scratch = mem_alloc(2 * (size_t)classes, sizeof *scratch, e);
    *l = (struct logistic){.classes = classes, .width = width, .vectors = vectors};
    if (!scratch || open_problem(&q, e) || !(l->coef = mem_alloc(q.dim, sizeof *l->coef, e))) {
        free(scratch);
        free(q.memory);
        return -1;
    }
    l->intercept = l->coef + (size_t)vectors * (size_t)width;
    l->objective = evaluate(&q, q.w, q.grad, scratch);
    while (!(l->converged = largest(q.grad, q.dim) <= o->tolerance) &&
           l->iterations < o->max_iterations) {
        choose_direction(&q);
        if (!search(&q, &l->objective, scratch))
            break;
        remember(&q);
        memcpy(q.w, q.next, q.dim * sizeof *q.w);
        memcpy(q.grad, q.next_grad, q.dim * sizeof *q.grad);
        l->iterations++;
    }
    memcpy(l->coef, q.w, q.dim * sizeof *q.w);
    double mean = 0;
    for (int k = 0; vectors > 1 && k < vectors; k++)
        mean += l->intercept[k] / vectors;
    for (int k = 0; k < vectors; k++)
        l->intercept[k] -= mean;
    free(scratch);
    free(q.memory);
    return 0;
}

int logistic_predict(const struct logistic *l, const float *x, double *p)
{
    int best = 0;
    double *z = p; /* the scores turn into probabilities in place */
    row_scores(l->coef, l->intercept, l->vectors, l->width, x, z);
    probabilities(z, l->classes, l->vectors, p);
    for (int k = 1; k < l->classes; k++)
        best = p[k] > p[best] ? k : best;
    return best;
}

void logistic_fini(struct logistic *l)
{
    free(l->coef);
    *l = (struct logistic){0};
}
