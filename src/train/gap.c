#include "train/gap.h"

#include "base/mem.h"
#include "model/divergence.h"

int gap_measure(double *gap, struct model *from, struct model *to, const struct dataset *set,
                struct err *e)
{
    struct progress bar;
    double sum = 0, labels = 0;
    struct divergence *each = mem_alloc((size_t)set->n, sizeof *each, e);
    if (!each)
        return -1;
    progress_start(&bar, "gap", set->n);
    int rc = model_divergence(each, to, from, set->seqs, set->n, NULL, &bar, e);
    progress_end(&bar);
    for (int i = 0; i < set->n && !rc; i++) {
        sum += each[i].kl;
        labels += each[i].n;
    }
    *gap = labels > 0 ? sum / labels : 0;
    free(each);
    return rc;
}
