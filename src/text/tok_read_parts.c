/* Reader of the normaliser and decoder of tokenizer.json, and their defaults. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_private.h"

/* "pattern": {"String": text} or {"Regex": text}. */
static int read_pattern(const json_t *j, const char **text, bool *regex, struct err *e)
{
    const json_t *pattern = json_object_get(j, "pattern");
    *text = NULL;
    *regex = json_object_get(pattern, "Regex") != NULL;
    return json_need_str(pattern, *regex ? "Regex" : "String", text, e);
}

static int read_strip(struct tokenizer *t, const json_t *j, struct err *e)
{
    bool left = true, right = true;
    if (json_opt_bool(j, "strip_left", &left, e) || json_opt_bool(j, "strip_right", &right, e))
        return -1;
    return (left && normal_add(&t->normal, NORMAL_LSTRIP, NULL, NULL, false, e)) ||
           (right && normal_add(&t->normal, NORMAL_RSTRIP, NULL, NULL, false, e));
}

static int read_normal_step(struct tokenizer *t, const json_t *j, const char *type, struct err *e)
{
    static const struct {
        const char *type;
        enum normal_kind kind;
    } forms[] = {
        {"NFC", NORMAL_NFC}, {"NFD", NORMAL_NFD}, {"NFKC", NORMAL_NFKC}, {"NFKD", NORMAL_NFKD}};
    const char *from, *to;
    bool regex;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(type, forms[i].type))
            return normal_add(&t->normal, forms[i].kind, NULL, NULL, false, e);
    if (!strcmp(type, "Prepend"))
        return json_need_str(j, "prepend", &to, e) ||
               normal_add(&t->normal, NORMAL_PREPEND, NULL, to, false, e);
    if (!strcmp(type, "Replace"))
        return read_pattern(j, &from, &regex, e) || json_need_str(j, "content", &to, e) ||
               normal_add(&t->normal, NORMAL_REPLACE, from, to, regex, e);
    if (!strcmp(type, "Strip"))
        return read_strip(t, j, e);
    return err_set(e,
                   "normaliser '%.64s' is not supported (Sequence, NFC, NFD, NFKC, NFKD, Prepend, "
                   "Replace and Strip are)",
                   type);
}

int tok_read_normal(struct tokenizer *t, const json_t *j, struct err *e)
{
    const json_t *list = json_object_get(j, "normalizers"), *one;
    const char *type;
    size_t i;
    if (!j || json_is_null(j))
        return 0;
    json_array_foreach(list, i, one) if (tok_read_normal(t, one, e)) return -1;
    if (list)
        return 0;
    return json_need_str(j, "type", &type, e) ? -1 : read_normal_step(t, j, type, e);
}

static int read_decoder_replace(struct decoder_step *s, const json_t *j, struct err *e)
{
    bool regex;
    const char *from, *to;
    if (read_pattern(j, &from, &regex, e) || json_need_str(j, "content", &to, e))
        return -1;
    if (regex || !*from)
        return err_set(e, "a decoder can only replace a text");
    s->from = (char *)from; /* copied by decoder_add */
    s->to = (char *)to;
    return 0;
}

static int read_decoder_strip(struct decoder_step *s, const json_t *j, struct err *e)
{
    int64_t start = 0, stop = 0;
    const char *content;
    if (json_need_str(j, "content", &content, e) ||
        json_opt_int(j, "start", 0, 1 << 20, &start, e) ||
        json_opt_int(j, "stop", 0, 1 << 20, &stop, e))
        return -1;
    if (!*content)
        return err_set(e, "a decoder strips the empty text");
    s->from = (char *)content;
    s->start = (int)start;
    s->stop = (int)stop;
    return 0;
}

static int read_decoder_metaspace(struct decoder_step *s, const json_t *j, struct err *e)
{
    const char *scheme = "always";
    bool prefix = true;
    if (json_opt_str(j, "prepend_scheme", &scheme, e) ||
        json_opt_bool(j, "add_prefix_space", &prefix, e))
        return -1;
    s->start = prefix && strcmp(scheme, "never");
    return 0;
}

static const struct decoder_reader {
    const char *type;
    enum decoder_kind kind;
    int (*read)(struct decoder_step *s, const json_t *j, struct err *e); /* NULL: no options */
} decoder_readers[] = {
    {"ByteLevel", DECODE_BYTE_LEVEL, NULL},
    {"ByteFallback", DECODE_BYTES, NULL},
    {"Replace", DECODE_REPLACE, read_decoder_replace},
    {"Fuse", DECODE_FUSE, NULL},
    {"Strip", DECODE_STRIP, read_decoder_strip},
    {"Metaspace", DECODE_METASPACE, read_decoder_metaspace},
};

int tok_read_decoder(struct tokenizer *t, const json_t *j, struct err *e)
{
    const json_t *list = json_object_get(j, "decoders"), *one;
    const char *type;
    size_t i;
    json_array_foreach(list, i, one) if (tok_read_decoder(t, one, e)) return -1;
    if (list)
        return 0;
    if (json_need_str(j, "type", &type, e))
        return -1;
    for (i = 0; i < sizeof decoder_readers / sizeof *decoder_readers; i++) {
        const struct decoder_reader *r = &decoder_readers[i];
        struct decoder_step s = {.kind = r->kind};
        if (!strcmp(type, r->type))
            return (r->read && r->read(&s, j, e)) || decoder_add(&t->decoder, &s, e);
    }
    return err_set(e,
                   "decoder '%.64s' is not supported (Sequence, ByteLevel, ByteFallback, Replace, "
                   "Fuse, Strip and Metaspace are)",
                   type);
}

uint16_t tok_flags_of(int64_t type)
{
    static const uint16_t flags[] = {
        [TYPE_UNKNOWN] = TOKEN_ADDED | TOKEN_SPECIAL,
        [TYPE_CONTROL] = TOKEN_ADDED | TOKEN_SPECIAL,
        [TYPE_USER] = TOKEN_ADDED,
        [TYPE_UNUSED] = TOKEN_UNUSED,
        [TYPE_BYTE] = TOKEN_BYTE,
    };
    return type > 0 && type < (int64_t)(sizeof flags / sizeof *flags) ? flags[type] : 0;
}

bool tok_marks_front(const struct tokenizer *t)
{
    const struct pretok_step *p = t->pretok.steps;
    return (t->normal.n && t->normal.steps[0].kind == NORMAL_PREPEND) ||
           (t->pretok.n && p->kind == PRETOK_METASPACE && p->prepend != PREPEND_NEVER);
}

int tok_usual_marks(struct tokenizer *t, bool prefix, struct err *e)
{
    return (prefix && normal_add(&t->normal, NORMAL_PREPEND, NULL, PRETOK_MARK, false, e)) ||
           normal_add(&t->normal, NORMAL_REPLACE, " ", PRETOK_MARK, false, e) ||
           tok_usual_decoder(t, prefix, e);
}

int tok_usual_decoder(struct tokenizer *t, bool prefix, struct err *e)
{
    const struct decoder_step bytes = {.kind = DECODE_BYTE_LEVEL},
                              marks[] = {
                                  {.kind = DECODE_REPLACE, .from = PRETOK_MARK, .to = " "},
                                  {.kind = DECODE_BYTES},
                                  {.kind = DECODE_FUSE},
                                  {.kind = DECODE_STRIP, .from = " ", .start = 1},
                              };
    if (t->kind == TOK_BYTES)
        return decoder_add(&t->decoder, &bytes, e);
    for (int i = 0; i < (prefix ? 4 : 3); i++)
        if (decoder_add(&t->decoder, &marks[i], e))
            return -1;
    return 0;
}

int tok_use_scores(struct tokenizer *t, bool fallback, struct err *e)
{
    if (t->kind == TOK_UNIGRAM) {
        unigram_init(&t->unigram, &t->vocab, t->scores, t->unk, fallback);
        return 0;
    }
    bpe_init_chars(&t->bpe, &t->vocab, fallback);
    t->bpe.unk = t->unk;
    t->bpe.fuse_unk = true;
    return bpe_derive(&t->bpe, t->scores, e) || bpe_finish(&t->bpe, e);
}

int tok_score_merges(struct tokenizer *t, struct err *e)
{
    if (!(t->scores = mem_alloc((size_t)t->vocab.n, sizeof *t->scores, e)))
        return -1;
    for (size_t i = 0, made = 0; i < t->bpe.n; i++) {
        float *score = &t->scores[t->bpe.merges[i].id];
        if (*score == 0)
            *score = -(float)++made;
    }
    return 0;
}
