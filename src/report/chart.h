/* Charts: a figure with its caption, an SVG, and its data as a table. Colours are classes c0, c1
 * ... of the page's style, which also holds for dark screens and print; series differ in shape or
 * dash as well.
 */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include "report/html.h"

enum chart_kind {
    CHART_LINES,     /* y over x, one x for all series */
    CHART_POINTS,    /* named points, one a series, and a front: a stepped line */
    CHART_HISTOGRAM, /* y[i] of the bin x[i] .. x[i + 1] */
    CHART_BARS       /* y[i] of category i with its interval low[i] .. high[i] */
};

enum chart_colour { CHART_TARGET, CHART_RETRAINED, CHART_MODEL, CHART_COLOURS = 10 };

/* All borrowed; NaN: missing. */
struct chart_series {
    const char *name;
    int colour; /* of enum chart_colour; further models have higher numbers */
    int n;
    const double *x, *y, *low, *high; /* those that the kind has; histogram: x[n + 1] */
    bool dashed;
    bool front, quiet; /* of points: n of them, joined by steps; without its name next to it */
};

struct chart {
    enum chart_kind kind;
    const char *title, *about; /* about: what it shows, for screen readers and in the caption */
    const char *x_name, *y_name;
    const struct chart_series *v;
    int n;
    const char *const *categories; /* of bars: names of all y[i] */
    double mark;                   /* x of a vertical line; NaN: none */
    const char *mark_name;
};

void chart_write(struct html *h, const struct chart *c);
/* The colour of model i of those that are neither measure. */
int chart_model_colour(int i);

#endif
