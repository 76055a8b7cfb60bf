#include "suites/multiple.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/param.h"
#include "eval/interval.h"
#include "eval/stats.h"
#include "suites/subjects.h"

static const struct subject wmdp_subjects[] = {
    {"bio", NULL}, {"chem", NULL}, {"cyber", NULL}, {NULL, NULL}};
static const struct subject truthful_subjects[] = {{"mc1", NULL}, {"mc2", NULL}, {NULL, NULL}};

/* Suites of several tasks. %s stands for the subject; files are looked for in the order given. */
static const struct collection {
    const char *name;
    const struct subject *subjects;
    const char *task;
    const char *test[2], *dev;
    bool grouped; /* the suite is a group of its own */
} collections[] = {
    {"mmlu", mmlu_subjects, "mmlu", {"test/%s_test.csv"}, "dev/%s_dev.csv", true},
    {"wmdp", wmdp_subjects, "wmdp_%s", {"%s_questions.json", "%s_questions.json.gz"}, NULL, true},
    {"truthfulqa", truthful_subjects, "truthfulqa_%s", {"mc_task.json"}, NULL, false},
};

static const struct collection *collection_of(const char *suite)
{
    for (size_t i = 0; i < sizeof collections / sizeof collections[0]; i++)
        if (!strcmp(collections[i].name, suite))
            return &collections[i];
    return NULL;
}

bool multiple_is(const char *suite)
{
    bool found = collection_of(suite);
    for (const struct choice_task *t = choice_tasks; t->name && !found; t++)
        found = !strcmp(t->name, suite);
    return found;
}

int multiple_names(const char **names, int most)
{
    int n = 0;
    for (size_t i = 0; i < sizeof collections / sizeof *collections && n < most; i++)
        names[n++] = collections[i].name;
    for (const struct choice_task *t = choice_tasks; t->name && n < most; t++)
        names[n++] = t->name;
    return n;
}

/* One task of the suite. */
struct part {
    char name[96], task[32];
    const char *subject;   /* NULL: none */
    const char *groups[2]; /* those it counts in, up to NULL */
    char *test, *dev;      /* owned paths; dev NULL: none */
};

/* What is counted of a task, or of a group. */
struct tally {
    const char *name;
    double *acc; /* owned [n] */
    int n, missing, parts;
    double norm, variance; /* of accuracy by character, a sum; sum of (n-1) n stderr^2 */
    bool shares, normalised;
};

static double stderr_of(const double *v, int n)
{
    double mean = stats_mean(v, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return n > 1 ? sqrt(sum / (n - 1) / n) : NAN;
}

static char *file_of(const char *dir, const char *form, const char *subject, struct err *e)
{
    struct buf name = {0};
    const char *place = strstr(form, "%s");
    int rc = place ? buf_add(&name, form, (size_t)(place - form), e) ||
                         buf_printf(&name, e, "%s%s", subject, place + 2)
                   : buf_str(&name, form, e);
    char *path = rc ? NULL : file_join(dir, name.data, e);
    buf_fini(&name);
    return path;
}

static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = names; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (strcspn(at, ",") == n && !memcmp(at, name, n))
            return true;
    return !names;
}

/* The names given are all subjects of the suite. */
static int check_subjects(const struct collection *f, const char *names, struct err *e)
{
    for (const char *at = names; at && *at;) {
        size_t n = strcspn(at, ",");
        bool known = false;
        for (const struct subject *s = f->subjects; s->name && !known; s++)
            known = strlen(s->name) == n && !memcmp(s->name, at, n);
        if (!known)
            return err_set(e, "%s has no subject '%.*s'", f->name, (int)n, at);
        at += n + (at[n] == ',');
    }
    return 0;
}

/* Fills in the files of a part; leaves test NULL if none is there. */
static int find_files(struct part *p, const struct collection *f, const struct multiple_options *o,
                      struct err *e)
{
    bool file = !file_is_dir(o->data);
    for (int i = 0; i < 2 && f->test[i] && !p->test; i++) {
        p->test = file ? mem_strdup(o->data, e) : file_of(o->data, f->test[i], p->subject, e);
        if (!p->test)
            return -1;
        if (!file && !file_exists(p->test)) {
            free(p->test);
            p->test = NULL;
        }
    }
    if (!f->dev || !o->shots || !p->test)
        return 0;
    p->dev = file_of(o->data, f->dev, p->subject, e);
    return p->dev ? 0 : -1;
}

/* The parts of the suite that are wanted and there; *n of them. */
static int find_parts(struct part *parts, int *n, const struct multiple_options *o, struct err *e)
{
    const struct collection *f = collection_of(o->suite);
    if (!f) {
        struct part *p = &parts[(*n)++];
        snprintf(p->name, sizeof p->name, "%s", o->suite);
        snprintf(p->task, sizeof p->task, "%s", o->suite);
        return (p->test = mem_strdup(o->data, e)) ? 0 : -1;
    }
    if (f->grouped && !file_is_dir(o->data))
        return err_set(e, "%s is read from a folder, '%s' is none", f->name, o->data);
    if (check_subjects(f, o->subjects, e))
        return -1;
    for (const struct subject *s = f->subjects; s->name; s++) {
        if (!listed(o->subjects, s->name))
            continue;
        struct part *p = &parts[*n];
        *p = (struct part){.subject = s->name};
        if (f->grouped) {
            p->groups[0] = f->name;
            p->groups[1] = s->group;
        }
        snprintf(p->name, sizeof p->name, "%s_%s", f->name, s->name);
        snprintf(p->task, sizeof p->task, f->task, s->name);
        if (find_files(p, f, o, e))
            return -1;
        if (p->test)
            ++*n;
        else if (o->subjects)
            return err_set(e, "'%s' holds no questions of %s", o->data, s->name);
    }
    return *n ? 0 : err_set(e, "'%s' holds none of the files of %s", o->data, f->name);
}

static json_t *sample(const struct question *q, const struct choice_score *s)
{
    json_t *logp = json_array();
    for (int i = 0; i < s->n; i++)
        json_array_append_new(logp, peer_number(s->logp[i]));
    return json_pack("{s:i, s:i, s:o, s:f, s:f}", "doc_id", q->row, "target", q->gold, "resps",
                     logp, "acc", s->acc, "acc_norm", s->acc_norm);
}

static int add_figure(struct multiple *m, const struct tally *t, const char *metric, double x,
                      struct err *e)
{
    char key[128];
    snprintf(key, sizeof key, "%s/%s", t->name, metric);
    return json_object_set_new(m->log.summary, key, peer_number(x))
               ? err_set(e, "out of memory (%s)", key)
               : 0;
}

/* The figures of a task, or of a group of them. */
static int report(struct multiple *m, const struct tally *t, struct err *e)
{
    double acc = stats_mean(t->acc, t->n), norm = t->n ? t->norm / t->n : NAN;
    double error =
        t->parts > 1 ? sqrt(t->variance / (t->n - t->parts) / t->n) : stderr_of(t->acc, t->n);
    struct interval i = interval_of_rate((int)lround(acc * t->n), t->n, 0.95);
    if (t->shares && interval_of_mean(t->acc, t->n, 2000, 0.95, 0, &i, e))
        return -1;
    json_t *row = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "rows", t->n, "missing",
                            t->missing, "acc", peer_number(acc), "acc_stderr", peer_number(error),
                            "low", peer_number(i.low), "high", peer_number(i.high), "acc_norm",
                            t->normalised ? peer_number(norm) : json_null());
    if (json_object_set_new(m->table, t->name, row))
        return err_set(e, "out of memory (%s)", t->name);
    return add_figure(m, t, "acc", acc, e) || add_figure(m, t, "acc_stderr", error, e) ||
                   (t->normalised && add_figure(m, t, "acc_norm", norm, e))
               ? -1
               : 0;
}

static int tally_scores(struct tally *t, const struct questions *q, const struct choice_score *s,
                        struct err *e)
{
    double *acc = mem_alloc((size_t)(t->n + q->n), sizeof *acc, e);
    if (!acc)
        return -1;
    memcpy(acc, t->acc ? t->acc : acc, (size_t)t->n * sizeof *acc);
    free(t->acc);
    t->acc = acc;
    for (int i = 0; i < q->n; i++) {
        acc[t->n + i] = s[i].acc;
        t->norm += s[i].acc_norm;
    }
    double error = stderr_of(acc + t->n, q->n);
    t->variance += q->n > 1 ? (double)(q->n - 1) * q->n * error * error : 0;
    t->n += q->n;
    t->missing += q->bad;
    t->parts++;
    t->shares = q->task->kind == GOLD_TRUTHS;
    t->normalised = q->task->normalised;
    return 0;
}

enum { MAX_GROUPS = 8 };

/* The tally of this group, or a fresh one. */
static struct tally *tally_of(struct tally *groups, const char *name)
{
    int i = 0;
    for (; groups[i].name && strcmp(groups[i].name, name); i++)
        BUG_ON(i + 1 == MAX_GROUPS);
    groups[i].name = name;
    return &groups[i];
}

/* Counts a part in its own line and in those of its groups. */
static int count(struct multiple *m, struct tally *groups, const struct part *p,
                 const struct questions *q, const struct choice_score *s, struct err *e)
{
    struct tally own = {.name = p->name};
    json_t *samples = json_array();
    for (int i = 0; i < q->n; i++)
        json_array_append_new(samples, sample(&q->v[i], &s[i]));
    int rc = json_object_set_new(m->log.eval, p->name, samples)
                 ? err_set(e, "out of memory (%s)", p->name)
                 : tally_scores(&own, q, s, e) || report(m, &own, e);
    free(own.acc);
    if (q->bad && !*m->first_bad.msg)
        m->first_bad = q->first;
    for (int i = 0; i < 2 && p->groups[i] && !rc; i++)
        rc = tally_scores(tally_of(groups, p->groups[i]), q, s, e);
    return rc;
}

static int run_part(struct multiple *m, struct tally *groups, const struct part *p,
                    const struct multiple_options *o, const struct tokenizer *tok,
                    const struct scorer *model, int positions, struct err *e)
{
    struct rows rows = {0}, dev = {0};
    struct questions q = {0};
    struct choice_score *s = NULL;
    int rc = rows_open(&rows, p->test, e) || (p->dev && rows_open(&dev, p->dev, e)) ? -1 : 0;
    struct rows first = rows; /* borrows the rows that are wanted */
    if (!rc && o->limit && o->limit < rows.n)
        first.n = o->limit;
    if (!rc)
        rc = questions_build(&q, p->task, p->subject, &first, &dev, o->shots, e);
    if (!rc) {
        log_note("%s: %d questions", p->name, q.n);
        s = mem_alloc((size_t)q.n, sizeof *s, e);
        rc = !s || choice_score(s, &q, tok, model, positions, e) || count(m, groups, p, &q, s, e)
                 ? -1
                 : 0;
    }
    if (s)
        choice_scores_free(s, q.n);
    free(s);
    questions_fini(&q);
    rows_close(&dev);
    rows_close(&rows);
    return rc;
}

int multiple_run(struct multiple *m, const struct multiple_options *o, const struct tokenizer *tok,
                 const struct scorer *model, int positions, struct err *e)
{
    enum { MOST = 64 };
    struct part *parts = mem_alloc(MOST, sizeof *parts, e);
    struct tally groups[MAX_GROUPS] = {{0}};
    int n = 0, rc = parts ? 0 : -1;
    *m = (struct multiple){.log = {json_object(), json_object()}, .table = json_object()};
    if (!rc && (!m->log.eval || !m->log.summary || !m->table))
        rc = err_set(e, "out of memory (%s)", o->suite);
    if (!rc && o->shots && strcmp(o->suite, "mmlu"))
        rc = err_set(e, "worked examples (--shots) come with mmlu only");
    if (!rc)
        rc = find_parts(parts, &n, o, e);
    for (int i = 0; i < n && !rc; i++)
        rc = run_part(m, groups, &parts[i], o, tok, model, positions, e);
    for (int i = MAX_GROUPS - 1; i >= 0; i--) {
        if (!rc && groups[i].n)
            rc = report(m, &groups[i], e);
        free(groups[i].acc);
    }
    for (int i = 0; parts && i < MOST; i++) {
        free(parts[i].test);
        free(parts[i].dev);
    }
    free(parts);
    return rc;
}

void multiple_fini(struct multiple *m)
{
    peer_log_fini(&m->log);
    json_decref(m->table);
    *m = (struct multiple){.table = NULL};
}
