#include "report/cost.h"

#include <string.h>

#include "base/file.h"
#include "report/table.h"
#include "train/cost.h"

static const char *const sides[] = {"model", "retrained"};
static const char *const side_names[] = {"model", "retrained model"};
static const char *const shared[] = {"flops", "seconds", "tokens"};

enum { SIDES = 2, SHARED = sizeof shared / sizeof *shared };

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* The record of the run that trained the model, or NULL. */
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

bool cost_has_record(const json_t *cost)
{
    return json_object_get(cost, sides[0]) || json_object_get(cost, sides[1]);
}

static void write_command(const json_t *run, char *text, size_t size)
{
    const char *method = json_string_value(json_object_get(run, "method"));
    const char *name = json_string_value(json_object_get(run, "command"));
    snprintf(text, size, "%s%s%s", name ? name : "-", method ? " " : "", method ? method : "");
}

int cost_write_line(const json_t *run, struct buf *out, struct err *e)
{
    char command[64], flops[DIGITS_MOST], mib[DIGITS_MOST], seconds[DIGITS_MOST];
    write_command(run, command, sizeof command);
    return buf_printf(out, e, "%s, %s s, %s FLOPs, %.0f tokens, %s MiB", command,
                      digits_of(number(run, "seconds"), seconds),
                      digits_of(number(run, "flops"), flops), number(run, "tokens"),
                      digits_of(number(run, "peak_bytes") / (1 << 20), mib));
}

/* "cost of the model: ..." of each record, and the model's share of the retrained one's. */
static int write_records(const json_t *cost, int width, struct buf *out, struct err *e)
{
    const json_t *share = json_object_get(cost, "share");
    struct buf line = {0};
    char text[DIGITS_MOST];
    int rc = 0;
    for (int i = 0; i < SIDES && !rc; i++) {
        const json_t *run = json_object_get(cost, sides[i]);
        buf_clear(&line);
        if (run)
            rc = buf_printf(&line, e, "cost of the %s: ", side_names[i]) ||
                 cost_write_line(run, &line, e) || buf_wrap(out, line.data, 2, width, e) ||
                 buf_str(out, "\n", e);
    }
    buf_fini(&line);
    for (int i = 0; i < SHARED && share && !rc; i++)
        rc = buf_printf(out, e, "%s%s %s",
                        i ? ", " : "share of the retrained model's cost: ", shared[i],
                        digits_of(number(share, shared[i]), text));
    return rc || (share && buf_str(out, "\n", e));
}

int cost_write(const json_t *cost, int width, struct buf *out, struct err *e)
{
    const json_t *v = json_object_get(cost, "evaluation");
    struct buf text = {0};
    int rc = write_records(cost, width, out, e) ||
             buf_printf(&text, e,
                        "evaluated in %.1f s: %.0f sequences of %.0f tokens scored, %.0f answers "
                        "of %.0f tokens generated",
                        number(v, "seconds"), number(v, "sequences"), number(v, "tokens"),
                        number(v, "answers"), number(v, "new_tokens")) ||
             buf_wrap(out, text.data, 2, width, e) || buf_str(out, "\n", e);
    buf_fini(&text);
    return rc;
}
