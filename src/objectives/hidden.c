#include "objectives/hidden.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

double hidden_distance(const struct state_view *s, const float *target, double scale, float *dh)
{
    double sum = 0, share = s->share / s->width;
    for (int c = 0; c < s->width; c++) {
        double d = (double)s->h[c] - scale * (double)target[c];
        sum += d * d;
        dh[c] += (float)(2 * d * share);
    }
    return sum / s->width;
}

double hidden_apart(const void *params, const struct state_view *s, float *dh)
{
    (void)params;
    double sum = 0;
    for (int c = 0; c < s->width; c++)
        sum += ((double)s->h[c] - (double)s->ref[c]) * ((double)s->h[c] - (double)s->ref[c]);
    double length = sqrt(sum);
    for (int c = 0; c < s->width && sum > 0; c++)
        dh[c] += (float)(((double)s->h[c] - (double)s->ref[c]) / length * s->share);
    return length;
}

double hidden_dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int c = 0; c < n; c++)
        sum += (double)a[c] * (double)b[c];
    return sum;
}
