#include "eval/scores.h"

#include <stdlib.h>

void answers_free(struct answer *a, int n)
{
    for (int i = 0; a && i < n; i++) {
        free(a[i].input);
        free(a[i].whole);
        free(a[i].answer);
    }
    free(a);
}
