/* Templates filled with the fields of a row: "Q: {question}\nA:".
 *
 * {path} is the text at a path of keys ("choices.text"), {subject} the subject given with the row.
 * Filters: {path|strip} and {path|capitalize} are Python's methods of that name; {path|before_gap}
 * and {path|after_gap} are the texts before and after the first '_', the latter stripped.
 */
#ifndef EVAL_TEMPLATE_H
#define EVAL_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct template_source {
    const json_t *row;
    const char *subject; /* NULL: {subject} is an ordinary field */
};

/* Fails if braces or filters of a template are wrong; NULL is valid. */
int template_check(const char *form, struct err *e);

/* The value at the path, borrowed; NULL if there is none. */
const json_t *template_field(const json_t *row, const char *path);
/* Appends the filled template, which must have been checked; an error names the field that is
 * missing or no text. */
int template_fill(struct buf *out, const char *form, const struct template_source *s,
                  struct err *e);
/* Appends s[0..n) without the spaces around it. */
int template_strip(struct buf *out, const char *s, size_t n, struct err *e);
/* Removes WikiHow's marks from a text of HellaSwag. */
int template_tidy_wikihow(struct buf *text, struct err *e);

#endif
