#include "text/decoder.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/vocab.h"
#include "text/normal.h"
#include "text/pretok.h"

void decoder_fini(struct decoder *d)
{
    for (int i = 0; i < d->n; i++) {
        free(d->steps[i].from);
        free(d->steps[i].to);
    }
    d->n = 0;
}

int decoder_add(struct decoder *d, const struct decoder_step *step, struct err *e)
{
    if (d->n == DECODER_MAX_STEPS)
        return err_set(e, "the decoder has more than %d steps", DECODER_MAX_STEPS);
    struct decoder_step *s = &d->steps[d->n++];
    *s = *step;
    s->from = s->to = NULL;
    return (step->from && !(s->from = mem_strdup(step->from, e))) ||
           (step->to && !(s->to = mem_strdup(step->to, e)));
}

int strings_add(struct strings *s, const char *text, size_t n, struct err *e)
{
    if (mem_reserve(&s->end, &s->cap, s->n + 1, sizeof *s->end, e) || buf_add(&s->text, text, n, e))
        return -1;
    s->end[s->n++] = s->text.len;
    return 0;
}

void strings_fini(struct strings *s)
{
    buf_fini(&s->text);
    free(s->end);
    *s = (struct strings){0};
}

static const char *string_at(const struct strings *s, size_t i, size_t *n)
{
    size_t from = i ? s->end[i - 1] : 0;
    *n = s->end[i] - from;
    return s->text.data + from;
}

static int fuse(struct strings *s, struct err *e)
{
    if (!s->n)
        return strings_add(s, "", 0, e);
    s->end[0] = s->text.len;
    s->n = 1;
    return 0;
}

/* The bytes of a token: of its symbols, or of its text if some character is no symbol. */
static int add_symbols(const char *s, size_t n, struct buf *out, struct err *e)
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

static int byte_level(const struct decoder_step *step, const struct strings *in,
                      struct strings *out, struct err *e)
{
    (void)step;
    for (size_t i = 0; i < in->n; i++) {
        size_t n;
        const char *s = string_at(in, i, &n);
        if (add_symbols(s, n, &out->text, e))
            return -1;
    }
    return strings_add(out, "", 0, e);
}

/* -1: no byte's token. */
static int byte_of(const char *s, size_t n)
{
    static const char hex[] = "0123456789ABCDEFabcdef";
    int v = 0;
    if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char *digit = s[i] ? strchr(hex, s[i]) : NULL;
        if (!digit)
            return -1;
        v = 16 * v + (int)(digit - hex) - (digit - hex > 15 ? 6 : 0);
    }
    return v;
}

/* A run of bytes is text only if all of it is; else every byte is U+FFFD, as in HF's decoder. */
static int end_run(struct strings *out, const struct buf *run, struct err *e)
{
    if (utf8_valid(run->data ? run->data : "", run->len, NULL))
        return run->len ? strings_add(out, run->data, run->len, e) : 0;
    for (size_t i = 0; i < run->len; i++)
        if (strings_add(out, "\xef\xbf\xbd", 3, e))
            return -1;
    return 0;
}

static int byte_tokens(const struct decoder_step *step, const struct strings *in,
                       struct strings *out, struct err *e)
{
    (void)step;
    struct buf run = {0};
    int rc = 0;
    for (size_t i = 0; i < in->n && !rc; i++) {
        size_t n;
        const char *s = string_at(in, i, &n);
        int byte = byte_of(s, n);
        if (byte >= 0) {
            rc = buf_add(&run, &(char){(char)byte}, 1, e);
            continue;
        }
        rc = end_run(out, &run, e) || strings_add(out, s, n, e);
        buf_clear(&run);
    }
    if (!rc)
        rc = end_run(out, &run, e);
    buf_fini(&run);
    return rc;
}

/* One string, with every `from` in it made `to`. */
static int add_replaced(struct strings *out, const char *s, size_t n, const char *from,
                        const char *to, struct err *e)
{
    const char *end = s + n, *hit;
    for (; (hit = memmem(s, (size_t)(end - s), from, strlen(from))); s = hit + strlen(from)) {
        if (out->text.len + (size_t)(hit - s) + strlen(to) > out->most)
            return err_set(e,
                           "decoder Replace of '%.32s' makes a text longer than %zu bytes; 64 for "
                           "each byte of the tokens and 4096 more are accepted",
                           from, out->most);
        if (buf_add(&out->text, s, (size_t)(hit - s), e) || buf_str(&out->text, to, e))
            return -1;
    }
    return strings_add(out, s, (size_t)(end - s), e);
}

static int replace(const struct decoder_step *step, const struct strings *in, struct strings *out,
                   struct err *e)
{
    int rc = 0;
    for (size_t i = 0, n; i < in->n && !rc; i++) {
        const char *s = string_at(in, i, &n);
        rc = add_replaced(out, s, n, step->from, step->to, e);
    }
    return rc;
}

static int strip(const struct decoder_step *step, const struct strings *in, struct strings *out,
                 struct err *e)
{
    size_t len = strlen(step->from);
    for (size_t i = 0; i < in->n; i++) {
        size_t n;
        const char *s = string_at(in, i, &n);
        for (int k = 0; k < step->start && n >= len && !memcmp(s, step->from, len); k++) {
            s += len;
            n -= len;
        }
        for (int k = 0; k < step->stop && n >= len && !memcmp(s + n - len, step->from, len); k++)
            n -= len;
        if (strings_add(out, s, n, e))
            return -1;
    }
    return 0;
}

static int metaspace(const struct decoder_step *step, const struct strings *in, struct strings *out,
                     struct err *e)
{
    int rc = 0;
    for (size_t i = 0, n; i < in->n && !rc; i++) {
        const char *s = string_at(in, i, &n);
        rc = add_replaced(out, s, n, PRETOK_MARK, i == 0 && step->start ? "" : " ", e);
    }
    return rc;
}

int decoder_run(const struct decoder *d, struct strings *s, struct err *e)
{
    static int (*const steps[])(const struct decoder_step *step, const struct strings *in,
                                struct strings *out, struct err *e) = {
        [DECODE_BYTE_LEVEL] = byte_level, [DECODE_BYTES] = byte_tokens,
        [DECODE_REPLACE] = replace,       [DECODE_FUSE] = NULL,
        [DECODE_STRIP] = strip,           [DECODE_METASPACE] = metaspace,
    };
    const size_t most = normal_most(s->text.len);
    int rc = 0;
    for (int i = 0; i < d->n && !rc; i++) {
        const struct decoder_step *step = &d->steps[i];
        struct strings out = {.most = most};
        if (step->kind == DECODE_FUSE) {
            rc = fuse(s, e);
        } else if (!(rc = steps[step->kind](step, s, &out, e))) {
            strings_fini(s);
            *s = out;
        } else {
            strings_fini(&out);
        }
    }
    return rc;
}
