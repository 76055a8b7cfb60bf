#include "eval/fluency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "eval/ngrams.h"
#include "eval/rouge.h"

int fluency_of(const char *text, int n, struct fluency *out, struct err *e)
{
    struct buf words = {0};
    struct ngrams g;
    int count = rouge_tokens(text, strlen(text), ROUGE_LATIN, &words, e), rc = -1;
    int *ids = count < 0 ? NULL : mem_alloc((size_t)count, sizeof *ids, e);
    int different = ids ? words_number(words.data, count, ids, e) : -1;
    if (different >= 0)
        rc = ngrams_compare(ids, count, 0, n, &g, e);
    if (!rc)
        *out = (struct fluency){.words = count,
                                .unique = count ? (double)different / count : NAN,
                                .repetition = g.a ? 1 - (double)g.distinct_a / g.a : NAN,
                                .entropy = g.a ? g.entropy_a : NAN};
    free(ids);
    buf_fini(&words);
    return rc;
}
