#include "text/tokenizer.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/bytelevel.h"
#include "text/normal.h"
#include "text/tok.h"

/* Scratch of one encode call; kept by the tokenizer for the next one, so that its word cache lasts.
 */
struct work {
    struct work *next;
    struct bpe_work bpe;
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

static bool is_gguf(const char *path)
{
    char magic[4] = {0};
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t n = fread(magic, 1, sizeof magic, f);
    fclose(f);
    return n == sizeof magic && !memcmp(magic, "GGUF", sizeof magic);
}

/* Kinds by their name in a GGUF and in tokenizer.json; only the first is built. A new kind is a row
 * and its own way to encode a stretch and to spell a token's bytes. */
static const struct kind {
    const char *gguf, *json, *name;
} kinds[] = {
    {"gpt2", "BPE", "byte-level BPE"},          {"llama", "SentencePiece", "SentencePiece BPE"},
    {"t5", "Unigram", "SentencePiece unigram"}, {"bert", "WordPiece", "WordPiece"},
    {"rwkv", "WordLevel", "word-level"},
};

int tok_refuse_kind(const char *what, struct err *e)
{
    const char *name = what;
    for (size_t i = 1; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(what, kinds[i].gguf) || !strcmp(what, kinds[i].json))
            name = kinds[i].name;
    return err_set(e, "a %.64s tokenizer is not supported; %s is", name, kinds[0].name);
}

/* What is the same for every reader, once vocabulary, merges and pre-tokeniser are there. */
static int finish(struct tokenizer *t, struct err *e)
{
    if (t->pad < 0)
        t->pad = t->eos;
    const struct {
        const char *name;
        int id;
    } named[] = {{"bos", t->bos}, {"eos", t->eos}, {"pad", t->pad}, {"unk", t->unk}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t n;
        if (named[i].id >= 0 && !vocab_text(&t->vocab, named[i].id, &n))
            return err_set(e, "the %s token id %d is outside the vocabulary of %d", named[i].name,
                           named[i].id, t->vocab.n);
    }
    return added_init(&t->added[0], &t->vocab, false, e) ||
                   added_init(&t->added[1], &t->vocab, true, e)
               ? -1
               : 0;
}

struct tokenizer *tokenizer_open(const char *path, struct err *e)
{
    struct tokenizer *t = mem_alloc(1, sizeof *t, e);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->bos = t->eos = t->pad = t->unk = -1;
    int rc = is_gguf(path) ? tok_read_gguf(t, path, e) : tok_read_json(t, path, e);
    if (!rc && finish(t, e))
        rc = err_prefix(e, "'%s': ", path);
    if (!rc)
        return t;
    tokenizer_close(t);
    return NULL;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    for (struct work *w = t->idle, *next; w; w = next) {
        next = w->next;
        bpe_work_fini(&w->bpe);
        pretok_work_free(w->pretok);
        free(w);
    }
    pthread_mutex_destroy(&t->lock);
    added_fini(&t->added[0]);
    added_fini(&t->added[1]);
    pretok_fini(&t->pretok);
    bpe_fini(&t->bpe);
    vocab_fini(&t->vocab);
    free(t->chat_template);
    free(t->file);
    free(t->dir);
    free(t);
}

int tokenizer_vocab_size(const struct tokenizer *t)
{
    return t->vocab.n;
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
    return t->chat_template;
}

int tokenizer_id(const struct tokenizer *t, const char *token)
{
    return vocab_find(&t->vocab, token, strlen(token));
}

const char *tokenizer_token(const struct tokenizer *t, int id, size_t *n)
{
    return vocab_text(&t->vocab, id, n);
}

bool tokenizer_is_special(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.flags[id] & TOKEN_SPECIAL;
}

struct encoding {
    const struct tokenizer *t;
    struct work *w;
    bool specials;
    struct ids *out;
    const char *text; /* all of it; NULL where s below is a normalised copy */
    const struct span *plain;
    size_t n_plain;
};

static int encode_word(void *ctx, const char *s, size_t n, struct err *e)
{
    struct encoding *c = ctx;
    return bpe_word(&c->t->bpe, &c->w->bpe, s, n, c->out, e);
}

static int encode_cut(struct encoding *c, int pass, const char *s, size_t n, struct err *e);

/* Text between added tokens: `pass` counts the sets of them that were cut out already. */
static int encode_stretch(struct encoding *c, int pass, const char *s, size_t n, struct err *e)
{
    if (!n)
        return 0;
    if (pass == 2)
        return pretok_run(&c->t->pretok, c->w->pretok, s, n, encode_word, c, e);
    if (!c->t->nfc)
        return encode_cut(c, pass, s, n, e);
    struct buf normal = {0};
    struct encoding copy = *c;
    copy.text = NULL;
    int rc = normal_nfc(s, n, &normal, e);
    if (!rc)
        rc = encode_cut(&copy, pass, normal.data, normal.len, e);
    buf_fini(&normal);
    return rc;
}

/* Whether text[from..to) is a user's, at least in part. */
static bool is_plain(const struct encoding *c, size_t from, size_t to)
{
    size_t lo = 0, hi = c->n_plain;
    while (lo < hi) { /* the first span that ends behind `from` */
        size_t mid = lo + (hi - lo) / 2;
        if (c->plain[mid].to > from)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < c->n_plain && c->plain[lo].from < to;
}

/* The next added token in s[from..n) and its place, or -1. */
static int find_added(struct encoding *c, int pass, const char *s, size_t n, size_t from,
                      size_t *at)
{
    const struct added *a = &c->t->added[pass];
    bool specials = c->specials && (c->text || !c->n_plain);
    for (;; from = *at + 1) {
        size_t len, place;
        int id = added_find(a, s, n, from, specials, at);
        if (id < 0 || !c->n_plain || !tokenizer_is_special(c->t, id))
            return id;
        vocab_text(&c->t->vocab, id, &len);
        place = (size_t)(s - c->text) + *at;
        if (!is_plain(c, place, place + len))
            return id;
        id = added_find(a, s, n, *at, false, &place);
        if (id >= 0 && place == *at)
            return id;
    }
}

static int encode_cut(struct encoding *c, int pass, const char *s, size_t n, struct err *e)
{
    for (size_t from = 0, at = n, len = 0; from < n; from = at + len) {
        int id = find_added(c, pass, s, n, from, &at);
        if (id < 0)
            at = n, len = 0;
        else
            vocab_text(&c->t->vocab, id, &len);
        if (encode_stretch(c, pass + 1, s + from, at - from, e) ||
            (id >= 0 && ids_add(c->out, id, e)))
            return -1;
    }
    return 0;
}

int ids_add(struct ids *ids, int id, struct err *e)
{
    if (mem_reserve(&ids->v, &ids->cap, ids->n + 1, sizeof *ids->v, e))
        return -1;
    ids->v[ids->n++] = id;
    return 0;
}

static int encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                  const struct span *plain, size_t n_plain, struct ids *out, struct err *e)
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
    struct encoding c = {t, w, specials, out, text, plain, n_plain};
    int rc = encode_cut(&c, 0, text, n, e);
    if (rc)
        out->n = before;
    work_give(t, w);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                     struct ids *out, struct err *e)
{
    return encode(t, text, n, specials, NULL, 0, out, e);
}

int tokenizer_encode_around(const struct tokenizer *t, const char *text, size_t n,
                            const struct span *plain, size_t n_plain, struct ids *out,
                            struct err *e)
{
    return encode(t, text, n, true, plain, n_plain, out, e);
}

/* The bytes of a token: of its symbols, or of its text if some character is no symbol. */
static int token_bytes(const char *s, size_t n, struct buf *out, struct err *e)
{
    size_t before = out->len;
    for (size_t i = 0, len; i < n; i += len) {
        int byte = bytelevel_byte(s + i, n - i, &len);
        if (byte < 0) {
            out->len = before;
            return buf_add(out, s, n, e);
        }
        char c = (char)byte;
        if (buf_add(out, &c, 1, e))
            return -1;
    }
    return 0;
}

int tokenizer_decode(const struct tokenizer *t, const int *ids, size_t n, bool skip_specials,
                     struct buf *out, struct err *e)
{
    struct buf bytes = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        size_t len;
        const char *s = vocab_text(&t->vocab, ids[i], &len);
        if (!s || (skip_specials && tokenizer_is_special(t, ids[i])))
            continue;
        rc = token_bytes(s, len, &bytes, e);
    }
    if (!rc)
        rc = utf8_clean(out, bytes.data ? bytes.data : "", bytes.len, e);
    buf_fini(&bytes);
    return rc;
}
