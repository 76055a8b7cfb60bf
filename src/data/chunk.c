#include "data/chunk.h"

#include <limits.h>

#include "base/mem.h"

int dataset_chunk(struct dataset *d, enum role role, const int *ids, size_t n, int length, int bos,
                  struct err *e)
{
    size_t slice = (size_t)length, head = bos >= 0, chunks = (n + slice - 1) / slice;
    *d = (struct dataset){.role = role};
    if (n > INT_MAX / 4 || length < 1)
        return err_set(e, "%zu tokens cannot be cut into pieces of %d", n, length);
    d->seqs = mem_alloc(chunks + 1, sizeof *d->seqs, e);
    d->rows = d->seqs ? mem_alloc(chunks + 1, sizeof *d->rows, e) : NULL;
    d->item = d->rows ? mem_alloc(chunks + 1, sizeof *d->item, e) : NULL;
    d->pool = d->item ? mem_alloc(2 * (n + chunks), sizeof *d->pool, e) : NULL;
    if (!d->pool) {
        dataset_fini(d);
        return -1;
    }
    int *p = d->pool;
    for (size_t at = 0; at < n; at += slice) {
        size_t own = n - at < slice ? n - at : slice, count = head + own;
        if (count < 2)
            continue;
        int *labels = p + count;
        for (size_t t = 0; t < count; t++) {
            p[t] = t < head ? bos : ids[at + t - head];
            labels[t] = t ? p[t] : LABEL_NONE;
        }
        d->seqs[d->n] = (struct seq){.n = (int)count, .ids = p, .labels = labels};
        d->rows[d->n] = d->n;
        d->n++;
        d->n_labels += (int)count - 1;
        p += 2 * count;
    }
    return d->n ? 0 : err_set(e, "the text is too short to learn from (%zu tokens)", n);
}
