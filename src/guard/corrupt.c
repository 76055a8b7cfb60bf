#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "guard/eco.h"

const struct eco_kind eco_kinds[] = {
    {"rand_noise_first_n", ECO_FIRST, ECO_NOISE},
    {"rand_noise_rand_n", ECO_DRAWN, ECO_NOISE},
    {"rand_noise_top_k", ECO_LARGEST, ECO_NOISE},
    {"set_rand_noise_first_n", ECO_FIRST, ECO_SET_NOISE},
    {"zero_out_first_n", ECO_FIRST, ECO_ZERO},
    {"zero_out_top_k", ECO_LARGEST, ECO_ZERO},
    {"flip_sign_first_n", ECO_FIRST, ECO_FLIP},
    {"flip_sign_top_k", ECO_LARGEST, ECO_FLIP},
    {"add_value_first_n", ECO_FIRST, ECO_ADD},
    {"sub_value_first_n", ECO_FIRST, ECO_SUBTRACT},
    {"sub_value_top_k", ECO_HIGHEST, ECO_SUBTRACT},
    {"add_value_least_k", ECO_LOWEST, ECO_ADD},
    {"reverse_order", ECO_ORDER, ECO_REVERSE},
    {"shuffle", ECO_ORDER, ECO_SHUFFLE},
    {NULL, ECO_FIRST, ECO_ZERO},
};

const struct eco_kind *eco_kind_by_name(const char *name)
{
    for (const struct eco_kind *k = eco_kinds; k->name; k++)
        if (!strcasecmp(k->name, name))
            return k;
    return NULL;
}

struct ranked {
    float key;
    int dim;
};

/* Largest key first, lower dimensions first among equals. */
static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key) - (x->key > y->key)
                            : (x->dim > y->dim) - (x->dim < y->dim);
}

static float key_of(enum eco_dims dims, float v)
{
    return dims == ECO_LARGEST ? fabsf(v) : dims == ECO_HIGHEST ? v : -v;
}

/* The dimensions of one position, into room[c->dims].dim. */
static void choose(const struct eco_call *c, const float *x, int width, struct ranked *room)
{
    const enum eco_dims dims = c->kind->dims;
    for (int j = 0; j < (dims >= ECO_LARGEST ? width : c->dims); j++)
        room[j] = (struct ranked){dims >= ECO_LARGEST ? key_of(dims, x[j]) : 0,
                                  dims == ECO_DRAWN ? c->drawn[j] : j};
    if (dims >= ECO_LARGEST)
        qsort(room, (size_t)width, sizeof *room, compare);
}

static float changed(enum eco_change how, float v, float noise, float strength)
{
    switch (how) {
    case ECO_NOISE:
        return v + noise;
    case ECO_SET_NOISE:
        return noise;
    case ECO_FLIP:
        return -v;
    case ECO_ADD:
        return v + strength;
    case ECO_SUBTRACT:
        return v - strength;
    default:
        return 0;
    }
}

static int reorder(const struct eco_call *c, float *x, int n, int width, struct err *e)
{
    const size_t row = (size_t)width;
    float *was = mem_alloc((size_t)n * row, sizeof *was, e);
    if (!was)
        return -1;
    memcpy(was, x, (size_t)n * row * sizeof *was);
    for (int t = 0; t < n; t++)
        memcpy(x + (size_t)t * row, was + (size_t)c->order[t] * row, row * sizeof *was);
    free(was);
    return 0;
}

int eco_corrupt(const struct eco_call *c, float *x, const uint8_t *mask, int n, int width,
                struct err *e)
{
    if (c->kind->dims == ECO_ORDER)
        return reorder(c, x, n, width, e);
    struct ranked *room = mem_alloc((size_t)width, sizeof *room, e);
    const float *noise = c->noise;
    if (!room)
        return -1;
    for (int t = 0; t < n; t++, x += width) {
        if (!mask[t]) {
            for (int j = 0; j < c->dims && c->kind->change == ECO_SET_NOISE; j++)
                x[j] = 0;
            continue;
        }
        choose(c, x, width, room);
        for (int j = 0; j < c->dims; j++)
            x[room[j].dim] =
                changed(c->kind->change, x[room[j].dim], noise ? noise[j] : 0, c->strength);
        noise = noise ? noise + c->dims : NULL;
    }
    free(room);
    return 0;
}

double eco_step(const struct eco_search *o, double s, double forward, double backward)
{
    return fmax(s - o->lr * (forward - backward) / (2 * o->eps), o->least);
}

void eco_step_vector(const struct eco_search *o, double *s, const double *u, int n, double forward,
                     double backward)
{
    const double along = (forward - backward) / (2 * o->eps);
    for (int i = 0; i < n; i++)
        s[i] = fmax(s[i] - o->lr * along * u[i], o->least);
}

double eco_threshold(double *scores, int n, double rate)
{
    const int allowed = (int)(rate * n + 1e-9); /* 0.29 * 100 is below 29 in binary */
    sort_doubles(scores, (size_t)n);
    return allowed < n ? scores[n - 1 - allowed] : scores[0] - 1;
}
