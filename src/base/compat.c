#include "base/compat.h"

#include <string.h>

#include "base/mem.h"

struct compat_row {
    const char *name;
    unsigned bits;
    const char *help;
};

enum { COMPAT_OU = (COMPAT_DECAY_NORMS << 1) - 1 }; /* all of the peer's */

static const struct compat_row rows[] = {
    {"none", 0, "the papers' definitions (default)"},
    {"ou", COMPAT_OU, "all of the following: what OpenUnlearning computes"},
    {"pad_eos_mask", COMPAT_PAD_EOS_MASK, "attention skips every token equal to the pad id"},
    {"count_labels", COMPAT_COUNT_LABELS, "masks as many labels as the prompt alone has tokens"},
    {"append_eos", COMPAT_APPEND_EOS, "keeps the template's text after the answer, then adds eos"},
    {"pad_embed_frozen", COMPAT_PAD_EMBED_FROZEN,
     "the pad token's input embedding gets no gradient"},
    {"chunk_reencode", COMPAT_CHUNK_REENCODE, "chunks of plain text are decoded and encoded again"},
    {"drop_last_token", COMPAT_DROP_LAST_TOKEN,
     "memorisation and membership attacks leave out an answer's last token"},
    {"es_floor", COMPAT_ES_FLOOR, "extraction strength is at least one token"},
    {"nan", COMPAT_NAN, "evaluation logs hold NaN, as Python writes it, where a number is missing"},
    {"truth_tiny", COMPAT_TRUTH_TINY,
     "truth ratios and options add 1e-10 to the probabilities they divide by"},
    {"decay_norms", COMPAT_DECAY_NORMS,
     "weight decay moves RMSNorms of mistral, qwen2, phi3, gemma and their like"},
    {"system_turn", COMPAT_SYSTEM_TURN,
     "without a system message a conversation begins with 'You are a helpful assistant.'"},
    {"date", COMPAT_DATE, "without a date templates that tell it get 10 Apr 2025"},
    {"micro_mean", COMPAT_MICRO_MEAN, "a step averages micro-batch means, not tokens"},
    {"uds", COMPAT_UDS,
     "not of ou: the depth score reads the last layer's states after the final norm"},
};

enum { N_ROWS = sizeof rows / sizeof *rows };

/* The next name of a list joined by commas; *rest: the text after it, NULL at the end. */
static void next_name(const char **rest, char word[PARAM_NAME_MOST + 1])
{
    const size_t n = strcspn(*rest, ",");
    snprintf(word, PARAM_NAME_MOST + 1, "%.*s", (int)(n < PARAM_NAME_MOST ? n : PARAM_NAME_MOST),
             *rest);
    *rest = (*rest)[n] ? *rest + n + 1 : NULL;
}

static int unknown_name(const char *word, const struct param *const *params, int n, struct err *e)
{
    const char *names[128];
    int k = 0;
    for (; k < N_ROWS; k++)
        names[k] = rows[k].name;
    for (int i = 0; i < n && k < 128; i++)
        names[k++] = params[i]->name;
    const char *near = param_nearest(word, names, k);
    if (near)
        return err_set(e, "unknown compat switch '%s': did you mean '%s'?", word, near);
    return err_set(e, "unknown compat switch '%s': use ou, none or names joined by commas", word);
}

static bool is_param(const char *word, const struct param *const *params, int n)
{
    int i = 0;
    while (i < n && strcmp(params[i]->name, word))
        i++;
    return i < n;
}

int compat_parse(const char *text, const struct param *const *params, int n, unsigned *bits,
                 struct err *e)
{
    unsigned sum = 0;
    for (const char *rest = text; rest;) {
        char word[PARAM_NAME_MOST + 1];
        int i = 0;
        next_name(&rest, word);
        while (i < N_ROWS && strcmp(rows[i].name, word))
            i++;
        if (i == N_ROWS && !is_param(word, params, n))
            return unknown_name(word, params, n, e);
        sum |= i < N_ROWS ? rows[i].bits : 0;
    }
    *bits = sum;
    return 0;
}

bool compat_sets(const char *text, const struct param *p)
{
    bool sets = false;
    for (const char *rest = text; rest && p->type == PARAM_BOOL && p->choices && !sets;) {
        char word[PARAM_NAME_MOST + 1];
        next_name(&rest, word);
        sets = !strcmp(word, p->name) || !strcmp(word, p->choices);
    }
    return sets;
}

void compat_apply(const char *text, const struct param *table, void *obj)
{
    struct err e;
    for (const struct param *p = table; p && p->name; p++)
        BUG_ON(compat_sets(text, p) && param_set_text(p, obj, "true", &e));
}

void compat_help(FILE *out, const struct param *const *params, int n)
{
    for (int i = 0; i < N_ROWS; i++)
        fprintf(out, "  %-20s %s\n", rows[i].name, rows[i].help);
    for (int i = 0; i < n; i++)
        fprintf(out, "  %-20s %s\n", params[i]->name, params[i]->help);
}
