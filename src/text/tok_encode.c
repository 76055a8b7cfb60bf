/* Encoding and decoding with the parts that the readers filled in. */
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_private.h"

/* Scratch of one encode call; the tokenizer reuses it for later calls, so that its word cache
 * lasts.
 */
struct work {
    struct work *next;
    struct bpe_work bpe;
    struct unigram_work unigram;
    struct pretok_work *pretok;
};

static struct work *work_take(const struct tokenizer *t, struct err *e)
{
    struct tokenizer *owner = (struct tokenizer *)t; /* the pool alone changes, under its lock */
    pthread_mutex_lock(&owner->lock);
    struct work *w = owner->idle;
    if (w)
        owner->idle = w->next;
    pthread_mutex_unlock(&owner->lock);
    if (w)
        return w;
    w = mem_alloc(1, sizeof *w, e);
    if (w && !(w->pretok = pretok_work_new(e))) {
        free(w);
        return NULL;
    }
    return w;
}

static void work_give(const struct tokenizer *t, struct work *w)
{
    struct tokenizer *owner = (struct tokenizer *)t;
    pthread_mutex_lock(&owner->lock);
    w->next = owner->idle;
    owner->idle = w;
    pthread_mutex_unlock(&owner->lock);
}

void tok_free_work(struct tokenizer *t)
{
    for (struct work *w = t->idle, *next; w; w = next) {
        next = w->next;
        bpe_work_fini(&w->bpe);
        unigram_work_fini(&w->unigram);
        pretok_work_free(w->pretok);
        free(w);
    }
}

struct encoding {
    const struct tokenizer *t;
    struct work *w;
    bool specials;
    struct ids *out;
    const char *text; /* what `plain` counts from: all of it, or a normalised stretch */
    const struct text_span *plain;
    size_t n_plain;
};

/* The first space mark after another character, in s[0..n): where BPE can be split. */
static size_t find_cut(const char *mark, const char *s, size_t n)
{
    size_t len = strlen(mark), i = 0;
    while (n - i >= len && !memcmp(s + i, mark, len))
        i += len;
    const char *next = memmem(s + i, n - i, mark, len);
    return next ? (size_t)(next - s) : n;
}

static int encode_word(void *ctx, const char *s, size_t n, struct err *e)
{
    struct encoding *c = ctx;
    const struct bpe *b = &c->t->bpe;
    if (c->t->kind == TOK_UNIGRAM)
        return unigram_encode(&c->t->unigram, &c->w->unigram, s, n, c->out, e);
    for (size_t len; n; s += len, n -= len) {
        len = b->mark ? find_cut(b->mark, s, n) : n;
        if (bpe_word(b, &c->w->bpe, s, len, c->out, e))
            return -1;
    }
    return 0;
}

static int encode_cut(struct encoding *c, int pass, const char *s, size_t n, bool first,
                      struct err *e);

/* Where the spans are once the stretch s[0..n) of c->text is normalised; owned by the caller. */
static struct text_span *move_spans(const struct encoding *c, const char *s, size_t n,
                                    struct err *e)
{
    struct text_span *to = mem_alloc(c->n_plain, sizeof *to, e);
    struct buf before = {0};
    size_t start = (size_t)(s - c->text);
    for (size_t i = 0; to && i < 2 * c->n_plain; i++) {
        const struct text_span *from = &c->plain[i / 2];
        size_t end = i % 2 ? from->to : from->from;
        end = end < start ? 0 : end - start > n ? n : end - start;
        buf_clear(&before);
        if (normal_run(&c->t->normal, s, end, &before, e)) {
            free(to);
            to = NULL;
        } else {
            *(i % 2 ? &to[i / 2].to : &to[i / 2].from) = before.len;
        }
    }
    buf_fini(&before);
    return to;
}

/* Text between added tokens: `pass` counts the sets of them that were cut out already; `first`: a
 * text starts here. */
static int encode_stretch(struct encoding *c, int pass, const char *s, size_t n, bool first,
                          struct err *e)
{
    if (!n)
        return 0;
    if (pass == 2)
        return pretok_run(&c->t->pretok, c->w->pretok, s, n, first, encode_word, c, e);
    if (!c->t->normal.n)
        return encode_cut(c, pass, s, n, first, e);
    struct buf normal = {0};
    struct encoding copy = *c;
    struct text_span *moved = NULL;
    int rc = normal_run(&c->t->normal, s, n, &normal, e);
    if (!rc && c->n_plain && c->t->added[pass].n && !(moved = move_spans(c, s, n, e)))
        rc = -1;
    copy.text = normal.data;
    copy.plain = moved;
    if (!rc)
        rc = encode_cut(&copy, pass, normal.data, normal.len, first, e);
    free(moved);
    buf_fini(&normal);
    return rc;
}

/* Whether text[from..to) is a user's, at least in part. */
static bool is_plain(const struct encoding *c, size_t from, size_t to)
{
    size_t lo = 0, hi = c->n_plain;
    while (lo < hi) { /* the first span that ends after `from` */
        size_t mid = lo + (hi - lo) / 2;
        if (c->plain[mid].to > from)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < c->n_plain && c->plain[lo].from < to;
}

/* The next added token in s[from..n); in a user's text no special one. */
static bool find_added(const struct encoding *c, int pass, const char *s, size_t n, size_t from,
                       struct added_hit *hit)
{
    const struct added *a = &c->t->added[pass];
    for (; added_find(a, s, n, from, c->specials, hit); from = hit->at + 1) {
        struct added_hit other;
        if (!c->n_plain || !tokenizer_is_special(c->t, hit->id))
            return true;
        size_t place = (size_t)(s - c->text) + hit->at;
        if (!is_plain(c, place, place + hit->n))
            return true;
        if (added_find(a, s, n, hit->at, false, &other) && other.at == hit->at) {
            *hit = other;
            return true;
        }
    }
    return false;
}

static int encode_cut(struct encoding *c, int pass, const char *s, size_t n, bool first,
                      struct err *e)
{
    struct added_hit hit;
    for (size_t from = 0; from < n; from = hit.to) {
        if (!find_added(c, pass, s, n, from, &hit))
            hit = (struct added_hit){.id = -1, .from = n, .to = n};
        if (encode_stretch(c, pass + 1, s + from, hit.from - from, first && !from, e) ||
            (hit.id >= 0 && ids_add(c->out, hit.id, e)))
            return -1;
    }
    return 0;
}

static int check_limit(const struct tokenizer *t, int id, struct err *e)
{
    size_t n;
    if (id < t->limit)
        return 0;
    const char *s = vocab_text(&t->vocab, id, &n);
    return err_set(e, "token %d, '%.*s', has no embedding: the model has %d", id,
                   !s       ? 0
                   : n > 64 ? 64
                            : (int)n,
                   s ? s : "", t->limit);
}

static int encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                  const struct text_span *plain, size_t n_plain, struct ids *out, struct err *e)
{
    size_t bad;
    if (n > INT_MAX / 4)
        return err_set(e, "a text of %zu bytes is too long to encode at once", n);
    if (!utf8_valid(text, n, &bad))
        return err_set(e, "text is no valid UTF-8 at byte %zu (0x%02x)", bad,
                       (unsigned char)text[bad]);
    struct work *w = work_take(t, e);
    if (!w)
        return -1;
    size_t before = out->n;
    struct encoding c = {t, w, specials && !t->split_specials, out, text, plain, n_plain};
    int rc = encode_cut(&c, 0, text, n, true, e);
    for (size_t i = before; i < out->n && !rc && t->limit; i++)
        rc = check_limit(t, out->v[i], e);
    if (rc)
        out->n = before;
    work_give(t, w);
    return rc;
}

int tokenizer_append(const struct tokenizer *t, int id, struct ids *out, struct err *e)
{
    return (t->limit && check_limit(t, id, e)) || ids_add(out, id, e);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                     struct ids *out, struct err *e)
{
    return encode(t, text, n, specials, NULL, 0, out, e);
}

int tokenizer_encode_around(const struct tokenizer *t, const char *text, size_t n,
                            const struct text_span *plain, size_t n_plain, struct ids *out,
                            struct err *e)
{
    return encode(t, text, n, true, plain, n_plain, out, e);
}

int tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, bool skip_specials,
                     struct buf *out, struct err *e)
{
    struct strings parts = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        size_t len;
        const char *s = vocab_text(&t->vocab, ids[i], &len);
        if (s && !(skip_specials && tokenizer_is_special(t, ids[i])))
            rc = strings_add(&parts, s, len, e);
    }
    if (!rc)
        rc = decoder_run(&t->decoder, &parts, e);
    if (!rc)
        rc = utf8_clean(out, parts.text.data ? parts.text.data : "", parts.text.len, e);
    strings_fini(&parts);
    return rc;
}
