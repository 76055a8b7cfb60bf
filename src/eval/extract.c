#include "eval/extract.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/ngrams.h"
#include "model/generate.h"

/* Prompt i is the prefix of i + 1 tokens; together with what it says it is as long as the text. */
static bool full(void *ctx, int prompt, const int *ids, int n)
{
    (void)ids;
    return prompt + 1 + n >= *(const int *)ctx;
}

/* both: room for the rest of the text and what was said instead. */
static int share(const int *rest, int n_rest, const struct generation *g, int n, int *both,
                 double *out, struct err *e)
{
    struct ngrams c;
    memcpy(both, rest, (size_t)n_rest * sizeof *both);
    memcpy(both + n_rest, g->ids, (size_t)g->n * sizeof *both);
    if (ngrams_compare(both, n_rest, g->n, n, &c, e))
        return -1;
    *out += (double)c.b_in_a / c.a;
    return 0;
}

int extract_likelihood(struct model *m, const int *ids, int len, int n, double *out, struct err *e)
{
    struct generate_options o = {.max_new_tokens = len - 1, .stop = full, .stop_ctx = &len};
    int prefixes = len - n, rc = -1;
    double sum = 0;
    *out = NAN;
    if (prefixes < 1)
        return 0;
    struct seq *prompts = mem_alloc((size_t)prefixes, sizeof *prompts, e);
    struct generation *g = mem_alloc((size_t)prefixes, sizeof *g, e);
    int *both = mem_alloc(2 * (size_t)len, sizeof *both, e);
    if (prompts && g && both) {
        for (int i = 0; i < prefixes; i++)
            prompts[i] = (struct seq){.n = i + 1, .ids = ids};
        rc = model_generate(g, m, prompts, prefixes, &o, NULL, e);
    }
    for (int i = 0; !rc && i < prefixes; i++)
        rc = share(ids + i + 1, len - i - 1, &g[i], n, both, &sum, e);
    if (!rc)
        *out = sum / prefixes;
    for (int i = 0; g && i < prefixes; i++)
        generation_fini(&g[i]);
    free(g);
    free(prompts);
    free(both);
    return rc;
}
