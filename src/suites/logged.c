/* Metrics again, from what a log holds of them: ours or OpenUnlearning's. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "eval/rouge.h"
#include "suites/kinds.h"

#define SAME 1e-9 /* two computations of one ROUGE value */

/* What a row adds to the mean; NaN: it has no value. */
typedef int row_reader(const struct metric *m, const json_t *row, double *value, struct err *e);

/* The values of all rows, owned by the caller. */
static double *read_rows(const struct metric *m, json_t *rows, row_reader *read, int *n,
                         struct err *e)
{
    size_t size = json_object_size(rows);
    if (!size) {
        err_set(e, "it has no rows in 'value_by_index'");
        return NULL;
    }
    double *value = mem_alloc(size, sizeof *value, e);
    const char *index;
    json_t *row;
    *n = 0;
    if (value)
        json_object_foreach(rows, index, row) if (read(m, row, &value[(*n)++], e))
        {
            err_prefix(e, "row %s: ", index);
            free(value);
            return NULL;
        }
    return value;
}

static int mean_of(const struct metric *m, json_t *logged, row_reader *read, struct result *out,
                   struct err *e)
{
    json_t *rows = json_object_get(logged, "value_by_index");
    int n;
    double *value = read_rows(m, rows, read, &n, e);
    return value ? suite_mean(json_incref(rows), value, n, out, e) : -1;
}

/* A number, or the mean of a list of numbers. */
static int probability(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    const json_t *p = json_object_get(row, "prob");
    size_t n = json_array_size(p);
    double sum = 0;
    (void)m, (void)e;
    for (size_t i = 0; i < n; i++)
        sum += peer_value(json_array_get(p, i));
    *value = json_is_array(p) ? sum / (double)n : peer_value(p);
    return 0;
}

static int score(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    (void)m, (void)e;
    *value = peer_value(json_object_get(row, "score"));
    return 0;
}

static int truth(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    (void)e;
    *value = stats_truth_value(peer_value(json_object_get(row, "score")), m->truth);
    return 0;
}

/* One figure of ROUGE, and where rows hold it. */
struct rouge_field {
    const char *key;
    size_t offset;
};

static const struct rouge_field recall_l = {"rougeL_recall", offsetof(struct rouge, recall_l)};
static const struct rouge_field recall_1 = {"rouge1_recall", offsetof(struct rouge, recall_1)};
static const struct rouge_field f1_l = {"rougeL_f1", offsetof(struct rouge, f1_l)};

/* ROUGE of the row's texts; what it holds for it where it has no texts. */
static int read_rouge(const struct metric *m, const json_t *row, const struct rouge_field *f,
                      double *value, struct err *e)
{
    const char *want = json_string_value(json_object_get(row, "ground_truth"));
    const char *got = json_string_value(json_object_get(row, "generation"));
    double held = peer_value(json_object_get(row, f->key));
    struct rouge r;
    *value = held;
    if (!want || !got)
        return 0;
    if (rouge_score(want, got, true, &r, e))
        return -1;
    *value = *(const double *)((const char *)&r + f->offset);
    if (fabs(*value - held) > SAME)
        log_warn("%s: a row holds ROUGE %.6g, its texts give %.6g, which counts", m->name, held,
                 *value);
    return 0;
}

static int recall(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    return read_rouge(m, row, &recall_l, value, e);
}

static int rouge_1(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    return read_rouge(m, row, &recall_1, value, e);
}

static int f1(const struct metric *m, const json_t *row, double *value, struct err *e)
{
    return read_rouge(m, row, &f1_l, value, e);
}

int logged_probability(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, probability, out, e);
}

int logged_recall(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, recall, out, e);
}

int logged_rouge_1(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, rouge_1, out, e);
}

int logged_f1(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, f1, out, e);
}

int logged_score(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, score, out, e);
}

int logged_truth(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    return mean_of(m, logged, truth, out, e);
}

int logged_attack(const struct metric *m, json_t *logged, struct result *out, struct err *e)
{
    static const char *const sides[] = {"forget", "holdout"};
    json_t *rows[2];
    (void)m;
    for (int i = 0; i < 2; i++) {
        rows[i] = peer_rows(logged, sides[i]);
        if (!json_object_size(rows[i]))
            return err_set(e, "'%s': it has no rows in 'value_by_index'", sides[i]);
    }
    return suite_attack(rows[0], rows[1], out, e);
}
