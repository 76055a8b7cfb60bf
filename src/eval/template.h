/* Texts made from the fields of a row: "Q: {question}\nA:".
 *
 * {path} stands for the text at a path of keys ("choices.text"), {subject} for the subject that is
 * given beside the row. Filters: {path|strip} and {path|capitalize} do what Python's methods of
 * that name do; {path|before_gap} and {path|after_gap} give what stands around the first '_', the
 * latter stripped.
 */
#ifndef EVAL_TEMPLATE_H
#define EVAL_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct template_source {
    const json_t *row;
    const char *subject; /* NULL: {subject} is a field like others */
};

/* Whether all braces and filters of a template are right; NULL is. */
int template_check(const char *form, struct err *e);

/* What is at the path, borrowed; NULL if nothing is. */
const json_t *template_field(const json_t *row, const char *path);
/* Appends the filled template, which must have been checked; an error names the field that is
 * missing or no text. */
int template_fill(struct buf *out, const char *form, const struct template_source *s,
                  struct err *e);
/* Appends s[0..n) without the spaces around it. */
int template_strip(struct buf *out, const char *s, size_t n, struct err *e);
/* Takes WikiHow's marks out of a text of HellaSwag. */
int template_tidy_wikihow(struct buf *text, struct err *e);

#endif
