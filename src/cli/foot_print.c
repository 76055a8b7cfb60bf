#include "cli/foot_print.h"

#include <stdio.h>

#include "base/log.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

static int add_sentence(json_t *foot, const char *sentence, const char *name, struct err *e)
{
    json_t *names = json_object_get(foot, sentence);
    if (!names && !json_object_set_new(foot, sentence, json_array()))
        names = json_object_get(foot, sentence);
    return json_array_append_new(names, json_string(name)) ? err_no_memory(e, "foot") : 0;
}

/* {sentence: [metrics of which it is true]}, in the order of the table. */
static json_t *make_foot(const struct suite *s, struct err *e)
{
    json_t *foot = json_object();
    struct buf text = {0};
    int rc = foot ? 0 : err_no_memory(e, "foot");
    for (int i = 0; i < s->n_results && !rc; i++) {
        const struct result *r = &s->results[i];
        const char *name = s->recipe->metrics[i].name;
        for (int k = 0; k < WARN_COUNT && !rc; k++) {
            buf_clear(&text);
            rc = warnings_write(&r->warnings, (enum warning)k, &text, e);
            if (!rc && text.len)
                rc = add_sentence(foot, text.data, name, e);
        }
        if (!rc && *r->note)
            rc = add_sentence(foot, r->note, name, e);
    }
    buf_fini(&text);
    if (!rc)
        return foot;
    json_decref(foot);
    return NULL;
}

/* "forget_Q_A_Prob, mia_loss and 3 more: 1 of 9 rows ..." */
static int write_line(struct buf *text, const char *sentence, const json_t *names, struct err *e)
{
    enum { NAMED = 4 };
    size_t n = json_array_size(names), most = n > NAMED + 1 ? NAMED : n;
    int rc = 0;
    buf_clear(text);
    for (size_t i = 0; i < most && !rc; i++)
        rc =
            buf_printf(text, e, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
    if (!rc && most < n)
        rc = buf_printf(text, e, " and %zu more", n - most);
    return rc || buf_printf(text, e, ": %s", sentence) ? -1 : 0;
}

int foot_print(const struct suite *s, bool json, struct err *e)
{
    json_t *foot = make_foot(s, e), *names;
    struct buf text = {0};
    const char *sentence, *gap = "\n";
    int rc = foot ? 0 : -1;
    json_object_foreach(foot, sentence, names)
    {
        if (rc || (rc = write_line(&text, sentence, names, e)))
            break;
        if (json)
            log_note("%s", text.data);
        else
            printf("%s%s\n", gap, text.data);
        gap = "";
    }
    buf_fini(&text);
    json_decref(foot);
    return rc;
}
