#ifdef HAVE_HTTP
#include <string.h>

#include "base/json.h"
#include "data/rows.h"
#include "run/ledger.h"
#include "serve/http.h"

enum { MOST_QUESTIONS = 1000, MOST_RUNS = 200, MOST_VALUES = 12 };

json_t *page_questions(const struct server_options *o, struct err *e)
{
    struct rows rows = {0};
    if (rows_open(&rows, o->forget, e) ||
        rows_split_messages(&rows, o->question_key, o->answer_key, e)) {
        rows_close(&rows);
        return NULL;
    }
    json_t *list = json_array();
    for (int i = 0; i < rows.n && json_array_size(list) < MOST_QUESTIONS; i++) {
        json_t *question = json_object_get(rows.v[i], o->question_key),
               *answer = json_object_get(rows.v[i], o->answer_key);
        if (json_is_string(question))
            json_array_append_new(list, json_pack("{s:O, s:O?}", "question", question, "answer",
                                                  json_is_string(answer) ? answer : NULL));
    }
    if (!json_array_size(list)) {
        char keys[200];
        rows_keys(&rows, 0, keys, sizeof keys);
        err_about(e, "question_key", "'%s' has no texts in a field '%s'; its rows have %s",
                  o->forget, o->question_key, keys);
        json_decref(list);
        list = NULL;
    }
    rows_close(&rows);
    return list;
}

/* What the page tells of a run: its columns, and some of its values. */
static json_t *run_json(struct ledger *l, const json_t *run, struct err *e)
{
    static const char *const keys[] = {"id",  "command", "status",  "method", "model",
                                       "out", "started", "seconds", "message"};
    json_t *out = json_object(), *shown = json_object(), *v;
    json_t *values = ledger_values(l, json_integer_value(json_object_get(run, "id")), e);
    const char *name;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        json_object_set(out, keys[i], json_object_get(run, keys[i]));
    json_object_foreach(values, name, v)
    {
        if (json_object_size(shown) < MOST_VALUES)
            json_object_set(shown, name, json_object_get(v, "value"));
    }
    json_object_set_new(out, "values", shown);
    json_decref(values);
    return out;
}

json_t *page_runs(const char *path, struct err *e)
{
    const struct ledger_filter all = {.id = 0};
    struct ledger l;
    json_t *runs = ledger_open(&l, path, LEDGER_READ, e) ? NULL : ledger_runs(&l, &all, e);
    json_t *list = runs ? json_array() : NULL;
    for (size_t i = json_array_size(runs); i-- > 0 && json_array_size(list) < MOST_RUNS;)
        json_array_append_new(list, run_json(&l, json_array_get(runs, i), e));
    json_decref(runs);
    ledger_close(&l);
    return list;
}
#endif
