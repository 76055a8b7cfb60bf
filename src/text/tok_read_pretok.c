/* Reader of tokenizer.json's pre-tokeniser. */
#include <string.h>

#include "base/json.h"
#include "text/scan.h"
#include "text/tokenizer_private.h"

/* Some ASCII punctuation is a symbol (S) in Unicode, not punctuation (P): both are matched. */
#define PUNCTUATION "[\\p{P}$+<=>^~|`]"

static int read_keep(const json_t *j, enum pretok_keep *keep, struct err *e)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"}; /* as enum pretok_keep */
    const char *behavior = names[*keep];
    if (json_opt_str(j, "behavior", &behavior, e))
        return -1;
    for (int i = 0; i < 5; i++)
        if (!strcmp(behavior, names[i])) {
            *keep = (enum pretok_keep)i;
            return 0;
        }
    return err_set(e, "split behavior '%.64s' is not known", behavior);
}

static int read_split(struct tokenizer *t, const json_t *j, struct err *e)
{
    const char *regex = NULL, *text = NULL;
    bool invert = false;
    enum pretok_keep keep = PRETOK_ISOLATE;
    const json_t *pattern = json_object_get(j, "pattern");
    if (read_keep(j, &keep, e) || json_opt_bool(j, "invert", &invert, e) ||
        json_opt_str(pattern, "Regex", &regex, e) || json_opt_str(pattern, "String", &text, e))
        return -1;
    if (!regex && !text)
        return err_set(e, "a split has no pattern");
    return pretok_add_split(&t->pretok, regex ? regex : text, !regex, keep, invert, e);
}

static int read_digits(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool each = false;
    if (json_opt_bool(j, "individual_digits", &each, e))
        return -1;
    return pretok_add_split(&t->pretok, each ? PATTERN_DIGIT : PATTERN_DIGIT "+", false,
                            PRETOK_ISOLATE, false, e);
}

static int read_punctuation(struct tokenizer *t, const json_t *j, struct err *e)
{
    enum pretok_keep keep = PRETOK_ISOLATE;
    if (read_keep(j, &keep, e))
        return -1;
    return pretok_add_split(&t->pretok, PUNCTUATION, false, keep, false, e);
}

static int read_bytelevel(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool prefix = true, regex = true;
    if (json_opt_bool(j, "add_prefix_space", &prefix, e) ||
        json_opt_bool(j, "use_regex", &regex, e))
        return -1;
    if (prefix && pretok_add(&t->pretok, &(struct pretok_step){.kind = PRETOK_SPACE}, e))
        return -1;
    if (regex && pretok_add_split(&t->pretok, PATTERN_GPT2, false, PRETOK_ISOLATE, false, e))
        return -1;
    return pretok_add(&t->pretok, &(struct pretok_step){.kind = PRETOK_SYMBOLS}, e);
}

static int read_metaspace(struct tokenizer *t, const json_t *j, struct err *e)
{
    const char *mark = PRETOK_MARK, *scheme = NULL;
    bool prefix = true, split = true;
    if (json_opt_str(j, "replacement", &mark, e) ||
        json_opt_bool(j, "add_prefix_space", &prefix, e) || json_opt_bool(j, "split", &split, e) ||
        json_opt_str(j, "prepend_scheme", &scheme, e))
        return -1;
    if (strcmp(mark, PRETOK_MARK))
        return err_set(e, "Metaspace with replacement '%.16s' is not supported", mark);
    if (!scheme)
        scheme = prefix ? "always" : "never";
    struct pretok_step step = {.kind = PRETOK_METASPACE,
                               .prepend = !strcmp(scheme, "always")  ? PREPEND_ALWAYS
                                          : !strcmp(scheme, "first") ? PREPEND_FIRST
                                                                     : PREPEND_NEVER};
    if (pretok_add(&t->pretok, &step, e))
        return -1;
    return split ? pretok_add_split(&t->pretok, PRETOK_MARK, true, PRETOK_TO_NEXT, false, e) : 0;
}

static const struct reader {
    const char *type;
    int (*read)(struct tokenizer *t, const json_t *j, struct err *e);
} readers[] = {
    {"Split", read_split},         {"Digits", read_digits},
    {"ByteLevel", read_bytelevel}, {"Punctuation", read_punctuation},
    {"Metaspace", read_metaspace},
};

/* One step, or a Sequence of them. */
static int read_steps(struct tokenizer *t, const json_t *j, bool *bytes, struct err *e)
{
    const char *type;
    const json_t *list = json_object_get(j, "pretokenizers"), *step;
    size_t i;
    if (list) {
        json_array_foreach(list, i, step) if (read_steps(t, step, bytes, e)) return -1;
        return 0;
    }
    if (json_need_str(j, "type", &type, e))
        return -1;
    if (!strcmp(type, "ByteLevel")) {
        if (*bytes)
            return err_set(e, "two ByteLevel pre-tokenisers are not supported");
        *bytes = true;
    }
    for (i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(type, readers[i].type))
            return readers[i].read(t, j, e);
    return err_set(e,
                   "pre-tokeniser '%.64s' is not supported (Sequence, Split, Digits, Punctuation, "
                   "Metaspace and ByteLevel are)",
                   type);
}

int tok_read_pretok(struct tokenizer *t, const json_t *j, bool *bytes, struct err *e)
{
    *bytes = false;
    if (json_is_object(j) && read_steps(t, j, bytes, e))
        return -1;
    /* Symbols as the last step change nothing but the spelling of complete words. */
    if (t->pretok.n && t->pretok.steps[t->pretok.n - 1].kind == PRETOK_SYMBOLS)
        t->pretok.n--;
    const char *type = json_string_value(json_object_get(j, "type"));
    t->lone_bytelevel = type && !strcmp(type, "ByteLevel");
    return 0;
}
