#include "report/cost.h"

#include <string.h>

#include "base/file.h"
#include "report/table.h"
#include "train/cost.h"

static const char *const sides[] = {"model", "retrained"};
static const char *const shared[] = {"flops", "seconds", "tokens"};

enum { SIDES = 2, SHARED = sizeof shared / sizeof *shared };

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* The ledger of the run that trained the model, or NULL. */
static json_t *read_run(const char *path)
{
    json_t *run = path && file_is_dir(path) ? train_cost_read(path) : NULL;
    json_t *method = json_object_get(json_object_get(run, "options"), "method");
    if (json_is_string(method))
        json_object_set(run, "method", method);
    json_object_del(run, "options");
    return run;
}

static int add_share(json_t *cost)
{
    const json_t *model = json_object_get(cost, "model"),
                 *gold = json_object_get(cost, "retrained");
    json_t *share = model && gold ? json_object() : NULL;
    int rc = 0;
    for (int i = 0; share && i < SHARED; i++)
        if (number(gold, shared[i]) > 0)
            rc |= json_object_set_new(
                share, shared[i], json_real(number(model, shared[i]) / number(gold, shared[i])));
    return rc | (share ? json_object_set_new(cost, "share", share) : 0);
}

json_t *cost_collect(const char *model, const char *retrained, double seconds,
                     const struct model_effort *effort, struct err *e)
{
    json_t *cost = json_object(), *run;
    int rc = cost ? 0 : -1;
    if ((run = read_run(model)))
        rc |= json_object_set_new(cost, sides[0], run);
    if ((run = read_run(retrained)))
        rc |= json_object_set_new(cost, sides[1], run);
    rc |= add_share(cost);
    rc |= json_object_set_new(
        cost, "evaluation",
        json_pack("{s:f, s:I, s:I, s:I, s:I}", "seconds", seconds, "sequences",
                  (json_int_t)effort->sequences, "tokens", (json_int_t)effort->tokens, "answers",
                  (json_int_t)effort->answers, "new_tokens", (json_int_t)effort->new_tokens));
    if (!rc)
        return cost;
    json_decref(cost);
    err_no_memory(e, "cost");
    return NULL;
}

bool cost_has_ledger(const json_t *cost)
{
    return json_object_get(cost, sides[0]) || json_object_get(cost, sides[1]);
}

static void write_command(const json_t *run, const char *key, char *text, size_t size)
{
    const char *method = json_string_value(json_object_get(run, "method"));
    const char *name = json_string_value(json_object_get(run, key));
    snprintf(text, size, "%s%s%s", name ? name : "-", method ? " " : "", method ? method : "");
}

static void write_text(const json_t *run, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(run, key));
    snprintf(text, size, "%s", value ? value : "-");
}

static void write_count(const json_t *run, const char *key, char *text, size_t size)
{
    snprintf(text, size, "%.0f", number(run, key));
}

static void write_rounded(const json_t *run, const char *key, char *text, size_t size)
{
    snprintf(text, size, "%.4g", number(run, key));
}

static void write_seconds(const json_t *run, const char *key, char *text, size_t size)
{
    snprintf(text, size, "%.1f", number(run, key));
}

static void write_mib(const json_t *run, const char *key, char *text, size_t size)
{
    snprintf(text, size, "%.1f", number(run, key) / (1 << 20));
}

/* Sum over all parts. */
static void write_state(const json_t *run, const char *key, char *text, size_t size)
{
    json_t *state = json_object_get(run, key), *bytes;
    const char *name;
    double sum = 0;
    json_object_foreach(state, name, bytes) sum += json_number_value(bytes);
    snprintf(text, size, "%.1f", sum / (1 << 20));
}

int cost_write_line(const json_t *run, struct buf *out, struct err *e)
{
    char command[64], flops[DIGITS_MOST], mib[DIGITS_MOST], seconds[DIGITS_MOST];
    write_command(run, "command", command, sizeof command);
    return buf_printf(out, e, "%s, %s s, %s FLOPs, %.0f tokens, %s MiB", command,
                      digits_of(number(run, "seconds"), seconds),
                      digits_of(number(run, "flops"), flops), number(run, "tokens"),
                      digits_of(number(run, "peak_bytes") / (1 << 20), mib));
}

static const struct {
    const char *label, *key;
    void (*write)(const json_t *run, const char *key, char *text, size_t size);
} lines[] = {{"made by", "command", write_command},
             {"wall time, s", "seconds", write_seconds},
             {"FLOPs", "flops", write_rounded},
             {"tokens read", "tokens", write_count},
             {"tokens read by frozen models", "forward_tokens", write_count},
             {"peak memory, MiB", "peak_bytes", write_mib},
             {"extra state, MiB", "state_bytes", write_state},
             {"parameters touched", "touched", write_count},
             {"parameters in all", "parameters", write_count},
             {"access", "access", write_text}};

enum { LINES = sizeof lines / sizeof *lines };

static int fill_line(struct table *t, int row, const json_t *cost, struct err *e)
{
    const char *key = lines[row - 1].key;
    const json_t *share = json_object_get(json_object_get(cost, "share"), key);
    int col = 1, rc = table_set(t, row, 0, e, "%s", lines[row - 1].label);
    for (int i = 0; i < SIDES && !rc; i++) {
        const json_t *run = json_object_get(cost, sides[i]);
        char text[64];
        if (!run)
            continue;
        lines[row - 1].write(run, key, text, sizeof text);
        rc = table_set(t, row, col++, e, "%s", text);
    }
    if (!rc && col < t->cols)
        rc = share ? table_set(t, row, col, e, "%.4g", json_number_value(share))
                   : table_set(t, row, col, e, "-");
    return rc;
}

static int write_ledgers(const json_t *cost, struct buf *out, struct err *e)
{
    struct table t;
    int there = 0, col = 1;
    for (int i = 0; i < SIDES; i++)
        there += json_object_get(cost, sides[i]) != NULL;
    if (table_init(&t, LINES + 1, 1 + there + (there == SIDES), e))
        return -1;
    int rc = table_set(&t, 0, 0, e, "cost");
    for (int i = 0; i < SIDES && !rc; i++)
        if (json_object_get(cost, sides[i]))
            rc = table_set(&t, 0, col++, e, "%s", sides[i]);
    if (!rc && col < t.cols)
        rc = table_set(&t, 0, col, e, "share");
    for (int row = 1; row <= LINES && !rc; row++)
        rc = fill_line(&t, row, cost, e);
    if (!rc)
        rc = table_write(&t, TABLE_PLAIN, out, e);
    table_fini(&t);
    return rc;
}

int cost_write(const json_t *cost, struct buf *out, struct err *e)
{
    const json_t *v = json_object_get(cost, "evaluation");
    if (cost_has_ledger(cost) && (write_ledgers(cost, out, e) || buf_str(out, "\n", e)))
        return -1;
    return buf_printf(out, e,
                      "evaluated in %.1f s: %.0f sequences of %.0f tokens scored, %.0f answers of "
                      "%.0f tokens generated\n",
                      number(v, "seconds"), number(v, "sequences"), number(v, "tokens"),
                      number(v, "answers"), number(v, "new_tokens"));
}
