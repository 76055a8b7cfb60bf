#include "eval/perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/example.h"

/* Texts as sequences of which all but the first token is scored; short ones have no labels. */
struct texts {
    struct seq *seqs; /* owned [n]; pointing into the pool */
    int *pool;        /* owned: ids, then labels, of each in turn */
    size_t len, cap;
};

static int add(struct texts *t, int i, const char *text, const struct encoder *enc, struct err *e)
{
    const int *prompt, *whole;
    int n_prompt, n;
    if (enc->encode(enc->ctx, NULL, text, &prompt, &n_prompt, &whole, &n, e) ||
        mem_reserve(&t->pool, &t->cap, t->len + 2 * (size_t)n, sizeof *t->pool, e))
        return -1;
    int *ids = t->pool + t->len, *labels = ids + n;
    for (int k = 0; k < n; k++) {
        ids[k] = whole[k];
        labels[k] = k ? whole[k] : LABEL_NONE;
    }
    t->seqs[i].n = n;
    t->len += 2 * (size_t)n;
    return 0;
}

int perplexity_of(const char *const *texts, int n, const struct backend *judge,
                  const struct encoder *encoder, double *out, struct err *e)
{
    struct texts t = {.seqs = mem_alloc((size_t)n, sizeof *t.seqs, e)};
    struct dataset d = {.role = ROLE_GENERIC, .n = n, .seqs = t.seqs};
    struct scores s;
    int rc = t.seqs ? 0 : -1;
    for (int i = 0; i < n && !rc; i++)
        rc = *texts[i] ? add(&t, i, texts[i], encoder, e) : 0;
    size_t at = 0;
    for (int i = 0; i < n && !rc; i++) { /* now the pool no longer moves */
        t.seqs[i].ids = t.pool + at;
        t.seqs[i].labels = t.pool + at + t.seqs[i].n;
        at += 2 * (size_t)t.seqs[i].n;
    }
    if (!rc && !(rc = judge->score(judge->ctx, &d, false, &s, e))) {
        for (int i = 0; i < n; i++)
            out[i] = exp(example_loss(&s.v[i]));
        scores_fini(&s);
    }
    free(t.seqs);
    free(t.pool);
    return rc;
}
