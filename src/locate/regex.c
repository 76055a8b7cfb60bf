/* The weights whose whole HF parameter name matches a pattern. */
#include "base/regex.h"

#include <stddef.h>
#include <string.h>

#include "locate/locators.h"

struct regex {
    const char *pattern;
};

static const struct param params[] = {
    {"trainable_params_regex", PARAM_STRING, offsetof(struct regex, pattern), 0, 0, NULL, ".*",
     "REGEX", "weights that may move: the whole parameter name must match"},
    {0},
};

static int apply(const void *params_, struct model *m, unsigned seed, struct err *e)
{
    const struct regex *p = params_;
    struct weight_table *t = &m->table;
    (void)seed;
    uint32_t flags = PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    pcre2_code *code = regex_compile(p->pattern, strlen(p->pattern), flags, e);
    if (!code)
        return err_prefix(e, "trainable_params_regex '%s': ", p->pattern);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    int found = 0, rc = match ? 0 : err_set(e, "out of memory");
    for (int i = 0; i < t->n && !rc; i++) {
        struct weight *w = &t->v[i];
        int n = pcre2_match(code, (PCRE2_SPTR)w->name, strlen(w->name), 0, 0, match, NULL);
        w->trainable = n >= 0;
        found += w->trainable;
        if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
            PCRE2_UCHAR why[120];
            pcre2_get_error_message(n, why, sizeof why);
            rc = err_set(e, "trainable_params_regex '%s' on '%s': %s", p->pattern, w->name,
                         (char *)why);
        }
    }
    if (!rc && !found)
        rc =
            err_set(e, "trainable_params_regex '%s' matches no parameter name in full; one is '%s'",
                    p->pattern, t->v[t->n / 2].name);
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    return rc;
}

const struct locator locator_regex = {
    .name = "regex",
    .help = "weights whose whole name matches trainable_params_regex",
    .params = params,
    .params_size = sizeof(struct regex),
    .apply = apply,
};
