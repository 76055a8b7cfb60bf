/* The table of merges: read one by one, or derived from the vocabulary. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/vocab.h"
#include "text/pretok.h"

/* Derived merges are as many as the cuts of all tokens; a longer token than this is refused.
 */
enum { LONGEST_CUT = 4096 };

void bpe_init(struct bpe *b, const struct vocab *v)
{
    *b = (struct bpe){.vocab = v, .unk = -1};
    for (int i = 0; i < 256; i++) {
        char symbol[2];
        b->byte_id[i] = vocab_find(v, symbol, bytelevel_symbol((uint8_t)i, symbol));
    }
}

void bpe_init_chars(struct bpe *b, struct vocab *v, bool fallback)
{
    *b = (struct bpe){.vocab = v, .chars = true, .unk = -1};
    for (int i = 0; i < 256; i++) {
        char text[8];
        b->byte_id[i] = fallback ? vocab_find(v, text, (size_t)sprintf(text, "<0x%02X>", i)) : -1;
        if (b->byte_id[i] >= 0)
            v->flags[b->byte_id[i]] |= TOKEN_BYTE;
    }
}

void bpe_fini(struct bpe *b)
{
    free(b->merges);
    free(b->slots);
    *b = (struct bpe){0};
}

static int push(struct bpe *b, struct bpe_merge m, struct err *e)
{
    if (b->n >= INT_MAX / 4)
        return err_set(e, "more than %d merges", INT_MAX / 4);
    if (mem_reserve(&b->merges, &b->cap, b->n + 1, sizeof *b->merges, e))
        return -1;
    b->merges[b->n++] = m;
    return 0;
}

int bpe_add(struct bpe *b, const char *left, size_t n_left, const char *right, size_t n_right,
            struct err *e)
{
    struct buf both = {0};
    int rc = -1;
    if (buf_add(&both, left, n_left, e) || buf_add(&both, right, n_right, e))
        goto out;
    struct bpe_merge m = {vocab_find(b->vocab, left, n_left), vocab_find(b->vocab, right, n_right),
                          vocab_find(b->vocab, both.data, both.len), (int)b->n};
    if (m.left < 0 || m.right < 0 || m.id < 0)
        err_set(e,
                "merge %zu makes '%.64s' of '%.*s' and '%.*s', which are not all in the vocabulary",
                b->n, both.data, n_left > 64 ? 64 : (int)n_left, left,
                n_right > 64 ? 64 : (int)n_right, right);
    else
        rc = push(b, m, e);
out:
    buf_fini(&both);
    return rc;
}

/* Whether this token is a result and an operand of merges. Added tokens are split off instead. */
static bool takes_part(const struct vocab *v, int id)
{
    return id >= 0 && v->flags[id] & TOKEN_USED &&
           !(v->flags[id] & (TOKEN_ADDED | TOKEN_BYTE | TOKEN_UNUSED));
}

static int add_cuts(struct bpe *b, int id, struct err *e)
{
    size_t n;
    const char *s = vocab_text(b->vocab, id, &n);
    if (n > LONGEST_CUT)
        return err_set(e, "token %d is longer than %d bytes", id, LONGEST_CUT);
    for (size_t k = utf8_char(s, n); k < n; k += utf8_char(s + k, n - k)) {
        int left = vocab_find(b->vocab, s, k);
        int right = takes_part(b->vocab, left) ? vocab_find(b->vocab, s + k, n - k) : -1;
        if (takes_part(b->vocab, right) && push(b, (struct bpe_merge){left, right, id, 0}, e))
            return -1;
    }
    return 0;
}

struct by_score {
    const float *scores;
    const struct vocab *vocab;
};

/* The highest score first. Cuts of one token by the longer left part: the order of HF's converter,
 * which matters to none but readers of a list of merges. */
static int compare(const void *a_, const void *b_, void *ctx)
{
    const struct bpe_merge *a = a_, *b = b_;
    const struct by_score *c = ctx;
    float s = c->scores[a->id], t = c->scores[b->id];
    uint32_t n = c->vocab->len[a->left], m = c->vocab->len[b->left];
    if (s != t)
        return s < t ? 1 : -1;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (n < m) - (n > m);
}

int bpe_derive(struct bpe *b, const float *scores, struct err *e)
{
    for (int id = 0; id < b->vocab->n; id++)
        if (takes_part(b->vocab, id) && add_cuts(b, id, e))
            return -1;
    struct by_score c = {scores, b->vocab};
    if (b->n)
        qsort_r(b->merges, b->n, sizeof *b->merges, compare, &c);
    for (size_t i = 1; i < b->n; i++) {
        struct bpe_merge *m = &b->merges[i];
        m->rank = m[-1].rank + (scores[m->id] != scores[m[-1].id]);
    }
    return 0;
}

/* Whether the space mark occurs only at the start of merged tokens, once or as a run. */
static bool begins_words(const struct bpe *b, const char *mark)
{
    size_t len = strlen(mark), n;
    for (size_t i = 0; i < b->n; i++) {
        const char *s = vocab_text(b->vocab, b->merges[i].id, &n), *end = s + n;
        while ((size_t)(end - s) >= len && !memcmp(s, mark, len))
            s += len;
        if (memmem(s, (size_t)(end - s), mark, len))
            return false;
    }
    return vocab_find(b->vocab, mark, len) >= 0;
}

int bpe_finish(struct bpe *b, struct err *e)
{
    static const char *const marks[] = {PRETOK_MARK, " "};
    for (size_t i = 0; i < 2 && b->chars && !b->whole_words && !b->mark; i++)
        b->mark = begins_words(b, marks[i]) ? marks[i] : NULL;
    b->n_slots = SIZE(16, 2);
    while (b->n_slots < 2 * b->n)
        b->n_slots *= 2;
    if (!(b->slots = mem_alloc(b->n_slots, sizeof *b->slots, e)))
        return -1;
    memset(b->slots, 0xff, b->n_slots * sizeof *b->slots);
    for (size_t i = 0; i < b->n; i++) /* of equal merges the last one counts, as in HF's reader */
        b->slots[bpe_slot(b, b->merges[i].left, b->merges[i].right)] = (int)i;
    return 0;
}
