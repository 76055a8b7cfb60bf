/* What a report shows of a model in addition to its logs: record and log of its run, attacks, the
 * card of a request. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/report.h"
#include "train/cost.h"

/* The file DIR/NAME, which must be an object; *out is NULL if there is no such file. */
static int read_part(const char *dir, const char *name, json_t **out, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = path ? 0 : -1;
    *out = NULL;
    if (!rc && file_exists(path) && (*out = json_read_log(path, e)) == NULL)
        rc = -1;
    else if (*out && !json_is_object(*out))
        rc = err_code(e, ERR_BAD_FILE, "'%s' must be a json object", path);
    if (rc)
        json_decref(*out), *out = NULL;
    free(path);
    return rc;
}

/* DIR/train.jsonl as an array. What stands after the last newline was not written to its end. */
static int read_steps(const char *dir, json_t **out, struct err *e)
{
    char *path = file_join(dir, "train.jsonl", e), *text = NULL;
    int rc = path ? 0 : -1;
    size_t len = 0;
    if (!rc && file_exists(path))
        rc = (text = file_read(path, &len, e)) && (*out = json_array()) ? 0 : -1;
    long line = 1;
    for (char *at = text, *end; !rc && at && (end = memchr(at, '\n', len - (size_t)(at - text)));
         at = end + 1, line++) {
        json_t *step = json_read_text(at, (size_t)(end - at), path, e);
        if (!json_is_object(step))
            rc = err_code(e, ERR_BAD_FILE, "'%s': line %ld is no json object", path, line);
        if (rc || json_array_append(*out, step))
            rc = -1;
        json_decref(step);
    }
    free(text);
    free(path);
    return rc;
}

static int add_attack(struct report_model *m, const char *dir, struct err *e)
{
    json_t *attack;
    if (read_part(dir, "attack.json", &attack, e))
        return -1;
    if (!attack)
        return 0;
    if (!m->attacks)
        m->attacks = json_object();
    const char *name = json_string_value(json_object_get(attack, "name"));
    return json_object_set_new(m->attacks, name ? name : "attack", attack)
               ? err_no_memory(e, "report")
               : 0;
}

/* A run's record, as a cost without options (report/cost.h). */
static int add_run(struct report_model *m, const char *dir, struct err *e)
{
    json_t *run = train_cost_read(dir);
    const json_t *options = json_object_get(run, "options");
    if (!json_is_object(options) || m->run) {
        json_decref(run);
        return 0;
    }
    m->run = run;
    if (!m->cost && (m->cost = json_copy(run))) {
        json_t *method = json_object_get(options, "method");
        if (json_is_string(method))
            json_object_set(m->cost, "method", method);
        json_object_del(m->cost, "options");
    }
    return m->cost ? read_steps(dir, &m->steps, e) : err_no_memory(e, "report");
}

int report_add_material(struct report_model *m, const char *dir, bool *any, struct err *e)
{
    if (add_run(m, dir, e) || add_attack(m, dir, e))
        return -1;
    *any = m->run || m->attacks;
    if (!m->dirs)
        m->dirs = json_array();
    char *shown = report_text(dir, e);
    const int rc = !shown                                               ? -1
                   : json_array_append_new(m->dirs, json_string(shown)) ? err_no_memory(e, "report")
                                                                        : 0;
    free(shown);
    return rc;
}

/* --- requests --- */

/* A path of a card: from the request's directory on, unless it is absolute. */
static int add_card_path(struct report *r, const char *name, const char *dir, const char *path,
                         struct err *e)
{
    char *whole = !path ? NULL : *path == '/' ? mem_strdup(path, e) : file_join(dir, path, e);
    int rc = path && !whole ? -1 : 0;
    if (whole && file_is_dir(whole))
        rc = report_add_path(r, name, whole, true, e);
    free(whole);
    return rc;
}

/* The column of one model: its run, the logs of its suites, of the unlearned one the attacks. */
static int add_side(struct report *r, const char *name, const char *dir, const json_t *card,
                    const char *side, const char *model, struct err *e)
{
    const char *key;
    json_t *v;
    int rc = add_card_path(r, name, dir, json_string_value(json_object_get(card, model)), e);
    json_object_foreach(json_object_get(card, "suites"), key, v) rc =
        rc || add_card_path(r, name, dir, json_string_value(json_object_get(v, side)), e);
    if (strcmp(side, "unlearned"))
        return rc;
    json_object_foreach(json_object_get(card, "attacks"), key, v) rc =
        rc || add_card_path(r, name, dir, json_string_value(v), e);
    return rc;
}

int report_add_card(struct report *r, const char *name, const char *dir, bool *found, struct err *e)
{
    json_t *card;
    if (read_part(dir, "card.json", &card, e))
        return -1;
    *found = card != NULL;
    if (!card)
        return 0;
    int rc = add_side(r, "target", dir, card, "target", "target", e) ||
             add_side(r, "retrained", dir, card, "retrained", "retrained", e) ||
             add_side(r, name, dir, card, "unlearned", "model", e);
    struct report_model *m = rc ? NULL : report_column(r, name, e);
    if (m && !m->card)
        m->card = json_incref(card);
    json_decref(card);
    return m ? 0 : -1;
}

/* --- the ledger --- */

static int add_out(struct report *r, const char *name, const json_t *run, struct err *e)
{
    const char *out = json_string_value(json_object_get(run, "out"));
    if (!out || !file_is_dir(out))
        return 0;
    if (report_add_path(r, name, out, true, e))
        return -1;
    struct report_model *m = report_column(r, name, e);
    if (m && !m->ids)
        m->ids = json_array();
    return m && !json_array_append(m->ids, json_object_get(run, "id")) ? 0 : -1;
}

/* Of a run that made a model also what was measured of it, of an evaluation also that run. */
static int add_relatives(struct report *r, struct ledger *l, const char *name, const json_t *run,
                         struct err *e)
{
    const struct ledger_filter all = {.id = 0};
    const json_int_t id = json_integer_value(json_object_get(run, "id")),
                     parent = json_integer_value(json_object_get(run, "parent"));
    const char *command = json_string_value(json_object_get(run, "command"));
    const bool measures = command && (!strcmp(command, "eval") || !strcmp(command, "attack"));
    json_t *runs = ledger_runs(l, &all, e), *other;
    size_t i;
    int rc = runs ? 0 : -1;
    json_array_foreach(runs, i, other)
    {
        const char *what = json_string_value(json_object_get(other, "command"));
        const bool child = json_integer_value(json_object_get(other, "parent")) == id && what &&
                           (!strcmp(what, "eval") || !strcmp(what, "attack"));
        const bool made_it =
            measures && parent && json_integer_value(json_object_get(other, "id")) == parent;
        if (!rc && (child || made_it))
            rc = add_out(r, name, other, e);
    }
    json_decref(runs);
    return rc;
}

int report_add_run(struct report *r, struct ledger *l, const char *name, int64_t id, struct err *e)
{
    json_t *run = ledger_find(l, id, e);
    const char *out = json_string_value(json_object_get(run, "out"));
    int rc = run ? 0 : -1;
    if (!rc && (!out || !file_is_dir(out)))
        rc = err_code(e, ERR_NO_FILE, "run %lld wrote to '%s', which is not there", (long long)id,
                      out ? out : "-");
    char *own = rc ? NULL : name ? mem_strdup(name, e) : report_name_of(out, e);
    rc = rc || !own || add_out(r, own, run, e) || add_relatives(r, l, own, run, e);
    free(own);
    json_decref(run);
    return rc ? -1 : 0;
}
