/* The split patterns of most checkpoints, and hand-written scanners for them. A scanner handles
 * ASCII only and returns 0 at any other character; the regular expression is used then.
 */
#ifndef TEXT_SCAN_H
#define TEXT_SCAN_H

#include <stddef.h>

/* GPT-2's pattern, as ByteLevel(use_regex) applies it. */
#define PATTERN_GPT2                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define PATTERN_DIGIT "\\p{N}"
/* The pattern of Llama 3, Qwen 2 and others, which differ in how digits are split. */
#define PATTERN_WORDS(digits)                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Bytes of the word that the pattern matches at the start of s[0..n), n > 0; 0: use the regular
 * expression. */
typedef size_t scan_word(const char *s, size_t n);

/* The scanner of this pattern, or NULL. */
scan_word *scan_find(const char *pattern);

#endif
