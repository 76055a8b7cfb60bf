/* Regular expressions: PCRE2, with its memory from base/mem.h.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stddef.h>
#include <stdint.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/err.h"

/* A context that takes memory from base/mem.h, or NULL. Release with pcre2_general_context_free. */
pcre2_general_context *regex_memory(void);
/* Compiles n bytes of pattern with the PCRE2_* flags; NULL and PCRE2's own words on failure, to
 * which the caller adds what the pattern is for. Release with pcre2_code_free. */
pcre2_code *regex_compile(const char *pattern, size_t n, uint32_t flags, struct err *e);

#endif
