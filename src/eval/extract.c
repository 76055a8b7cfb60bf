#include "eval/extract.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/ngrams.h"
#include "model/generate.h"

/* Prompt i is the prefix of first + i tokens; with its continuation it is as long as the text.
 */
struct lengths {
    int first, len;
};

static bool full(void *ctx, int prompt, const int *ids, int n)
{
    const struct lengths *s = ctx;
    (void)ids;
    return s->first + prompt + n >= s->len;
}

/* both: room for the rest of the text and the continuation. */
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

int extract_likelihood(struct model *m, const int *ids, int len, int first, int n, double *out,
                       struct err *e)
{
    struct lengths lengths = {first, len};
    struct generate_options o = {
        .max_new_tokens = len - first, .token = full, .token_ctx = &lengths};
    int prefixes = len - n - first + 1, rc = -1;
    double sum = 0;
    *out = NAN;
    if (prefixes < 1)
        return 0;
    struct seq *prompts = mem_alloc((size_t)prefixes, sizeof *prompts, e);
    struct generation *g = mem_alloc((size_t)prefixes, sizeof *g, e);
    int *both = mem_alloc(2 * (size_t)len, sizeof *both, e);
    if (prompts && g && both) {
        for (int i = 0; i < prefixes; i++)
            prompts[i] = (struct seq){.n = first + i, .ids = ids};
        rc = model_generate(g, m, prompts, prefixes, &o, NULL, e);
    }
    for (int i = 0; !rc && i < prefixes; i++)
        rc = share(ids + first + i, len - first - i, &g[i], n, both, &sum, e);
    if (!rc)
        *out = sum / prefixes;
    for (int i = 0; g && i < prefixes; i++)
        generation_fini(&g[i]);
    free(g);
    free(prompts);
    free(both);
    return rc;
}
