#include "cli/advice.h"

#include <string.h>

#include "base/param.h"
#include "data/dataset.h"

/* %s: the range that the error names. */
static const struct {
    const char *subject, *advice;
} table[] = {
    {"accumulate", "give --accumulate %s"},
    {"batch", "give a smaller --batch"},
    {"compat", "leave out the --compat switches that average over padding"},
    {"expert", "give --expert-prompt TEXT, or --concept TEXT"},
    {"first", "give --first mapping or none"},
    {"folds", "give --folds 2 or more, or 0 for none"},
    {"lat_layer", "give --lat-layer %s"},
    {"layer", "give --layer %s"},
    {"max_length", "shorten the row, or cut all rows with --max-length"},
    {"max_new_tokens", "give a smaller --max-new-tokens, or shorten the row"},
    {"new", "give --gap NATS"},
    {"novice", "give --novice-prompt TEXT, or --concept TEXT"},
    {"overwrite", "--overwrite starts over"},
    {"reinforced", "give --reinforced MODEL"},
    {"resume", "give the same, or start over with --overwrite"},
    {"shots", "give --folds, or no --shots"},
    {"system", "give --system ''"},
    {"template",
     "name one by --template (plain: questions and answers in plain text, none: text as "
     "it is)"},
};

const char *advice_of(const struct err *e, char *text, size_t room)
{
    const char *subject = e->subject ? e->subject : "";
    char flag[PARAM_NAME_MOST + 1];
    text[0] = 0;
    if (role_by_name(subject) != ROLE_COUNT)
        snprintf(text, room, "give --%s FILE", param_flag(subject, flag));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *a = table[i].advice, *hole = strstr(a, "%s");
        if (strcmp(subject, table[i].subject))
            continue;
        snprintf(text, room, "%.*s%s%s", hole ? (int)(hole - a) : (int)strlen(a), a,
                 hole ? e->range : "", hole ? hole + 2 : "");
    }
    return text;
}
