#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "run/ledger.h"

/* What is read of the files that a run leaves. Their numbers are theirs: a file that cannot be read
 * is an error, one that is missing is none. */

/* --- values --- */

static const char *const add_value = "INSERT INTO value(run, name, step, row, value, low, high) "
                                     "VALUES(?1, ?2, nullif(?3, -1), nullif(?4, -1), ?5, ?6, ?7)";

struct place {
    int64_t step, row; /* -1: none */
};

static const struct place nowhere = {-1, -1};

static double real_of(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int put(struct ledger *l, const char *name, struct place at, double value, double low,
               double high, struct err *e)
{
    return ledger_do(l, e, add_value, "isiiddd", l->run, name, at.step, at.row, value, low, high);
}

/* Numbers of an object and of the objects in it, as "outer.inner". */
static int put_numbers(struct ledger *l, const char *prefix, json_t *of, struct place at,
                       struct err *e)
{
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(of, key, v)
    {
        struct buf name = {0};
        if (json_is_number(v) || json_is_object(v))
            rc = rc || buf_printf(&name, e, "%s%s%s", prefix, *prefix ? "." : "", key);
        if (!rc && json_is_number(v))
            rc = put(l, name.data, at, json_number_value(v), NAN, NAN, e);
        else if (!rc && json_is_object(v))
            rc = put_numbers(l, name.data, v, at, e);
        buf_fini(&name);
    }
    return rc;
}

int ledger_inputs(struct ledger *l, const json_t *files, struct err *e)
{
    const char *path;
    json_t *hash;
    int rc = 0;
    json_object_foreach((json_t *)files, path, hash)
    {
        rc = rc || ledger_do(l, e, "INSERT INTO file VALUES(?, 'input', ?, ?)", "iss", l->run, path,
                             json_string_value(hash));
    }
    return rc;
}

/* --- the files --- */

/* Cost and NLL; of the latter pairs [before, after]. */
static int of_run(struct ledger *l, const char *prefix, json_t *run, struct err *e)
{
    static const char *const names[][3] = {{"forget_nll", "forget_nll_before", "forget_nll"},
                                           {"retain_nll", "retain_nll_before", "retain_nll"}};
    int rc = ledger_inputs(l, json_object_get(run, "files"), e);
    json_object_del(run, "options");
    json_object_del(run, "first_row");
    rc = rc || put_numbers(l, prefix, run, nowhere, e);
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc; i++)
        for (size_t k = 0; k < 2 && !rc && !*prefix; k++) {
            const double x = real_of(json_array_get(json_object_get(run, names[i][0]), k));
            rc = isnan(x) ? 0 : put(l, names[i][1 + k], nowhere, x, NAN, NAN, e);
        }
    return rc;
}

static int of_table(struct ledger *l, const char *prefix, json_t *table, struct err *e)
{
    const char *name;
    json_t *line;
    int rc = 0;
    (void)prefix;
    json_object_foreach(table, name, line)
    {
        const double x = real_of(json_object_get(line, "value"));
        if (!rc && !isnan(x))
            rc = put(l, name, nowhere, x, real_of(json_object_get(line, "low")),
                     real_of(json_object_get(line, "high")), e);
    }
    return rc;
}

/* {metric: {value_by_index: {row: {name: number}}}}, as "metric.name". */
static int of_rows(struct ledger *l, const char *prefix, json_t *log, struct err *e)
{
    const char *metric, *index;
    json_t *m, *row;
    int rc = 0;
    (void)prefix;
    json_object_foreach(log, metric, m)
    {
        json_object_foreach(json_object_get(m, "value_by_index"), index, row)
        {
            char *end;
            const long i = strtol(index, &end, 10);
            if (!rc && !*end)
                rc = put_numbers(l, metric, row, (struct place){-1, i}, e);
        }
    }
    return rc;
}

static int of_cost(struct ledger *l, const char *prefix, json_t *cost, struct err *e)
{
    json_t *of = json_object_get(cost, "evaluation");
    int rc = *prefix ? 0 : ledger_inputs(l, json_object_get(of, "files"), e);
    json_object_del(of, "options");
    json_object_del(of, "first_row");
    return rc || put_numbers(l, "evaluation", of, nowhere, e);
}

static int of_figures(struct ledger *l, const char *prefix, json_t *attack, struct err *e)
{
    json_object_del(attack, "options");
    return put_numbers(l, prefix, attack, nowhere, e);
}

/* A line for each step; a line that is cut ends it. */
static int of_steps(struct ledger *l, const char *path, struct err *e)
{
    struct err cut;
    size_t n = 0;
    char *text = file_read(path, &n, e);
    int rc = text ? 0 : -1;
    for (char *at = text, *end; !rc && at && (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = json_read_text(at, (size_t)(end - at), path, &cut);
        int64_t step = -1;
        if (!line)
            break;
        if (json_opt_int(line, "step", 0, INT64_MAX, &step, &cut))
            step = -1;
        json_object_del(line, "step");
        rc = put_numbers(l, "", line, (struct place){step, -1}, e);
        json_decref(line);
    }
    free(text);
    return rc;
}

/* Figures of the unlearned model, and whether the bounds hold. */
static int of_card(struct ledger *l, const char *prefix, json_t *card, struct err *e)
{
    (void)prefix;
    return of_table(l, "", json_object_get(json_object_get(card, "values"), "unlearned"), e) ||
           put(l, "held", nowhere, json_is_true(json_object_get(card, "held")), NAN, NAN, e);
}

static const struct {
    const char *ending;
    int (*read)(struct ledger *l, const char *prefix, json_t *j, struct err *e);
} readers[] = {{"run.json", of_run},     {"_TABLE.json", of_table}, {"_EVAL.json", of_rows},
               {"_COST.json", of_cost},  {"card.json", of_card},    {"attack.json", of_figures},
               {"edit.json", of_figures}};

static bool ends(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n >= m && !strcmp(name + n - m, ending);
}

/* `folder`: of the file within OUT, "" at its top. Values of the folders of a run's steps and of
 * the retrained model are under their names. */
static int read_values(struct ledger *l, const char *path, const char *folder, const char *name,
                       struct err *e)
{
    if (!strcmp(name, "train.jsonl") && !*folder)
        return of_steps(l, path, e);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (ends(name, readers[i].ending) && (!*folder || readers[i].read != of_rows)) {
            if (*folder && readers[i].read == of_table)
                return 0; /* in the model's own table, as its column `retrained` */
            json_t *j = json_read_log(path, e);
            int rc = j ? readers[i].read(l, folder, j, e) : -1;
            json_decref(j);
            return rc;
        }
    return 0;
}

static int add_file(struct ledger *l, const char *path, const char *folder, const char *name,
                    struct err *e)
{
    char hash[SHA256_TEXT];
    struct buf within = {0};
    int rc = sha256_file(path, hash, e) ||
             buf_printf(&within, e, "%s%s%s", folder, *folder ? "/" : "", name) ||
             ledger_do(l, e, "INSERT INTO file VALUES(?, 'artifact', ?, ?)", "iss", l->run,
                       within.data, hash) ||
             read_values(l, path, folder, name, e);
    buf_fini(&within);
    return rc;
}

static int64_t written(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* The files of `dir`, which is the `folder` of OUT, that were written since the run began; of
 * folders those of one level. */
static int walk(struct ledger *l, const char *dir, const char *folder, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    int rc = 0;
    while (d && !rc && (entry = readdir(d))) {
        struct stat st;
        char *path = *entry->d_name == '.' ? NULL : file_join(dir, entry->d_name, e);
        if (*entry->d_name != '.' && !path)
            rc = -1;
        else if (path && !stat(path, &st)) {
            if (S_ISDIR(st.st_mode) && !*folder)
                rc = walk(l, path, entry->d_name, e);
            else if (S_ISREG(st.st_mode) && written(&st) >= l->since &&
                     !strstr(entry->d_name, ".tmp."))
                rc = add_file(l, path, folder, entry->d_name, e);
        }
        free(path);
    }
    if (d)
        closedir(d);
    return rc;
}

int ledger_collect(struct ledger *l, const char *out, struct err *e)
{
    struct stat st;
    if (!stat(out, &st) && S_ISREG(st.st_mode))
        return written(&st) >= l->since ? add_file(l, out, "", ".", e) : 0;
    return walk(l, out, "", e);
}
