/* Metrics that run the model: probabilities of given answers, and ROUGE of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/example.h"
#include "eval/rouge.h"
#include "eval/textclean.h"
#include "suites/suite.h"

enum { KEY = 16 }; /* room for a row number as text */

static const char *row_key(int row, char key[KEY])
{
    snprintf(key, KEY, "%d", row);
    return key;
}

/* The metric's data set if it is given and has the field at all. */
static const struct rows *find_rows(const struct metric *m, const struct suite *s)
{
    const struct rows *rows = s->sets[m->set];
    for (int i = 0; rows && i < rows->n; i++)
        if (json_object_get(rows->v[i], m->answer))
            return rows;
    return NULL;
}

static int no_memory(struct err *e)
{
    return err_set(e, "out of memory (results)");
}

/* {"agg_value": mean, "value_by_index": rows}; takes the reference. */
static int finish(json_t *rows, double mean, json_t **out, struct err *e)
{
    *out = json_pack("{s:o, s:o}", "agg_value", peer_number(mean), "value_by_index", rows);
    return *out ? 0 : no_memory(e);
}

/* Sequences i..i+n-1 are the answers of one row: scalars, or lists if the field holds a list.
 * Returns the mean probability of the answers, and the row in *out. */
static double probability_row(const struct score *v, int n, bool list, json_t **out)
{
    json_t *prob = json_array(), *loss = json_array();
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double l = example_loss(&v[i]), p = exp(-l);
        sum += p;
        json_array_append_new(prob, peer_number(p));
        json_array_append_new(loss, peer_number(l));
    }
    *out = json_pack("{s:O, s:O}", "prob", list ? prob : json_array_get(prob, 0), "avg_loss",
                     list ? loss : json_array_get(loss, 0));
    json_decref(prob);
    json_decref(loss);
    return sum / n;
}

static int probability_rows(const struct metric *m, const struct rows *rows,
                            const struct dataset *d, const struct scores *scores, json_t **out,
                            struct err *e)
{
    double *value = mem_alloc((size_t)d->n, sizeof *value, e);
    json_t *by_index = value ? json_object() : NULL;
    int rc = by_index ? 0 : -1, count = 0;
    for (int i = 0, n; !rc && i < d->n; i += n) {
        int row = d->rows[i];
        for (n = 1; i + n < d->n && d->rows[i + n] == row;)
            n++;
        char key[KEY];
        json_t *one;
        bool list = json_is_array(json_object_get(rows->v[row], m->answer));
        value[count++] = probability_row(&scores->v[i], n, list, &one);
        if (json_object_set_new(by_index, row_key(row, key), one))
            rc = no_memory(e);
    }
    double mean = rc ? NAN : stats_mean(value, count);
    free(value);
    if (rc)
        json_decref(by_index);
    return rc ? -1 : finish(by_index, mean, out, e);
}

int metric_probability(const struct metric *m, const struct suite *s, json_t **out, struct err *e)
{
    const struct rows *rows = find_rows(m, s);
    struct dataset d;
    if (!rows)
        return 0;
    if (dataset_build(&d, ROLE_GENERIC, rows, s->question, m->answer, s->encoder, e))
        return -1;
    struct scores scores;
    int rc = s->model->score(s->model->ctx, &d, &scores, e);
    if (!rc) {
        rc = probability_rows(m, rows, &d, &scores, out, e);
        scores_fini(&scores);
    }
    dataset_fini(&d);
    return rc;
}

static int rouge_row(struct answer *a, const char *eos, double *recall, json_t **out, struct err *e)
{
    struct rouge r;
    text_ground_truth(a->whole, a->input);
    text_cut_generation(a->answer, (const char *[]){eos, NULL});
    if (rouge_score(a->whole, a->answer, true, &r, e))
        return -1;
    *recall = r.recall_l;
    *out = json_pack("{s:f, s:f, s:f, s:s, s:s, s:s}", "rouge1_recall", r.recall_1, "rougeL_f1",
                     r.f1_l, "rougeL_recall", r.recall_l, "input", a->input, "ground_truth",
                     a->whole, "generation", a->answer);
    return *out ? 0 : err_set(e, "a text is not valid UTF-8");
}

static int rouge_rows(const struct dataset *d, struct answer *a, const char *eos, json_t **out,
                      struct err *e)
{
    double *recall = mem_alloc((size_t)d->n, sizeof *recall, e);
    json_t *by_index = recall ? json_object() : NULL;
    int rc = by_index ? 0 : -1;
    for (int i = 0; !rc && i < d->n; i++) {
        char key[KEY];
        json_t *one;
        rc = rouge_row(&a[i], eos, &recall[i], &one, e);
        if (!rc && json_object_set_new(by_index, row_key(d->rows[i], key), one))
            rc = no_memory(e);
    }
    double mean = rc ? NAN : stats_mean(recall, d->n);
    free(recall);
    if (rc)
        json_decref(by_index);
    return rc ? -1 : finish(by_index, mean, out, e);
}

static int refuse_lists(const struct rows *rows, const char *answer, struct err *e)
{
    for (int i = 0; i < rows->n; i++)
        if (json_is_array(json_object_get(rows->v[i], answer)))
            return rows_err(rows, i, e, "ROUGE needs one answer, '%s' is a list", answer);
    return 0;
}

int metric_rouge(const struct metric *m, const struct suite *s, json_t **out, struct err *e)
{
    const struct rows *rows = find_rows(m, s);
    struct dataset d;
    if (!rows)
        return 0;
    if (refuse_lists(rows, m->answer, e) ||
        dataset_build(&d, ROLE_GENERIC, rows, s->question, m->answer, s->encoder, e))
        return -1;
    struct answer *a = mem_alloc((size_t)d.n, sizeof *a, e);
    int rc = a ? s->model->generate(s->model->ctx, &d, s->max_new_tokens, a, e) : -1;
    if (!rc)
        rc = rouge_rows(&d, a, s->model->eos, out, e);
    answers_free(a, d.n);
    dataset_fini(&d);
    return rc;
}
