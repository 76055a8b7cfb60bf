/* Writing HTML and SVG into a buffer. An error stops all further writing: `failed` is checked once,
 * at the end.
 */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"

struct html {
    struct buf *out;
    struct err *e;
    bool failed;
};

/* Appends fmt, in which
 *   %s  is text as it is: markup
 *   %t  is text, escaped; NULL is "-"
 *   %j  is a json_t *: a string as %t, numbers and booleans as JSON writes them, null "-"
 *   %w  is %t with places where a line may break after _ / - . and ,
 *   %d  is an int
 *   %p  is a double in user units of an SVG, to a tenth
 *   %v  is a double as tables show it (report/table.h)
 *   %x  is a double with all its digits
 * Escaped text may hold any bytes: ill-formed UTF-8 and control characters, which HTML has not,
 * become U+FFFD. */
void html_put(struct html *h, const char *fmt, ...);
/* A number as tables show it, its exact value in the element's attribute; "-" for NaN. */
void html_number(struct html *h, double x);

/* page.css, compiled in (Makefile). */
extern const char page_css[];

#endif
