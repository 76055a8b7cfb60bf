/* Regular expressions: PCRE2, with its memory from base/mem.h.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/err.h"

/* A context that takes memory from base/mem.h, or NULL. Release with pcre2_general_context_free. */
pcre2_general_context *regex_memory(void);
/* Compiles n bytes of pattern with the PCRE2_* flags; NULL and PCRE2's message on failure, to
 * which the caller adds the pattern's purpose. Release with pcre2_code_free. */
pcre2_code *regex_compile(const char *pattern, size_t n, uint32_t flags, struct err *e);

/* A compiled pattern to match names. */
struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
};

/* pattern_fini accepts zeroed or failed ones. */
int pattern_init(struct pattern *p, const char *text, uint32_t flags, struct err *e);
/* The flags for a pattern that has to match all of a name. */
#define PATTERN_WHOLE (PCRE2_ANCHORED | PCRE2_ENDANCHORED)
/* *yes: whether the first n bytes of `name` match. A search of more than a million steps fails. */
int pattern_matches(const struct pattern *p, const char *name, size_t n, bool *yes, struct err *e);
void pattern_fini(struct pattern *p);

#endif
