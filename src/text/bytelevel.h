/* GPT-2's alphabet for bytes: every byte has a printable character, so that vocabularies of byte
 * strings can be stored as text. Bytes printable in Latin-1 map to themselves; the other 68
 * map to U+0100 upwards in order (a space is U+0120). Each symbol is one or two bytes of UTF-8.
 */
#ifndef TEXT_BYTELEVEL_H
#define TEXT_BYTELEVEL_H

#include <stddef.h>
#include <stdint.h>

/* Writes the UTF-8 of the byte's symbol; returns its length, 1 or 2. */
size_t bytelevel_symbol(uint8_t byte, char out[2]);
/* The byte of the symbol at s[0..n) and in *len the symbol's length; -1 if it is none. */
int bytelevel_byte(const char *s, size_t n, size_t *len);

#endif
