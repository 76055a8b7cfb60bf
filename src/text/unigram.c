#include "text/unigram.h"

#include <float.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"

static const float unk_penalty = 10;

/* Whether text may become this token. */
static bool usable(const struct vocab *v, int id)
{
    return id >= 0 && v->flags[id] & TOKEN_USED &&
           !(v->flags[id] & (TOKEN_SPECIAL | TOKEN_BYTE | TOKEN_UNUSED | TOKEN_EXTRA));
}

void unigram_init(struct unigram *u, struct vocab *v, const float *scores, int unk, bool fallback)
{
    *u = (struct unigram){.vocab = v, .scores = scores, .unk = unk};
    for (int i = 0; i < 256; i++) {
        char text[8];
        u->byte_id[i] = fallback ? vocab_find(v, text, (size_t)sprintf(text, "<0x%02X>", i)) : -1;
        if (u->byte_id[i] >= 0)
            v->flags[u->byte_id[i]] |= TOKEN_BYTE;
    }
    float least = FLT_MAX;
    for (int id = 0; id < v->n; id++) {
        if (!usable(v, id))
            continue;
        u->longest = v->len[id] > u->longest ? v->len[id] : u->longest;
        least = scores[id] < least ? scores[id] : least;
    }
    u->unk_score = (least < FLT_MAX ? least : 0) - unk_penalty;
}

void unigram_work_fini(struct unigram_work *w)
{
    free(w->cells);
    *w = (struct unigram_work){0};
}

/* The best way to here: its score, its last token (-1: a character without one) and that one's
 * start; after the way back, the start of the next token. */
struct unigram_cell {
    double score;
    int id;
    size_t from, next;
};

static void offer(struct unigram_cell *c, double score, int id, size_t from)
{
    if (score > c->score)
        *c = (struct unigram_cell){score, id, from, 0};
}

static void fill(const struct unigram *u, struct unigram_cell *cells, const char *s, size_t n)
{
    for (size_t i = 1; i <= n; i++)
        cells[i].score = -DBL_MAX;
    cells[0].score = 0;
    for (size_t i = 0, len; i < n; i += len) {
        bool covered = false;
        len = utf8_char(s + i, n - i);
        for (size_t k = len; k <= u->longest && i + k <= n;
             k += i + k < n ? utf8_char(s + i + k, n - i - k) : 1) {
            int id = vocab_find(u->vocab, s + i, k);
            if (!usable(u->vocab, id))
                continue;
            offer(&cells[i + k], cells[i].score + (double)u->scores[id], id, i);
            covered = covered || k == len;
        }
        if (!covered)
            offer(&cells[i + len], cells[i].score + (double)u->unk_score, -1, i);
    }
}

/* One character without a token. */
static int spell(const struct unigram *u, const char *s, size_t n, bool again, struct ids *out,
                 struct err *e)
{
    bool spelt = true;
    for (size_t i = 0; i < n; i++)
        spelt = spelt && u->byte_id[(uint8_t)s[i]] >= 0;
    if (!spelt)
        return u->unk < 0 || again ? 0 : ids_add(out, u->unk, e);
    for (size_t i = 0; i < n; i++)
        if (ids_add(out, u->byte_id[(uint8_t)s[i]], e))
            return -1;
    return 0;
}

int unigram_encode(const struct unigram *u, struct unigram_work *w, const char *s, size_t n,
                   struct ids *out, struct err *e)
{
    if (mem_reserve(&w->cells, &w->cap, n + 1, sizeof *w->cells, e))
        return -1;
    struct unigram_cell *c = w->cells;
    fill(u, c, s, n);
    for (size_t i = n; i > 0; i = c[i].from)
        c[c[i].from].next = i;
    bool unknown = false; /* the token before was none: a run of unk is one */
    for (size_t i = 0, end; i < n; i = end) {
        end = c[i].next;
        if (c[end].id < 0 ? spell(u, s + i, end - i, unknown, out, e) : ids_add(out, c[end].id, e))
            return -1;
        unknown = c[end].id < 0;
    }
    return 0;
}
