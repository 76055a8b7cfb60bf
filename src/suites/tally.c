#include "suites/tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/interval.h"
#include "eval/stats.h"
#include "suites/suite.h"

static double stderr_of(const double *v, int n)
{
    double mean = stats_mean(v, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return n > 1 ? sqrt(sum / (n - 1) / n) : NAN;
}

/* Room for n more accuracies. */
static int grow(struct tally *t, int n, struct err *e)
{
    double *acc = mem_alloc((size_t)(t->n + n), sizeof *acc, e);
    if (!acc)
        return -1;
    if (t->n)
        memcpy(acc, t->acc, (size_t)t->n * sizeof *acc);
    free(t->acc);
    t->acc = acc;
    return 0;
}

/* The number of a label; -1 if it is none of them. */
static int class_of(const struct choice_task *task, const json_t *label)
{
    int c = (int)json_array_size(task->classes) - 1;
    while (c >= 0 && !json_equal(json_array_get(task->classes, (size_t)c), label))
        c--;
    return c;
}

static int add_sample(struct tally *t, const struct choice_task *task, const json_t *sample,
                      struct err *e)
{
    const json_t *acc = json_object_get(sample, "acc"), *gold = json_object_get(sample, "target");
    if (!json_is_number(acc))
        return err_set(e, "a sample has no number 'acc'");
    t->acc[t->n++] = json_number_value(acc);
    t->norm += json_number_value(json_object_get(sample, "acc_norm"));
    if (!t->classes)
        return 0;
    int chosen = class_of(task, json_object_get(sample, "chosen"));
    int64_t own = json_is_integer(gold) ? json_integer_value(gold) : -1;
    if (chosen < 0 || own < 0 || own >= t->classes)
        return err_set(e, "a sample's 'chosen' or 'target' is none of the labels");
    t->gold[own]++;
    t->chosen[chosen]++;
    t->hits[chosen] += chosen == own;
    return 0;
}

int tally_add(struct tally *t, const struct choice_task *task, const json_t *samples, int fold,
              struct err *e)
{
    size_t i;
    json_t *sample;
    if (grow(t, (int)json_array_size(samples), e))
        return -1;
    t->classes = (int)json_array_size(task->classes);
    t->shares = task->answer_is == ANSWER_TRUTHS;
    t->normalised = task->normalised;
    json_array_foreach((json_t *)samples, i, sample)
    {
        if (fold && json_integer_value(json_object_get(sample, "fold")) != fold)
            continue;
        if (add_sample(t, task, sample, e))
            return -1;
    }
    return 0;
}

int tally_join(struct tally *t, const struct tally *part, struct err *e)
{
    if (grow(t, part->n, e))
        return -1;
    memcpy(t->acc + t->n, part->acc, (size_t)part->n * sizeof *t->acc);
    double error = stderr_of(part->acc, part->n);
    t->variance += part->n > 1 ? (double)(part->n - 1) * part->n * error * error : 0;
    t->n += part->n;
    t->missing += part->missing;
    t->norm += part->norm;
    t->parts++;
    t->shares = part->shares;
    t->normalised = part->normalised;
    return 0;
}

double tally_macro_f1(const struct tally *t)
{
    double sum = 0;
    int n = 0;
    for (int c = 0; c < t->classes; c++) {
        int all = t->gold[c] + t->chosen[c];
        sum += all ? 2.0 * t->hits[c] / all : 0;
        n += all > 0;
    }
    return n ? sum / n : NAN;
}

json_t *tally_line(const struct tally *t, struct err *e)
{
    double acc = stats_mean(t->acc, t->n), norm = t->n ? t->norm / t->n : NAN;
    double error =
        t->parts > 1 ? sqrt(t->variance / (t->n - t->parts) / t->n) : stderr_of(t->acc, t->n);
    struct interval i = interval_of_rate(t->n ? (int)lround(acc * t->n) : 0, t->n, SUITE_LEVEL);
    if (t->shares && interval_of_mean(t->acc, t->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, &i, e))
        return NULL;
    json_t *line = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "rows", t->n, "missing",
                             t->missing, "acc", peer_number(acc), "acc_stderr", peer_number(error),
                             "low", peer_number(i.low), "high", peer_number(i.high), "acc_norm",
                             t->normalised ? peer_number(norm) : json_null());
    if (line &&
        (!t->classes || !json_object_set_new(line, "macro_f1", peer_number(tally_macro_f1(t)))))
        return line;
    json_decref(line);
    suite_no_memory(e);
    return NULL;
}

void tally_fini(struct tally *t)
{
    free(t->acc);
    *t = (struct tally){.n = 0};
}
