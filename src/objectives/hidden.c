#include "objectives/hidden.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char digits[] = "0123456789";

int hidden_layer(const void *params)
{
    const struct hidden_place *p = params;
    if (!p->module_regex)
        return (int)p->layer;
    const char *number = p->module_regex + strcspn(p->module_regex, digits);
    char *end;
    long layer = strtol(number, &end, 10);
    return end == number || layer > INT_MAX || strpbrk(end, digits) ? -1 : (int)layer;
}

/* What a label token of sequence b counts, [S]. */
static double *token_weights(const struct view *v, struct err *e)
{
    double *w = mem_alloc((size_t)v->n_seqs, sizeof *w, e), inverse = 0;
    if (!w)
        return NULL;
    for (int t = 0; t < v->n_tokens; t++)
        w[v->token_seq[t]] += v->scored[t];
    for (int b = 0; b < v->n_seqs; b++) {
        w[b] = w[b] > 0 ? 1 / w[b] : 0;
        inverse += w[b];
    }
    for (int b = 0; b < v->n_seqs; b++)
        w[b] = (v->compat & COMPAT_RMU_BXB ? inverse / v->n_seqs : w[b]) / v->mean_seqs;
    return w;
}

int hidden_add_distance(struct view *v, const struct hidden_target *to, double *loss, struct err *e)
{
    double *w = token_weights(v, e);
    if (!w)
        return -1;
    size_t width = (size_t)v->width;
    for (int t = 0; t < v->n_tokens; t++) {
        if (!v->scored[t])
            continue;
        size_t at = (size_t)t * width;
        const float *row = to->base + (size_t)t * to->stride;
        double scale = to->scale ? to->scale[t] : 1, sum = 0;
        double share = w[v->token_seq[t]] / (double)width;
        for (size_t c = 0; c < width; c++) {
            double d = (double)v->hidden[at + c] - scale * (double)row[c];
            sum += d * d;
            v->dhidden[at + c] += (float)(2 * d * share);
        }
        *loss += sum * share;
    }
    free(w);
    return 0;
}
