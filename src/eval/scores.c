#include "eval/scores.h"

#include <math.h>
#include <stdlib.h>

double scores_mean_loss(const struct score *s)
{
    return s->n ? s->nll / s->n : NAN;
}

void answers_free(struct answer *a, int n)
{
    for (int i = 0; a && i < n; i++) {
        free(a[i].input);
        free(a[i].whole);
        free(a[i].answer);
    }
    free(a);
}
