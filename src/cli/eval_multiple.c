#include "cli/eval_multiple.h"

#include "base/json.h"
#include "base/log.h"
#include "cli/print.h"
#include "eval/model_scorer.h"
#include "report/table.h"

/* A number with four decimals; "-" where there is none. */
static int set_number(struct table *t, int row, int col, const json_t *line, const char *key,
                      struct err *e)
{
    const json_t *v = json_object_get(line, key);
    return json_is_real(v)      ? table_set(t, row, col, e, "%.4f", json_real_value(v))
           : json_is_integer(v) ? table_set(t, row, col, e, "%d", (int)json_integer_value(v))
                                : table_set(t, row, col, e, "-");
}

static int print_table(const struct multiple *m, struct err *e)
{
    static const struct {
        const char *heading, *key;
    } cols[] = {{"task", NULL},        {"questions", "rows"},    {"left out", "missing"},
                {"acc", "acc"},        {"stderr", "acc_stderr"}, {"95 % low", "low"},
                {"95 % high", "high"}, {"acc_norm", "acc_norm"}};
    enum { COLS = sizeof cols / sizeof cols[0] };
    struct table t;
    struct buf text = {0};
    const char *name;
    json_t *line;
    int row = 1, rc = table_init(&t, (int)json_object_size(m->table) + 1, COLS, e);
    if (rc)
        return -1;
    for (int c = 0; c < COLS && !rc; c++)
        rc = table_set(&t, 0, c, e, "%s", cols[c].heading);
    json_object_foreach(m->table, name, line)
    {
        rc = rc || table_set(&t, row, 0, e, "%s", name);
        for (int c = 1; c < COLS && !rc; c++)
            rc = set_number(&t, row, c, line, cols[c].key, e);
        row++;
    }
    if (!rc && !(rc = table_write(&t, TABLE_PLAIN, &text, e)))
        printf("%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc;
}

int eval_multiple(const struct setup_options *so, const struct multiple_options *o, const char *out,
                  bool json, struct err *e)
{
    struct setup s = {0};
    struct model_scorer scorer = {0};
    struct multiple m = {0};
    int rc = setup_open(&s, so, false, e) || setup_tokenizer(&s, e) ||
                     model_scorer_init(&scorer, &s.model, s.tokenizer, s.compat, e) ||
                     multiple_run(&m, o, s.tokenizer, &scorer.scorer, s.model.cfg.positions, e) ||
                     (out && peer_log_write(&m.log, out, "LMEval", e)) ||
                     (json ? print_json(m.log.summary, JSON_LIKE_PYTHON, e) : print_table(&m, e))
                 ? -1
                 : 0;
    if (*m.first_bad.msg)
        log_warn("some rows are no questions and were left out; the first: %s", m.first_bad.msg);
    multiple_fini(&m);
    model_scorer_fini(&scorer);
    setup_close(&s);
    return rc;
}
