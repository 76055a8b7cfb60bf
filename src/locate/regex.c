/* The weights whose Hugging Face parameter name matches a pattern in full. */
#include "base/regex.h"

#include <stddef.h>
#include <string.h>

#include "locate/locators.h"

struct regex {
    const char *trainable_params_regex;
};

static const struct param params[] = {
    STRING_PARAM(struct regex, trainable_params_regex, ".*", "REGEX",
                 "trainable weights: the whole parameter name must match"),
    {0},
};

static int apply(const void *params_, struct model *m, unsigned seed, struct err *e)
{
    const struct regex *p = params_;
    struct weight_table *t = &m->table;
    (void)seed;
    struct pattern pattern;
    int found = 0, rc = pattern_init(&pattern, p->trainable_params_regex, PATTERN_WHOLE, e);
    for (int i = 0; i < t->n && !rc; i++) {
        struct weight *w = &t->v[i];
        rc = pattern_matches(&pattern, w->name, strlen(w->name), &w->trainable, e);
        found += w->trainable;
    }
    pattern_fini(&pattern);
    if (rc)
        return err_prefix(e, "trainable_params_regex '%s': ", p->trainable_params_regex);
    if (!found)
        return err_set(e,
                       "trainable_params_regex '%s' matches no parameter name in full; one is '%s'",
                       p->trainable_params_regex, t->v[t->n / 2].name);
    return 0;
}

const struct locator locator_regex = {
    .name = "regex",
    .help = "weights whose whole name matches trainable_params_regex",
    .params = params,
    .params_size = sizeof(struct regex),
    .apply = apply,
};
