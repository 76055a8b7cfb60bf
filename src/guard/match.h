/* Whether a text has something of the forget texts: a string, a regular expression, n-grams of
 * words, or a longest common subsequence of words. For the filters of prompts and of answers.
 *
 * Texts are compared as words (eval/texts.h): NFKC, case folded, without punctuation. Strings and
 * n-grams are also searched for in the reversed text, and strings of six letters or more in the
 * text without spaces, so that the plainest ciphers do not hide them.
 */
#ifndef GUARD_MATCH_H
#define GUARD_MATCH_H

#include "base/hash.h"
#include "base/param.h"
#include "base/regex.h"
#include "eval/answers.h"
#include "data/rows.h"

struct match_params {
    const char *strings, *regex, *texts, *key;
    int64_t ngram, hits;
    double rouge;
};

/* Rows of a table whose struct has them as `match`. */
#define MATCH_ROW(type, field, kind, lo, hi, value, meta, help)                                    \
    {                                                                                              \
#field, kind, offsetof(type, match.field), lo, hi, NULL, value, meta, help                 \
    }
#define MATCH_PARAMS(type, default_key)                                                            \
    MATCH_ROW(type, strings, PARAM_STRING, 0, 0, NULL, "TEXT",                                     \
              "fires on any of these words, separated by bars: 'Isaac Newton|gravity'"),           \
        MATCH_ROW(type, regex, PARAM_STRING, 0, 0, NULL, "PATTERN",                                \
                  "fires where this regular expression (PCRE2) matches; case counts unless it "    \
                  "begins with (?i)"),                                                             \
        MATCH_ROW(type, texts, PARAM_STRING, 0, 0, NULL, "FILE",                                   \
                  "rows whose texts are to be forgotten: fires on their n-grams"),                 \
        MATCH_ROW(type, key, PARAM_STRING, 0, 0, default_key, "KEY", "field of those texts"),      \
        MATCH_ROW(type, ngram, PARAM_INT, 1, 64, "4", NULL, "words of an n-gram"),                 \
        MATCH_ROW(type, hits, PARAM_INT, 1, 1 << 20, "2", NULL, "how many it takes"),              \
        MATCH_ROW(type, rouge, PARAM_REAL, 0, 1, "0", NULL,                                        \
                  "also fires on a ROUGE-L recall of one of the texts above this; 0: not asked")

struct matcher {
    const struct match_params *p; /* borrowed */
    struct stop_list strings;     /* owned: as given, normalised in words */
    char **words;                 /* owned [n_words]: " isaac newton " */
    int n_words;
    struct pattern regex; /* if p->regex */
    struct rows rows;     /* owned: of p->texts; n = 0: none */
    struct hash_index grams;
};

/* Why it fired. */
struct match_hit {
    bool found;
    char why[160]; /* "the string 'isaac newton'" */
};

/* Refuses parameters with nothing to search for. matcher_fini in every case. */
int matcher_init(struct matcher *m, const struct match_params *p, struct err *e);
int matcher_find(struct matcher *m, const char *text, struct match_hit *hit, struct err *e);
void matcher_fini(struct matcher *m);

/* A word list as one text: " the words "; appended. */
int match_words(const char *text, struct buf *out, struct err *e);
/* Hashes of all n-grams of words of that text, in order, owned by the caller; *count of them. */
int match_grams(const char *words, int n, uint64_t **out, size_t *count, struct err *e);

#endif
