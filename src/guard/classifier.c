#include "guard/classifier.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "guard/eco.h"
#include "guard/match.h"
#include "model/states.h"

static const char format[] = "unlearn classifier";
static const char *const feature_name[] = {"ngrams", "states"};

enum { MOST_BITS = 24, MOST_NGRAM = 8 };

void classifier_close(struct classifier *c)
{
    free(c->weight);
    *c = (struct classifier){0};
}

/* --- features --- */

/* The buckets of a text's n-grams, each once, ascending; owned by the caller. */
static int buckets(const struct classifier *c, const char *text, uint32_t **out, size_t *n,
                   struct err *e)
{
    struct buf words = {0};
    size_t cap = 0;
    int rc = match_words(text, &words, e);
    *out = NULL;
    *n = 0;
    for (int k = 1; k <= c->ngram && !rc; k++) {
        uint64_t *gram = NULL;
        size_t count = 0;
        rc = match_grams(words.data, k, &gram, &count, e) ||
             mem_reserve(out, &cap, *n + count + 1, sizeof **out, e);
        for (size_t i = 0; i < count && !rc; i++)
            (*out)[(*n)++] = (uint32_t)(gram[i] >> (64 - c->bits));
        free(gram);
    }
    buf_fini(&words);
    size_t kept = 0;
    for (size_t i = 0; i < *n && !rc; i++) { /* texts are short: no sort is needed */
        size_t j = 0;
        while (j < kept && (*out)[j] != (*out)[i])
            j++;
        if (j == kept)
            (*out)[kept++] = (*out)[i];
    }
    *n = kept;
    return rc ? -1 : 0;
}

/* What each n-gram of a text of n counts: rows have length 1. */
static float share(size_t n)
{
    return n ? (float)(1 / sqrt((double)n)) : 0;
}

/* The mean over the prompt's tokens of the hidden states of a layer, x [width]. */
static int mean_state(struct model *m, int layer, const struct seq *ids, float *x, struct err *e)
{
    struct arena a;
    struct batch b;
    struct states s;
    arena_init(&a);
    const int width = m->cfg.width, n = ids->n;
    int *token = arena_take(&a, (size_t)n + 1, sizeof *token, e);
    for (int t = 0; token && t < n; t++)
        token[t] = t;
    int rc = !token || batch_pack(&b, ids, 1, m->cfg.vocab, m->cfg.positions, &a, e) ||
             states_read(&s, m, &b, token, n, &a, e);
    if (!rc) {
        const device float *at = states_at(&s, layer);
        const float *from = m->ops->map_read(at, (size_t)n * (size_t)width);
        for (int j = 0; j < width; j++) {
            double sum = 0;
            for (int t = 0; t < n; t++)
                sum += (double)from[(size_t)t * (size_t)width + (size_t)j];
            x[j] = (float)(sum / n);
        }
        m->ops->unmap(at);
    }
    arena_fini(&a);
    return rc ? -1 : 0;
}

int classifier_score_of(const struct classifier *c, struct model *m, const char *text,
                        const struct seq *ids, double *score, struct err *e)
{
    double z = c->intercept;
    if (c->features == CLASSIFIER_NGRAMS) {
        uint32_t *at;
        size_t n;
        int rc = buckets(c, text, &at, &n, e);
        for (size_t i = 0; i < n && !rc; i++)
            z += (double)c->weight[at[i]] * (double)share(n);
        free(at);
        *score = 1 / (1 + exp(-z));
        return rc;
    }
    float *x = mem_alloc(c->width, sizeof *x, e);
    int rc = x ? mean_state(m, c->layer, ids, x, e) : -1;
    for (size_t j = 0; j < c->width && !rc; j++)
        z += (double)c->weight[j] * (double)x[j];
    free(x);
    *score = 1 / (1 + exp(-z));
    return rc;
}

int classifier_score(const struct classifier *c, const struct guard_part *p,
                     const struct guard_prompt *q, double *score, struct err *e)
{
    if (c->features == CLASSIFIER_NGRAMS && !q->text)
        return err_set(e, "a classifier of words needs the model's tokenizer");
    return classifier_score_of(c, p->host->model, q->text, &q->seq, score, e);
}

/* --- the file --- */

int classifier_parse(struct classifier *c, const json_t *file, const struct tensor_file *weights,
                     const char *path, struct err *e)
{
    const char *is = NULL, *features = NULL;
    int64_t ngram = 3, bits = 18, layer = 0;
    *c = (struct classifier){.threshold = 0.5};
    if (!json_is_object(file) || json_opt_str(file, "format", &is, e) || !is || strcmp(is, format))
        return err_code(e, ERR_BAD_FILE, "'%s' is no classifier: it has no \"format\": \"%s\"",
                        path, format);
    if (json_need_str(file, "features", &features, e) ||
        json_opt_int(file, "ngram", 1, MOST_NGRAM, &ngram, e) ||
        json_opt_int(file, "bits", 1, MOST_BITS, &bits, e) ||
        json_opt_int(file, "layer", 0, 1 << 16, &layer, e) ||
        json_need_real(file, "threshold", &c->threshold, e) ||
        json_need_real(file, "intercept", &c->intercept, e))
        return err_prefix(e, "'%s': ", path), err_class(e, ERR_BAD_FILE);
    c->features = strcmp(features, feature_name[0]) ? CLASSIFIER_STATES : CLASSIFIER_NGRAMS;
    if (strcmp(features, feature_name[c->features]))
        return err_code(e, ERR_BAD_FILE, "'%s': unknown features '%.40s'; there are ngrams, states",
                        path, features);
    c->ngram = (int)ngram;
    c->bits = (int)bits;
    c->layer = (int)layer;
    const struct tensor *t = tensor_find(weights, "weight");
    if (!t || t->n_dims != 1 ||
        (c->features == CLASSIFIER_NGRAMS && t->shape[0] != (int64_t)1 << c->bits))
        return err_code(e, ERR_BAD_FILE,
                        "'%s': its weights have no tensor 'weight' of the right size", path);
    c->width = (size_t)t->shape[0];
    return (c->weight = tensor_f32(t, e)) ? 0 : -1;
}

/* The weights' file: PATH with .safetensors for .json. */
static char *weights_of(const char *path, struct err *e)
{
    size_t n = strlen(path);
    struct buf b = {0};
    n -= n > 5 && !strcmp(path + n - 5, ".json") ? 5 : 0;
    if (!buf_add(&b, path, n, e) && !buf_str(&b, ".safetensors", e))
        return b.data;
    buf_fini(&b);
    return NULL;
}

int classifier_open(struct classifier *c, const char *path, const struct guard_part *p,
                    struct err *e)
{
    char *full = p->dir && *path != '/' ? file_join(p->dir, path, e) : mem_strdup(path, e);
    char *weights = full ? weights_of(full, e) : NULL;
    json_t *file = weights ? json_read_file(full, e) : NULL;
    struct tensor_file f = {0};
    int rc = !file || tensor_file_open(&f, weights, e) || classifier_parse(c, file, &f, full, e);
    const struct model_config *cfg = &p->host->model->cfg;
    if (!rc && c->features == CLASSIFIER_STATES &&
        (c->width != (size_t)cfg->width || c->layer > cfg->layers))
        rc = err_set(e, "'%s' was trained on states of another model: %zu numbers, this one has %d",
                     full, c->width, cfg->width);
    if (!rc && c->features == CLASSIFIER_NGRAMS && !p->host->tok)
        rc = err_set(e, "'%s' reads words, and the model has no tokenizer", full);
    tensor_file_close(&f);
    json_decref(file);
    free(weights);
    free(full);
    return rc ? -1 : 0;
}

int classifier_save(const struct classifier *c, const json_t *report, const char *path,
                    struct err *e)
{
    char *weights = weights_of(path, e);
    const int64_t shape[] = {(int64_t)c->width};
    json_t *file =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:O?}", "format", format, "features",
                  feature_name[c->features], "ngram", c->ngram, "bits", c->bits, "layer", c->layer,
                  "threshold", c->threshold, "intercept", c->intercept, "report", report);
    struct tensor_out *out = weights && file ? tensor_out_open(weights, e) : NULL;
    int rc = !out || tensor_out_add(out, "weight", DT_F32, 1, shape, e) ||
             tensor_out_write(out, c->weight, e);
    if (rc)
        tensor_out_abort(out);
    rc = rc || tensor_out_commit(out, e) || json_write_file(file, path, JSON_INDENT(2), e);
    if (rc && !file && weights)
        err_no_memory(e, "classifier");
    json_decref(file);
    free(weights);
    return rc ? -1 : 0;
}

/* --- training --- */

/* Rows of features, dense: of n-grams only the buckets that some row has, as the others' weights
 * are 0 at the optimum. */
struct feature_table {
    float *x; /* owned [n, width] */
    size_t width;
    uint32_t *column; /* owned [width]: the bucket of each column; NULL: columns are features */
};

static int make_states(struct feature_table *t, const struct classifier *c, struct model *m,
                       const struct seq *ids, int n, struct err *e)
{
    t->width = (size_t)m->cfg.width;
    if (!(t->x = mem_alloc((size_t)n * t->width, sizeof *t->x, e)))
        return -1;
    for (int i = 0; i < n; i++)
        if (mean_state(m, c->layer, &ids[i], t->x + (size_t)i * t->width, e))
            return -1;
    return 0;
}

static int make_ngrams(struct feature_table *t, const struct classifier *c,
                       const char *const *texts, const bool *held, int n, struct err *e)
{
    const size_t all = (size_t)1 << c->bits;
    int *column = mem_alloc(all, sizeof *column, e); /* of a bucket, from 1 */
    uint32_t **at = mem_alloc((size_t)n, sizeof *at, e);
    size_t *count = mem_alloc((size_t)n, sizeof *count, e), cap = 0;
    int rc = column && at && count ? 0 : -1;
    for (int i = 0; i < n && !rc; i++) {
        rc = buckets(c, texts[i], &at[i], &count[i], e) ||
             mem_reserve(&t->column, &cap, t->width + count[i] + 1, sizeof *t->column, e);
        for (size_t k = 0; k < count[i] && !rc && !held[i]; k++)
            if (!column[at[i][k]]) {
                t->column[t->width++] = at[i][k];
                column[at[i][k]] = (int)t->width;
            }
    }
    rc = rc || !(t->x = mem_alloc((size_t)n * t->width, sizeof *t->x, e));
    for (int i = 0; i < n && !rc; i++)
        for (size_t k = 0; k < count[i]; k++)
            if (column[at[i][k]])
                t->x[(size_t)i * t->width + (size_t)column[at[i][k]] - 1] = share(count[i]);
    for (int i = 0; at && i < n; i++)
        free(at[i]);
    free(at);
    free(count);
    free(column);
    return rc ? -1 : 0;
}

/* Fits to the rows that are not held out, packed to the front of a copy. */
static int fit(struct classifier *c, const struct classifier_training *how,
               const struct feature_table *t, const int *label, const bool *held, int n,
               struct err *e)
{
    const struct logistic_options o = {how->c, 1e-8, 5000};
    struct logistic l = {0};
    float *x = mem_alloc((size_t)n * t->width, sizeof *x, e);
    int *y = mem_alloc((size_t)n, sizeof *y, e), rows = 0;
    for (int i = 0; x && y && i < n; i++)
        if (!held[i]) {
            memcpy(x + (size_t)rows * t->width, t->x + (size_t)i * t->width, t->width * sizeof *x);
            y[rows++] = label[i];
        }
    int rc = !x || !y || logistic_fit(&l, x, y, rows, (int)t->width, 2, &o, e);
    for (size_t j = 0; j < t->width && !rc; j++)
        c->weight[t->column ? t->column[j] : j] = (float)l.coef[j];
    if (!rc)
        c->intercept = l.intercept[0];
    logistic_fini(&l);
    free(x);
    free(y);
    return rc ? -1 : 0;
}

int classifier_fit(struct classifier *c, const struct classifier_training *how, struct model *m,
                   const char *const *texts, const struct seq *ids, const int *label,
                   const bool *held, int n, double *figures, struct err *e)
{
    struct feature_table t = {0};
    *c = (struct classifier){
        .features = how->features, .ngram = how->ngram, .bits = how->bits, .layer = how->layer};
    c->width = c->features == CLASSIFIER_NGRAMS ? (size_t)1 << c->bits : (size_t)m->cfg.width;
    double *score = mem_alloc((size_t)n, sizeof *score, e);
    double *kept = mem_alloc((size_t)n, sizeof *kept, e);
    int n_kept = 0, of[2] = {0}, above[2] = {0};
    int rc = !score || !kept || !(c->weight = mem_alloc(c->width, sizeof *c->weight, e)) ||
             (c->features == CLASSIFIER_NGRAMS ? make_ngrams(&t, c, texts, held, n, e)
                                               : make_states(&t, c, m, ids, n, e)) ||
             fit(c, how, &t, label, held, n, e);
    for (int i = 0; i < n && !rc; i++)
        if (held[i]) {
            rc = classifier_score_of(c, m, texts ? texts[i] : NULL, ids ? &ids[i] : NULL, &score[i],
                                     e);
            if (!label[i])
                kept[n_kept++] = score[i];
        }
    if (!rc && !n_kept)
        rc = err_set(e, "no prompt that is to be kept is left to choose the threshold on");
    if (!rc)
        c->threshold = eco_threshold(kept, n_kept, how->rate);
    for (int i = 0; i < n && !rc; i++)
        if (held[i]) {
            of[label[i]]++;
            above[label[i]] += score[i] > c->threshold;
        }
    for (int k = 0; k < 2 && !rc; k++)
        figures[k] = of[1 - k] ? (double)above[1 - k] / of[1 - k] : NAN;
    free(t.x);
    free(t.column);
    free(score);
    free(kept);
    return rc ? -1 : 0;
}
