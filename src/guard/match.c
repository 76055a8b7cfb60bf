#include "guard/match.h"

#include <string.h>

#include "base/mem.h"
#include "eval/texts.h"

enum { LEAST_LETTERS = 6 }; /* of a string that is searched for without spaces */

int match_words(const char *text, struct buf *out, struct err *e)
{
    struct buf words = {0};
    int n = words_unicode(text, strlen(text), &words, e), rc = n < 0 || buf_str(out, " ", e);
    for (size_t at = 0; n-- > 0 && !rc; at += strlen(words.data + at) + 1)
        rc = buf_str(out, words.data + at, e) || buf_str(out, " ", e);
    buf_fini(&words);
    return rc ? -1 : 0;
}

int match_grams(const char *words, int n, uint64_t **out, size_t *count, struct err *e)
{
    size_t spaces = 0, at = 0;
    for (const char *s = words; *s; s++)
        spaces += *s == ' ';
    const size_t total = spaces ? spaces - 1 : 0;
    uint64_t *word = mem_alloc(total, sizeof *word, e);
    *count = total >= (size_t)n ? total - (size_t)n + 1 : 0;
    *out = word ? mem_alloc(*count, sizeof **out, e) : NULL;
    for (const char *s = words + 1; *out && at < total; at++) {
        const char *end = strchr(s, ' ');
        word[at] = hash_bytes(HASH_START, s, (size_t)(end - s));
        s = end + 1;
    }
    for (size_t i = 0; *out && i < *count; i++) {
        (*out)[i] = HASH_START;
        for (int k = 0; k < n; k++)
            (*out)[i] = hash_word((*out)[i], word[i + (size_t)k]);
    }
    free(word);
    return *out ? 0 : -1;
}

static int add_words(struct matcher *m, const char *text, struct err *e)
{
    struct buf b = {0};
    if (match_words(text, &b, e)) {
        buf_fini(&b);
        return -1;
    }
    if (b.len < 3) { /* nothing but punctuation matches nothing */
        buf_fini(&b);
        return 0;
    }
    m->words[m->n_words++] = b.data;
    return 0;
}

/* The n-grams of a forget text; one that is shorter is a string. */
static int add_text(struct matcher *m, int i, struct err *e)
{
    const char *text = rows_text(&m->rows, i, m->p->key, e);
    struct buf b = {0};
    uint64_t *gram = NULL;
    size_t n = 0;
    int rc =
        !text || match_words(text, &b, e) || match_grams(b.data, (int)m->p->ngram, &gram, &n, e);
    for (size_t k = 0; k < n && !rc; k++)
        rc = hash_index_add(&m->grams, gram[k], (size_t)i, e);
    if (!rc && !n)
        rc = add_words(m, text, e);
    free(gram);
    buf_fini(&b);
    return rc ? -1 : 0;
}

int matcher_init(struct matcher *m, const struct match_params *p, struct err *e)
{
    *m = (struct matcher){.p = p};
    if (!p->strings && !p->regex && !p->texts)
        return err_set(e, "there is nothing to search for: give strings, regex or texts");
    if ((p->strings && stop_list_parse(&m->strings, p->strings, e)) ||
        (p->regex && pattern_init(&m->regex, p->regex, PCRE2_UTF, e)) ||
        (p->texts && rows_open(&m->rows, p->texts, e)))
        return -1;
    size_t n = (size_t)m->rows.n;
    for (const char *const *s = m->strings.v; s && *s; s++)
        n++;
    if (!(m->words = mem_alloc(n, sizeof *m->words, e)))
        return -1;
    for (const char *const *s = m->strings.v; s && *s; s++)
        if (add_words(m, *s, e))
            return -1;
    for (int i = 0; i < m->rows.n; i++)
        if (add_text(m, i, e))
            return -1;
    return 0;
}

void matcher_fini(struct matcher *m)
{
    for (int i = 0; i < m->n_words; i++)
        free(m->words[i]);
    free(m->words);
    stop_list_fini(&m->strings);
    pattern_fini(&m->regex);
    rows_close(&m->rows);
    hash_index_fini(&m->grams);
    *m = (struct matcher){0};
}

/* The characters in the opposite order. */
static int add_reversed(struct buf *out, const char *text, struct err *e)
{
    for (size_t end = strlen(text), from; end > 0; end = from) {
        from = end - 1;
        while (from > 0 && ((unsigned char)text[from] & 0xc0) == 0x80)
            from--;
        if (buf_add(out, text + from, end - from, e))
            return -1;
    }
    return buf_add(out, "", 0, e);
}

static void drop_spaces(char *s)
{
    char *to = s;
    for (; *s; s++)
        if (*s != ' ')
            *to++ = *s;
    *to = 0;
}

static void found(struct match_hit *hit, const char *what, const char *text, const char *how)
{
    hit->found = true;
    snprintf(hit->why, sizeof hit->why, "%s '%.100s'%s", what, text, how);
}

/* Strings and n-grams in a text of words, which loses its spaces. */
static int find_in(struct matcher *m, char *words, const char *how, struct match_hit *hit,
                   struct err *e)
{
    uint64_t *gram = NULL;
    size_t n = 0, hits = 0, first = 0;
    for (int i = 0; i < m->n_words && !hit->found; i++)
        if (strstr(words, m->words[i]))
            found(hit, "the words", m->words[i] + 1, how);
    if (m->grams.n && !hit->found && match_grams(words, (int)m->p->ngram, &gram, &n, e))
        return -1;
    for (size_t k = 0; k < n; k++) {
        size_t probe = 0, row;
        if (hash_index_next(&m->grams, gram[k], &probe, &row) && !hits++)
            first = row;
    }
    free(gram);
    if (!hit->found && hits >= (size_t)m->p->hits) {
        hit->found = true;
        snprintf(hit->why, sizeof hit->why, "%zu n-grams of %d words of the texts, as of row %zu%s",
                 hits, (int)m->p->ngram, first, how);
    }
    drop_spaces(words);
    for (int i = 0; i < m->n_words && !hit->found; i++) {
        char *bare = mem_strdup(m->words[i], e);
        if (!bare)
            return -1;
        drop_spaces(bare);
        if (strlen(bare) >= LEAST_LETTERS && strstr(words, bare))
            found(hit, "without spaces, the words", m->words[i] + 1, how);
        free(bare);
    }
    return 0;
}

static int find_rouge(struct matcher *m, const char *text, struct match_hit *hit, struct err *e)
{
    for (int i = 0; i < m->rows.n && m->p->rouge > 0 && !hit->found; i++) {
        const char *truth = rows_text(&m->rows, i, m->p->key, e);
        struct rouge r;
        if (!truth || rouge_score(truth, strlen(truth), text, strlen(text), ROUGE_UNICODE, &r, e))
            return -1;
        hit->found = r.recall_l > m->p->rouge;
        snprintf(hit->why, sizeof hit->why, "ROUGE-L recall %.2f of row %d of the texts",
                 r.recall_l, i);
    }
    return 0;
}

int matcher_find(struct matcher *m, const char *text, struct match_hit *hit, struct err *e)
{
    struct buf words = {0}, back = {0}, reversed = {0};
    *hit = (struct match_hit){0};
    int rc = m->regex.code ? pattern_matches(&m->regex, text, strlen(text), &hit->found, e) : 0;
    if (hit->found)
        snprintf(hit->why, sizeof hit->why, "the pattern '%.120s'", m->p->regex);
    rc = rc || match_words(text, &words, e) || add_reversed(&back, text, e) ||
         match_words(back.data, &reversed, e) || find_in(m, words.data, "", hit, e) ||
         find_in(m, reversed.data, ", reversed", hit, e) || find_rouge(m, text, hit, e);
    buf_fini(&words);
    buf_fini(&back);
    buf_fini(&reversed);
    return rc ? -1 : 0;
}
