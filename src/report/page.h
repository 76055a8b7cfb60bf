/* The report as a page: one HTML file without scripts that needs nothing else. page.c has its frame
 * and order, page_tables.c, page_charts.c and page_rows.c the sections.
 */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "report/html.h"
#include "report/report.h"

/* `examples`: rows of a model that are shown before and after, at most. */
int page_write(const struct report *r, int examples, struct buf *out, struct err *e);

/* --- between the files of the page --- */

struct page {
    struct html h;
    const struct report *r;
    int examples;
};

/* Sections, and whether there is anything to show in them. */
struct page_section {
    const char *id, *title, *lead;
    bool (*has)(const struct report *r);
    void (*write)(struct page *p);
};

extern const struct page_section page_tables[], page_charts[], page_rows[], page_sources[];

/* The colour of a model: measures have their own, the others one each. */
int page_colour(const struct report *r, int model);
bool page_is_measure(const struct report *r, int model);
/* "target", "retrained model" or "". */
const char *page_role(const struct report *r, int model);
/* Opens and closes a table that scrolls in a box of its own; the caption is read, not shown. */
void page_open_table(struct html *h, const char *caption);
void page_close_table(struct html *h);
/* What attacks have a file of, of any model. */
bool page_has_attacks(const struct report *r);

#endif
