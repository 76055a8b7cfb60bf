/* Prompts that a suite makes of a row's fields and of worked examples. */
#include "eval/template.h"
#include "suites/recipe.h"

/* All rows of the set of examples, one after another; nothing if it is not given. */
static int fill_shots(const struct suite_set *s, const struct rows *shots, struct buf *out,
                      struct err *e)
{
    for (int i = 0; shots && i < shots->n; i++) {
        const struct template_source from = {shots->v[i], NULL};
        if (template_fill(out, s->shot, &from, e))
            return err_prefix(e, "'%s' row %d: ", shots->path, i);
    }
    return buf_str(out, "", e);
}

static int fill_rows(const struct suite_set *s, struct rows *rows, const char *shots,
                     const char *question, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; !rc && i < rows->n; i++) {
        json_t *row = rows->v[i];
        const struct template_source from = {row, NULL};
        buf_clear(&text);
        if (json_object_set_new(row, "shots", json_string(shots)))
            rc = suite_no_memory(e);
        else if ((rc = template_fill(&text, s->prompt, &from, e)))
            err_prefix(e, "'%s' row %d: ", rows->path, i);
        else if (json_object_set_new(row, question, json_string(text.data)))
            rc = suite_no_memory(e);
    }
    buf_fini(&text);
    return rc;
}

int suite_recipe_prompts(const struct suite_recipe *r, struct rows *const *rows,
                         const char *question, struct err *e)
{
    for (int i = 0; i < r->n_sets; i++) {
        const struct suite_set *s = &r->sets[i];
        if (!rows[i] || !s->prompt)
            continue;
        struct buf shots = {0};
        int rc = fill_shots(s, s->shots < 0 ? NULL : rows[s->shots], &shots, e);
        if (!rc)
            rc = fill_rows(s, rows[i], shots.data, s->question ? s->question : question, e);
        buf_fini(&shots);
        if (rc)
            return err_prefix(e, "set '%s': ", s->name);
    }
    return 0;
}
