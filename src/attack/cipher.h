/* Spellings of a text that a model can undo: what a filter of the plain question does not see.
 * Characters are code points of valid UTF-8; what a cipher has no rule for stays.
 *
 *     leet       a4 e3 i1 o0 s5 t7, either case
 *     caesar3    letters moved by 3 in the alphabet, case kept
 *     base64     of the UTF-8 bytes
 *     reversed   the letters of each word, words at single spaces
 *     spaced     a space between all characters of a word, three between words
 *     noise_N    a mark, ~ _ . in turn, after every N-th character
 */
#ifndef ATTACK_CIPHER_H
#define ATTACK_CIPHER_H

#include "base/buf.h"
#include "base/err.h"

/* The way back, as an instruction to a model. */
const char *cipher_rule(const char *name);
/* Appends the text in that cipher; an unknown name fails and lists the known ones. */
int cipher_apply(const char *name, const char *text, struct buf *out, struct err *e);

#endif
