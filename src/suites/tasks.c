#include "suites/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "eval/template.h"

static const char *const keys[] = {"subject",     "file",    "examples", "groups",   "layouts",
                                   "has",         "prompt",  "choices",  "contexts", "ending",
                                   "description", "letters", "labels",   "answer",   "answer_is",
                                   "normalised",  "wikihow"};

enum { NAME_MOST = 100 }; /* of a task, which is part of result names */

/* In the order of enum answer_kind. */
static const char *const answer_kinds[] = {"index", "number", "label", "truths", "first"};

/* Reads a text or a list of up to `most` texts into out[most + 1], up to NULL. */
static int read_texts(const json_t *j, const char *key, const char **out, int most, struct err *e)
{
    const json_t *v = json_object_get(j, key);
    size_t n = json_is_array(v) ? json_array_size(v) : v != NULL;
    if (n > (size_t)most)
        return err_set(e, "'%s' has %zu texts, the maximum is %d", key, n, most);
    for (size_t i = 0; i < n; i++)
        if (!(out[i] = json_string_value(json_is_array(v) ? json_array_get(v, i) : v)))
            return err_set(e, "'%s' must hold texts", key);
    return 0;
}

static int check_templates(const char *const *forms, struct err *e)
{
    for (; *forms; forms++)
        if (template_check(*forms, e))
            return -1;
    return 0;
}

/* A list of texts is the same for all rows, a text is the path of each row's own. */
static int read_choices(struct choice_task *t, const json_t *j, struct err *e)
{
    if (json_is_array(json_object_get(j, "choices")))
        return read_texts(j, "choices", t->options, TASK_CHOICES, e);
    return json_opt_str(j, "choices", &t->choices, e);
}

static int read_labels(struct choice_task *t, const json_t *j, struct err *e)
{
    const char *ignored[TASK_CHOICES + 1];
    t->classes = json_object_get(j, "labels");
    if (json_is_array(t->classes))
        return read_texts(j, "labels", ignored, TASK_CHOICES, e);
    t->classes = NULL;
    return json_opt_str(j, "labels", &t->labels, e);
}

static int count(const char *const *texts)
{
    int n = 0;
    while (texts[n])
        n++;
    return n;
}

/* Checks for required keys. */
static int check_layout(const struct choice_task *t, struct err *e)
{
    int options = count(t->options), contexts = count(t->contexts);
    bool needs_labels = t->answer_is != ANSWER_INDEX && t->answer_is != ANSWER_NUMBER;
    if (!t->prompt && !contexts)
        return err_set(e, "it needs a 'prompt'");
    if ((t->choices != NULL) + (options > 0) + (contexts > 0) != 1)
        return err_set(e, "it needs either 'choices' or 'contexts'");
    if (options == 1 || contexts == 1)
        return err_set(e, "a question needs at least two choices");
    if (!contexts != !t->ending)
        return err_set(e, "'contexts' and 'ending' need each other");
    if (needs_labels && !t->labels && !t->classes)
        return err_set(e, "'answer_is': '%s' needs 'labels'", answer_kinds[t->answer_is]);
    if (t->classes &&
        (t->answer_is != ANSWER_LABEL || json_array_size(t->classes) != (size_t)options))
        return err_set(e, "a list of 'labels' names each of a list of 'choices', and 'answer_is' "
                          "is 'label'");
    return 0;
}

static int read_layout(struct choice_task *t, const json_t *j, struct err *e)
{
    const char *kind = answer_kinds[0];
    if (json_opt_str(j, "has", &t->has, e) || json_opt_str(j, "description", &t->description, e) ||
        json_opt_str(j, "prompt", &t->prompt, e) || json_opt_str(j, "ending", &t->ending, e) ||
        json_opt_bool(j, "letters", &t->letters, e) ||
        json_opt_bool(j, "wikihow", &t->wikihow, e) ||
        json_opt_bool(j, "normalised", &t->normalised, e) ||
        json_need_str(j, "answer", &t->answer, e) || json_opt_str(j, "answer_is", &kind, e) ||
        read_texts(j, "contexts", t->contexts, TASK_CHOICES, e) || read_choices(t, j, e) ||
        read_labels(t, j, e))
        return -1;
    const char *const forms[] = {t->description ? t->description : "", t->prompt ? t->prompt : "",
                                 t->ending ? t->ending : "", NULL};
    int i = recipe_find_name("kind of answer", kind, answer_kinds,
                             (int)(sizeof answer_kinds / sizeof *answer_kinds), e);
    t->answer_is = i < 0 ? ANSWER_INDEX : (enum answer_kind)i;
    return i < 0 || check_templates(forms, e) || check_templates(t->options, e) ||
           check_templates(t->contexts, e) || check_layout(t, e);
}

/* A new object: `own`, with missing keys from `more`, which may be NULL. */
static json_t *merged(const json_t *own, const json_t *more, struct err *e)
{
    json_t *out = json_copy((json_t *)own);
    if (out && (!more || !json_object_update_missing(out, (json_t *)more)))
        return out;
    json_decref(out);
    err_no_memory(e, "tasks");
    return NULL;
}

/* The layouts of a task: those it lists, or itself. */
static int read_layouts(struct suite_task *t, const json_t *j, struct err *e)
{
    const json_t *list = json_object_get(j, "layouts");
    size_t n = list ? json_array_size(list) : 1;
    if (!n)
        return err_set(e, "'layouts' must be a list of layouts");
    if (!(t->layouts = mem_alloc(n + 1, sizeof *t->layouts, e)))
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *own = list ? json_array_get(list, i) : j;
        json_t *whole = RECIPE_CHECK_KEYS(own, keys, e) ? NULL : merged(own, j, e);
        t->layouts[i].name = t->name;
        int rc = whole ? read_layout(&t->layouts[i], whole, e) : -1;
        json_decref(whole);
        if (rc)
            return -1;
    }
    return 0;
}

static int read_task(struct suite_task *t, const json_t *j, struct err *e)
{
    if (json_opt_str(j, "subject", &t->subject, e) ||
        json_opt_str(j, "examples", &t->examples, e) ||
        read_texts(j, "file", t->files, TASK_FILES, e) ||
        read_texts(j, "groups", t->groups, TASK_GROUPS, e))
        return -1;
    if (t->examples && !t->files[0])
        return err_set(e, "'examples' needs 'file', too: both are in a folder");
    return read_layouts(t, j, e);
}

int suite_tasks_read(struct suite_recipe *r, struct err *e)
{
    json_t *tasks = json_object_get(r->json, "tasks"), *j;
    const json_t *common = json_object_get(r->json, "common");
    const char *name;
    size_t n = json_object_size(tasks);
    r->data = "FILE with the questions";
    if (json_object_get(r->json, "sets") || json_object_get(r->json, "metrics"))
        return err_set(e, "a suite has either 'tasks' or 'sets' and 'metrics'");
    if (!n)
        return err_set(e, "'tasks' must be an object of tasks");
    if (common && RECIPE_CHECK_KEYS(common, keys, e))
        return err_prefix(e, "'common': ");
    if (json_opt_str(r->json, "data", &r->data, e))
        return -1;
    if (!(r->tasks = mem_alloc(n, sizeof *r->tasks, e)))
        return -1;
    json_object_foreach(tasks, name, j)
    {
        struct suite_task *t = &r->tasks[r->n_tasks++];
        t->name = name;
        if (strlen(name) > NAME_MOST)
            return err_set(e, "the name of a task is longer than %d bytes: '%s'", NAME_MOST, name);
        json_t *whole = RECIPE_CHECK_KEYS(j, keys, e) ? NULL : merged(j, common, e);
        int rc = whole ? read_task(t, whole, e) : -1;
        json_decref(whole);
        if (rc)
            return err_prefix(e, "task '%s': ", name);
    }
    return 0;
}

int suite_tasks_override(struct suite_recipe *r, json_t *object, struct err *e)
{
    const char *name;
    json_t *j;
    int rc = 0;
    json_object_foreach(json_object_get(r->json, "tasks"), name, j) rc |=
        json_object_update(j, object);
    suite_tasks_free(r);
    return rc ? err_no_memory(e, "tasks") : suite_tasks_read(r, e);
}

void suite_tasks_free(struct suite_recipe *r)
{
    for (int i = 0; i < r->n_tasks; i++)
        free(r->tasks[i].layouts);
    free(r->tasks);
    r->tasks = NULL;
    r->n_tasks = 0;
}
