/* Decoders: from the texts of tokens to text. Each step maps a list of strings (at first the
 * tokens) to another list; at the end they are joined. The output of a step for n bytes has at most
 * normal_most(n) bytes (normal.h).
 */
#ifndef TEXT_DECODER_H
#define TEXT_DECODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define DECODER_MAX_STEPS 8

enum decoder_kind {
    DECODE_BYTE_LEVEL, /* symbols (vocab.h) become bytes, all strings one */
    DECODE_BYTES,      /* runs of <0x00>..<0xFF> become the characters they spell */
    DECODE_REPLACE,    /* `from` becomes `to` */
    DECODE_FUSE,       /* all strings become one */
    DECODE_STRIP,      /* removes up to `start` leading and `stop` trailing `from` of each */
    DECODE_METASPACE,  /* U+2581 becomes a space; in the first string nothing if `start` */
};

struct decoder_step {
    enum decoder_kind kind;
    char *from, *to; /* owned, or NULL */
    int start, stop;
};

struct decoder {
    struct decoder_step steps[DECODER_MAX_STEPS];
    int n;
};

void decoder_fini(struct decoder *d);
/* Copies from and to. */
int decoder_add(struct decoder *d, const struct decoder_step *step, struct err *e);

/* A list of strings in one buffer. */
struct strings {
    struct buf text;
    size_t *end; /* [n] owned: where each ends */
    size_t n, cap;
    size_t most; /* limit of bytes that replacements produce; used by decoder_run */
};

int strings_add(struct strings *s, const char *text, size_t n, struct err *e);
void strings_fini(struct strings *s);

/* In: the tokens' strings; out: strings whose concatenation is the text. */
int decoder_run(const struct decoder *d, struct strings *s, struct err *e);

#endif
