/* Reader of SentencePiece's .model: a protobuf message with the pieces (field 1: text, score,
 * type), the trainer's settings (2) and the normaliser's (3). Settings that are not there have
 * SentencePiece's defaults.
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_private.h"

/* --- the wire format of protocol buffers --- */

/* A message is a sequence of fields, each a key (number and wire type) and a value. Every length is
 * checked against the message before use. */
struct protobuf {
    const char *data; /* borrowed, n bytes */
    size_t n, at;
};

struct protobuf_field {
    int number;
    int64_t value;     /* of a varint, as two's complement */
    float real;        /* of four bytes */
    const char *bytes; /* of a string or a message, n bytes, borrowed; else NULL */
    size_t n;
};

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 };

/* Seven bits a byte, the lowest first; the top bit marks that more follow. */
static int read_varint(struct protobuf *p, uint64_t *out, struct err *e)
{
    *out = 0;
    for (unsigned shift = 0; p->at < p->n && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)p->data[p->at++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 0;
    }
    return err_set(e, "a number is cut off or too long; the file is damaged");
}

/* n bytes of the value. */
static int take(struct protobuf *p, uint64_t n, const char **bytes, struct err *e)
{
    if (n > p->n - p->at)
        return err_set(e, "a field of %llu bytes goes past the end; the file is damaged",
                       (unsigned long long)n);
    *bytes = p->data + p->at;
    p->at += (size_t)n;
    return 0;
}

/* 1: the next field; 0: end of the message; -1: damaged. */
static int protobuf_next(struct protobuf *p, struct protobuf_field *f, struct err *e)
{
    uint64_t key, v;
    const char *fixed = NULL;
    *f = (struct protobuf_field){0};
    if (p->at == p->n)
        return 0;
    if (read_varint(p, &key, e))
        return -1;
    if (key >> 3 == 0 || key >> 3 > INT32_MAX)
        return err_set(e, "field %llu is no field; the file is damaged",
                       (unsigned long long)(key >> 3));
    f->number = (int)(key >> 3);
    switch (key & 7) {
    case VARINT:
        if (read_varint(p, &v, e))
            return -1;
        f->value = (int64_t)v;
        return 1;
    case BYTES:
        if (read_varint(p, &v, e) || take(p, v, &f->bytes, e))
            return -1;
        f->n = (size_t)v;
        return 1;
    case FOUR_BYTES:
        if (take(p, 4, &fixed, e))
            return -1;
        memcpy(&f->real, fixed, 4);
        return 1;
    case EIGHT_BYTES:
        return take(p, 8, &fixed, e) ? -1 : 1;
    default:
        return err_set(e, "field %d has an unknown type; the file is damaged", f->number);
    }
}

/* --- the model --- */

enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

struct settings {
    int64_t kind, byte_fallback, unk, bos, eos, pad; /* of the trainer */
    int64_t prefix, remove_spaces, escape;           /* of the normaliser */
    size_t charsmap;                                 /* bytes of its table of characters */
    bool trained;                                    /* the trainer's settings are present */
};

static int read_piece(struct tokenizer *t, int id, struct protobuf p, struct err *e)
{
    struct protobuf_field f;
    const char *text = "";
    size_t n = 0;
    int64_t type = TYPE_TEXT;
    int rc;
    while ((rc = protobuf_next(&p, &f, e)) > 0) {
        if (f.number == 1 && f.bytes) {
            text = f.bytes;
            n = f.n;
        } else if (f.number == 2) {
            t->scores[id] = f.real;
        } else if (f.number == 3) {
            type = f.value;
        }
    }
    if (rc || vocab_set(&t->vocab, id, text, n, e))
        return -1;
    if (!isfinite(t->scores[id]))
        return err_set(e, "the score of piece %d is no number", id);
    t->vocab.flags[id] |= tok_flags_of(type);
    if (type == TYPE_USER) /* found in text whose spaces are marked already */
        t->vocab.flags[id] |= TOKEN_NORMAL | TOKEN_AS_IS;
    return 0;
}

/* Fields of a message whose values are numbers. */
static int read_numbers(struct protobuf p, const int *numbers, int64_t *const *out, int n,
                        size_t *charsmap, struct err *e)
{
    struct protobuf_field f;
    int rc;
    while ((rc = protobuf_next(&p, &f, e)) > 0) {
        for (int i = 0; i < n; i++)
            if (f.number == numbers[i] && !f.bytes)
                *out[i] = f.value;
        if (charsmap && f.number == 2)
            *charsmap = f.n;
    }
    return rc;
}

static int read_settings(struct settings *s, struct protobuf p, int *n_pieces, struct err *e)
{
    const int trainer[] = {3, 35, 40, 41, 42, 43}, normalizer[] = {3, 4, 5};
    int64_t *const of_trainer[] = {&s->kind, &s->byte_fallback, &s->unk, &s->bos, &s->eos, &s->pad};
    int64_t *const of_normalizer[] = {&s->prefix, &s->remove_spaces, &s->escape};
    struct protobuf_field f;
    int rc;
    *n_pieces = 0;
    while ((rc = protobuf_next(&p, &f, e)) > 0) {
        struct protobuf inner = {f.bytes, f.n, 0};
        s->trained = s->trained || f.number == TRAINER;
        if (f.number == PIECES && f.bytes && ++*n_pieces == INT_MAX / 4)
            return err_set(e, "it has too many pieces");
        if ((f.number == TRAINER && f.bytes &&
             read_numbers(inner, trainer, of_trainer, 6, NULL, e)) ||
            (f.number == NORMALIZER && f.bytes &&
             read_numbers(inner, normalizer, of_normalizer, 3, &s->charsmap, e)))
            return -1;
    }
    return rc;
}

static int check(const struct settings *s, int n_pieces, struct err *e)
{
    if (!n_pieces)
        return err_set(e, "it holds no pieces; is this a SentencePiece model?");
    if (!s->trained)
        return err_set(e, "it ends before the trainer's settings; the file is damaged");
    if (s->kind != MODEL_UNIGRAM && s->kind != MODEL_BPE)
        return err_set(e, "SentencePiece models of words or characters are not supported");
    if (s->charsmap)
        return err_set(e, "its normaliser maps characters, which is not supported; take the "
                          "checkpoint's tokenizer.json");
    return s->escape ? 0 : err_set(e, "spaces that are not escaped are not supported");
}

/* An id of the file, if it is in the vocabulary. */
static int id_of(int64_t id, int n)
{
    return id >= 0 && id < n ? (int)id : -1;
}

static int read_pieces(struct tokenizer *t, struct protobuf p, int n, struct err *e)
{
    struct protobuf_field f;
    int id = 0, rc;
    if (vocab_init(&t->vocab, n, e) || !(t->scores = mem_alloc((size_t)n, sizeof *t->scores, e)))
        return -1;
    while ((rc = protobuf_next(&p, &f, e)) > 0)
        if (f.number == PIECES && f.bytes &&
            read_piece(t, id++, (struct protobuf){f.bytes, f.n, 0}, e))
            return -1;
    return rc;
}

int tok_read_model(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    struct settings s = {.kind = MODEL_UNIGRAM,
                         .bos = 1,
                         .eos = 2,
                         .pad = -1,
                         .prefix = 1,
                         .remove_spaces = 1,
                         .escape = 1};
    struct protobuf p = {data, n, 0};
    int n_pieces;
    if (read_settings(&s, p, &n_pieces, e) || check(&s, n_pieces, e) ||
        read_pieces(t, p, n_pieces, e))
        return -1;
    t->kind = s.kind == MODEL_BPE ? TOK_CHARS : TOK_UNIGRAM;
    t->unk = id_of(s.unk, n_pieces);
    t->bos = id_of(s.bos, n_pieces);
    t->eos = id_of(s.eos, n_pieces);
    t->pad = id_of(s.pad, n_pieces);
    t->add_bos = t->kind == TOK_CHARS && t->bos >= 0;
    t->source = SOURCE_MODEL;
    if (s.remove_spaces && (normal_add(&t->normal, NORMAL_REPLACE, "\\A +| +\\z", "", true, e) ||
                            normal_add(&t->normal, NORMAL_REPLACE, " +", " ", true, e)))
        return -1;
    return tok_usual_marks(t, s.prefix, e) || tok_use_scores(t, s.byte_fallback, e);
}
