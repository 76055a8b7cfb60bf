/* The tokens of a vocabulary: id to text and back. Ids may have holes; texts are UTF-8 and unique.
 */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum token_flags {
    TOKEN_USED = 1,     /* the id has a text */
    TOKEN_ADDED = 2,    /* split off from the text first */
    TOKEN_SPECIAL = 4,  /* ... only on request; skipped in decoded text likewise */
    TOKEN_NORMAL = 8,   /* ... only after the text was normalised */
    TOKEN_LSTRIP = 16,  /* ... with the white space before it */
    TOKEN_RSTRIP = 32,  /* ... with the white space after it */
    TOKEN_WORD = 64,    /* ... only where no letter or digit touches it */
    TOKEN_BYTE = 128,   /* a byte of a character without a token */
    TOKEN_UNUSED = 256, /* has a text, but is never produced by encoding */
    TOKEN_EXTRA = 512,  /* not one of the model's tokens: text is only split at it */
    TOKEN_AS_IS = 1024, /* with TOKEN_NORMAL: its own text is normalised already */
};

struct vocab {
    int n, cap;      /* ids are in [0, n); the arrays have room for cap */
    size_t *at;      /* [n] owned: offset of the text in the pool */
    uint32_t *len;   /* [n] owned: its length in bytes */
    uint16_t *flags; /* [n] owned: token_flags */
    struct buf pool;
    int *slots; /* [n_slots] owned hash table of ids, -1: free */
    size_t n_slots;
};

int vocab_init(struct vocab *v, int n, struct err *e);
void vocab_fini(struct vocab *v);
/* Ids become [0, n), the new ones without a text. */
int vocab_grow(struct vocab *v, int n, struct err *e);
/* Gives the id its text. Refuses an id outside [0, n) or used before, a text that is empty, seen
 * before or no UTF-8. */
int vocab_set(struct vocab *v, int id, const char *s, size_t n, struct err *e);
/* -1: no such token. */
int vocab_find(const struct vocab *v, const char *s, size_t n);
/* The same among the model's own tokens: not those with TOKEN_EXTRA. */
int vocab_find_own(const struct vocab *v, const char *s, size_t n);
/* The id if it has a text, else -1. */
int vocab_id(const struct vocab *v, int64_t id);
/* Borrowed until the next vocab_set; NULL for a hole or an id outside. */
const char *vocab_text(const struct vocab *v, int id, size_t *n);

/* GPT-2's alphabet for bytes: every byte has a printable character, so that vocabularies of byte
 * strings can be stored as text. Bytes printable in Latin-1 map to themselves; the other 68
 * map to U+0100 upwards in order (a space is U+0120). Each symbol is one or two bytes of UTF-8. */

/* Writes the UTF-8 of the byte's symbol; returns its length, 1 or 2. */
size_t bytelevel_symbol(uint8_t byte, char out[2]);
/* The byte of the symbol at s[0..n) and in *len the symbol's length; -1 if it is none. */
int bytelevel_byte(const char *s, size_t n, size_t *len);

#endif
