#include "cli/method_needs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "methods/stage.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "train/wrapper.h"

/* A term that is looked through, and whose data it looks at. */
struct look {
    const struct term *term;
    const void *params; /* borrowed; NULL: it looks at no helper model */
    enum role role;
};

enum { MOST_LOOKS = 2 * PART_COUNT + WRAPPER_MAX_EXTRAS };

struct looks {
    struct look v[MOST_LOOKS];
    int n;
};

const char *method_preset(const struct method *m, const char *option)
{
    for (const struct param_preset *p = m->presets; p && p->name; p++)
        if (!strcmp(p->name, option))
            return p->value;
    return NULL;
}

static void add_parts(struct looks *l, const struct recipe *r)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row)
            l->v[l->n++] = (struct look){r->part[i].row, r->part[i].params,
                                         recipe_role(r, (enum recipe_place)i)};
}

static int add_wrapper(struct looks *l, const struct method *m, struct err *e)
{
    const char *name = method_preset(m, "wrapper");
    struct wrapping w = {0};
    int rc = name ? wrapping_choose(&w, name, e) : 0;
    const struct wrapper *row = wrapping_row(&w);
    if (!rc && row && row->params)
        rc = param_apply_presets(row->params, w.chosen.params, m->presets, e);
    for (int k = 0; !rc && row && k < WRAPPER_MAX_EXTRAS && row->extra[k].term; k++) {
        const struct term *t = term_by_name(row->extra[k].term, e);
        if (!t)
            rc = -1;
        else if (!row->weight || row->weight(w.chosen.params, k) != 0)
            l->v[l->n++] = (struct look){t, NULL, row->extra[k].role};
    }
    wrapping_fini(&w);
    return rc;
}

static void add_word(char *text, size_t n, const char *word)
{
    size_t at = strlen(text);
    if (!strstr(text, word))
        snprintf(text + at, n - at, "%s%s", at ? ", " : "", word);
}

static void tell(const struct looks *l, char *text, size_t n)
{
    text[0] = 0;
    for (int i = 0; i < l->n; i++)
        add_word(text, n, view_name[l->v[i].term->kind]);
    for (int i = 0; i < l->n; i++) {
        const struct look *k = &l->v[i];
        if (k->term->needs_ref)
            add_word(text, n, "reference");
        for (int h = 0; h < HELPER_COUNT; h++)
            if (k->params && term_looks_at(k->term, k->params, (enum helper)h))
                add_word(text, n, helper_name[h]);
        if (k->role != ROLE_FORGET && k->role != ROLE_RETAIN)
            add_word(text, n, role_name[k->role]);
        if (k->term->n_views > 1)
            add_word(text, n,
                     role_name[k->role == ROLE_RETAIN ? ROLE_RETAIN_ALTERNATE : ROLE_ALTERNATE]);
    }
}

int method_needs(const struct recipe *r, char *text, size_t n, struct err *e)
{
    const char *first = method_preset(r->method, "first");
    const struct stage *stage = NULL;
    struct recipe before = {0};
    struct looks l = {.n = 0};
    int rc = first ? stage_by_name(first, &stage, e) : 0;
    add_parts(&l, r);
    rc = rc || add_wrapper(&l, r->method, e) || (stage && recipe_open(&before, stage->method, e))
             ? -1
             : 0;
    if (!rc && stage)
        add_parts(&l, &before);
    if (!rc)
        tell(&l, text, n);
    recipe_fini(&before);
    return rc;
}
