#include "eval/example.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/sort.h"
#include "eval/texts.h"
#include "model/generate.h"

#define LEAST_VARIANCE 1e-6 /* of log p; part of the published definition */

double example_loss(const struct score *s)
{
    return s->n ? s->nll / s->n : NAN;
}

struct score example_drop_last(const struct score *s)
{
    struct score cut = *s;
    if (cut.n)
        cut.nll += (double)cut.logp[--cut.n];
    return cut;
}

double example_exact(const struct score *s)
{
    int right = 0;
    for (int i = 0; i < s->n; i++)
        right += s->best[i] == s->label[i];
    return s->n ? (double)right / s->n : NAN;
}

double example_strength(const struct score *s, bool floor)
{
    int k = s->n;
    while (k > 0 && s->best[k - 1] == s->label[k - 1])
        k--;
    if (floor && s->n && k == s->n)
        k--;
    return s->n ? 1 - (double)k / s->n : 0;
}

/* Minus the mean of the smallest of v[n], which is sorted. */
static double mean_of_smallest(double *v, int n, double k)
{
    int kept = (int)(n * k) > 1 ? (int)(n * k) : 1;
    double sum = 0;
    sort_doubles(v, (size_t)n);
    for (int i = 0; i < kept; i++)
        sum += v[i];
    return -sum / kept;
}

int example_min_k(const struct score *s, double k, double *out, struct err *e)
{
    double *v = mem_alloc((size_t)s->n, sizeof *v, e);
    if (!v)
        return -1;
    for (int i = 0; i < s->n; i++)
        v[i] = (double)s->logp[i];
    *out = s->n ? mean_of_smallest(v, s->n, k) : 0;
    free(v);
    return 0;
}

int example_min_k_plus_plus(const struct score *s, double k, double *out, struct err *e)
{
    double *v = mem_alloc((size_t)s->n, sizeof *v, e);
    if (!v)
        return -1;
    for (int i = 0; i < s->n; i++) {
        double off = (double)s->logp[i] - (double)s->mean[i];
        v[i] = off / sqrt(fmax((double)s->variance[i], LEAST_VARIANCE));
    }
    *out = s->n ? mean_of_smallest(v, s->n, k) : 0;
    free(v);
    return 0;
}

double example_entropy(const struct score *s)
{
    double sum = 0;
    for (int i = 0; s->mean && i < s->n; i++)
        sum -= (double)s->mean[i];
    return s->n && s->mean ? sum / s->n : NAN;
}

double example_reciprocal_rank(const struct score *s)
{
    double sum = 0;
    for (int i = 0; s->rank && i < s->n; i++)
        sum += 1 / (1 + (double)s->rank[i]);
    return s->n && s->rank ? sum / s->n : NAN;
}

static void *zlib_take(void *unused, uInt n, uInt size)
{
    struct err ignored;
    (void)unused;
    return mem_alloc(n, size, &ignored);
}

static void zlib_give(void *unused, void *p)
{
    (void)unused;
    free(p);
}

int example_zlib_bytes(const char *text, size_t *bytes, struct err *e)
{
    unsigned char out[4096];
    z_stream z = {.zalloc = zlib_take, .zfree = zlib_give};
    size_t n = strlen(text);
    if (n > UINT_MAX)
        return err_set(e, "a text of %zu bytes is too long for zlib", n);
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK)
        return err_no_memory(e, "zlib");
    z.next_in = (unsigned char *)text; /* not written to */
    z.avail_in = (uInt)n;
    int rc;
    do {
        z.next_out = out;
        z.avail_out = sizeof out;
        rc = deflate(&z, Z_FINISH);
    } while (rc == Z_OK);
    *bytes = z.total_out;
    deflateEnd(&z);
    return rc == Z_STREAM_END ? 0 : err_set(e, "zlib failed (%d)", rc);
}

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
