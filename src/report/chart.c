#include "report/chart.h"

#include <math.h>
#include <string.h>

/* User units of the drawing, which is scaled to the width that there is. */
enum {
    WIDTH = 520,
    HEIGHT = 300,
    LEFT = 52,
    RIGHT = 14,
    TOP = 26,
    BOTTOM = 44,
    BARS_TOP = 4,
    TICKS = 5
};

struct axis {
    double low, high, step; /* of the data; step between ticks */
    double from, to;        /* of the drawing */
};

static double place(const struct axis *a, double v)
{
    return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

static void widen(double x, double *low, double *high)
{
    if (!isfinite(x))
        return;
    *low = isnan(*low) || x < *low ? x : *low;
    *high = isnan(*high) || x > *high ? x : *high;
}

/* 1, 2 or 5 times a power of ten: about `ticks` of them fill the span. */
static double nice_step(double span, int ticks)
{
    const double raw = span / ticks, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

/* The axis from tick to tick; of no data, or of one value, a span is chosen. */
static struct axis axis_of(double low, double high, double from, double to, int ticks)
{
    struct axis a = {.from = from, .to = to};
    if (isnan(low))
        low = 0, high = 1;
    if (high - low < 1e-12 * fmax(fabs(low), fabs(high)) || high == low) {
        const double half = low == 0 ? 0.5 : fabs(low) / 2;
        low -= half;
        high += half;
    }
    a.step = nice_step(high - low, ticks);
    a.low = a.step * floor(low / a.step + 1e-9);
    a.high = a.step * ceil(high / a.step - 1e-9);
    return a;
}

static double tick_at(const struct axis *a, int i)
{
    const double v = a->low + i * a->step;
    return fabs(v) < a->step / 1e6 ? 0 : v;
}

static int ticks_of(const struct axis *a)
{
    return (int)lround((a->high - a->low) / a->step) + 1;
}

/* A tick's number: short, as all of an axis have the same step. */
static void put_tick(struct html *h, const struct axis *a, double v)
{
    char text[32];
    const int decimals = (int)fmax(0, -floor(log10(a->step) + 1e-9));
    if (decimals > 4 || fabs(v) >= 1e5)
        snprintf(text, sizeof text, "%.3g", v);
    else
        snprintf(text, sizeof text, "%.*f", decimals, v);
    html_put(h, "%s", text);
}

static void put_axes(struct html *h, const struct chart *c, const struct axis *x,
                     const struct axis *y)
{
    html_put(h, "<g class=axis>");
    for (int i = 0; i < ticks_of(y) && c->kind != CHART_BARS; i++) {
        const double at = place(y, tick_at(y, i));
        html_put(h, "<path class=grid d=\"M%p %pH%p\"/><text x=\"%p\" y=\"%p\" class=end>", x->from,
                 at, x->to, x->from - 8, at + 4);
        put_tick(h, y, tick_at(y, i));
        html_put(h, "</text>");
    }
    for (int i = 0; i < ticks_of(x); i++) {
        const double at = place(x, tick_at(x, i)), foot = fmax(y->from, y->to);
        html_put(h, "<path class=%s d=\"M%p %pV%p\"/><text x=\"%p\" y=\"%p\" class=mid>",
                 c->kind == CHART_POINTS || c->kind == CHART_BARS ? "grid" : "tick", at,
                 c->kind == CHART_POINTS || c->kind == CHART_BARS ? fmin(y->from, y->to) : foot,
                 foot + 4, at, foot + 18);
        put_tick(h, x, tick_at(x, i));
        html_put(h, "</text>");
    }
    if (c->kind != CHART_BARS)
        html_put(h, "<path class=base d=\"M%p %pH%p\"/>", x->from, fmax(y->from, y->to), x->to);
    html_put(h, "<text class=\"mid name\" x=\"%p\" y=\"%p\">%t</text>", (x->from + x->to) / 2,
             fmax(y->from, y->to) + 36, c->x_name);
    if (c->y_name)
        html_put(h, "<text class=\"start name\" x=\"0\" y=\"11\">%t</text>", c->y_name);
    html_put(h, "</g>");
}

/* A mark at (x, y): circle, square, diamond, triangle, by the colour's number. */
static void put_mark(struct html *h, int colour, double x, double y)
{
    static const char *const shapes[] = {"m-5 -5h10v10h-10z", "m0 -6.5l6.5 6.5l-6.5 6.5l-6.5 -6.5z",
                                         "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
                                         "m0 -6l6 10.5h-12z", "m0 6l6 -10.5h-12z"};
    html_put(h, "<path class=\"mark c%d\" d=\"M%p %p%s\"/>", colour, x, y,
             shapes[colour % (int)(sizeof shapes / sizeof *shapes)]);
}

static void put_lines(struct html *h, const struct chart_series *s, const struct axis *x,
                      const struct axis *y)
{
    bool pen = false;
    html_put(h, "<path class=\"line c%d%s\" d=\"", s->colour, s->dashed ? " dashed" : "");
    for (int i = 0; i < s->n; i++) {
        if (isfinite(s->y[i]) && isfinite(s->x[i]))
            html_put(h, "%s%p %p", pen ? "L" : "M", place(x, s->x[i]), place(y, s->y[i]));
        pen = isfinite(s->y[i]);
    }
    html_put(h, "\"><title>%t</title></path>", s->name);
    for (int i = 0; i < s->n && s->n <= 30; i++)
        if (isfinite(s->y[i]) && isfinite(s->x[i]))
            html_put(h, "<circle class=\"dot c%d\" r=\"2.5\" cx=\"%p\" cy=\"%p\"/>", s->colour,
                     place(x, s->x[i]), place(y, s->y[i]));
}

static void put_front(struct html *h, const struct chart_series *s, const struct axis *x,
                      const struct axis *y)
{
    html_put(h, "<path class=front d=\"");
    for (int i = 0; i < s->n; i++)
        html_put(h, i ? "H%pV%p" : "M%p %p", place(x, s->x[i]), place(y, s->y[i]));
    html_put(h, "\"><title>%t</title></path>", s->name);
}

enum { LABELS_MOST = 96, LABEL_HEIGHT = 13, LETTER = 7 };

/* Boxes that a name must not cover: points and earlier names. */
struct labels {
    struct {
        double left, right, y;
    } v[LABELS_MOST];
    int n;
};

static void take(struct labels *l, double left, double right, double y)
{
    if (l->n < LABELS_MOST) {
        l->v[l->n].left = left;
        l->v[l->n].right = right;
        l->v[l->n++].y = y;
    }
}

/* The height at which a name covers nothing: its own, or the next free one above or below. */
static double free_height(struct labels *l, double left, double right, double y)
{
    double at = y;
    for (int try = 0; try < 24; try++) {
        bool covers = false;
        at = y + LABEL_HEIGHT * (try % 2 ? -(try + 1) / 2 : try / 2);
        for (int i = 0; i < l->n; i++)
            covers = covers || (l->v[i].left < right && l->v[i].right > left &&
                                fabs(l->v[i].y - at) < LABEL_HEIGHT);
        if (!covers)
            break;
    }
    take(l, left, right, at);
    return at;
}

/* In the right half a name stands on the left of its point. */
static void put_name(struct html *h, const struct chart_series *s, struct labels *l,
                     const struct axis *x, const struct axis *y)
{
    const double px = place(x, *s->x), py = place(y, *s->y);
    const double width = LETTER * buf_columns(s->name, strlen(s->name));
    const bool left = px > (x->from + x->to) / 2;
    const double from = left ? px - 10 - width : px + 10;
    html_put(h, "<text class=\"label %s\" x=\"%p\" y=\"%p\">%t</text>", left ? "end" : "start",
             px + (left ? -10 : 10), free_height(l, from, from + width, py + 4), s->name);
}

static void put_points(struct html *h, const struct chart *c, const struct axis *x,
                       const struct axis *y)
{
    struct labels labels = {.n = 0};
    for (int s = 0; s < c->n; s++) {
        const struct chart_series *v = &c->v[s];
        if (v->front) {
            put_front(h, v, x, y);
            continue;
        }
        const double px = place(x, *v->x), py = place(y, *v->y);
        html_put(h, "<g><title>%t: %v, %v</title>", v->name, *v->x, *v->y);
        put_mark(h, v->colour, px, py);
        html_put(h, "</g>");
        take(&labels, px - 5, px + 5, py + 4);
    }
    for (int s = 0; s < c->n; s++)
        if (!c->v[s].front && !c->v[s].quiet)
            put_name(h, &c->v[s], &labels, x, y);
}

static void put_histogram(struct html *h, const struct chart_series *s, const struct axis *x,
                          const struct axis *y)
{
    const double foot = place(y, 0);
    html_put(h, "<path class=\"area c%d%s\" d=\"M%p %p", s->colour, s->dashed ? " dashed" : "",
             place(x, s->x[0]), foot);
    for (int i = 0; i < s->n; i++)
        html_put(h, "V%pH%p", place(y, s->y[i]), place(x, s->x[i + 1]));
    html_put(h, "V%pz\"><title>%t</title></path>", foot, s->name);
}

/* Row i of n within category k: a bar from 0 and its interval. */
static void put_bars(struct html *h, const struct chart *c, const struct axis *x, double top)
{
    const double row = 11, band = row * c->n + 22;
    const double zero = place(x, fmin(fmax(0, x->low), x->high));
    for (int k = 0; k < c->v->n; k++) {
        const double y = top + k * band;
        html_put(h, "<text class=\"category start\" x=\"%p\" y=\"%p\">%t</text>", x->from, y + 11,
                 c->categories[k]);
        for (int i = 0; i < c->n; i++) {
            const struct chart_series *s = &c->v[i];
            const double at = y + 16 + i * row;
            if (!isfinite(s->y[k]))
                continue;
            const double end = place(x, s->y[k]);
            html_put(h,
                     "<g><title>%t: %v</title><rect class=\"bar c%d\" x=\"%p\" y=\"%p\" "
                     "width=\"%p\" height=\"8\" rx=\"1.5\"/>",
                     s->name, s->y[k], s->colour, fmin(zero, end), at, fmax(fabs(end - zero), 0.8));
            if (s->low && isfinite(s->low[k]) && isfinite(s->high[k]))
                html_put(h, "<path class=whisker d=\"M%p %pH%p\"/>", place(x, s->low[k]), at + 4,
                         place(x, s->high[k]));
            html_put(h, "</g>");
        }
    }
}

static void find_ranges(const struct chart *c, double *x, double *y)
{
    const bool bars = c->kind == CHART_BARS;
    for (int s = 0; s < c->n; s++) {
        const struct chart_series *v = &c->v[s];
        for (int i = 0; i < v->n; i++) {
            double *value = bars ? x : y;
            widen(v->y[i], &value[0], &value[1]);
            if (v->low)
                widen(v->low[i], &value[0], &value[1]);
            if (v->high)
                widen(v->high[i], &value[0], &value[1]);
        }
        for (int i = 0; v->x && i < v->n + (c->kind == CHART_HISTOGRAM); i++)
            widen(v->x[i], &x[0], &x[1]);
    }
    if (bars)
        widen(0, &x[0], &x[1]);
    if (c->kind == CHART_HISTOGRAM)
        widen(0, &y[0], &y[1]);
}

static void put_drawing(struct html *h, const struct chart *c)
{
    const bool bars = c->kind == CHART_BARS;
    const double height =
        bars && c->n ? c->v->n * (11.0 * c->n + 22) + BARS_TOP + BOTTOM : (double)HEIGHT;
    double rx[] = {NAN, NAN}, ry[] = {NAN, NAN};
    find_ranges(c, rx, ry);
    const struct axis x = axis_of(rx[0], rx[1], bars ? 8 : LEFT, WIDTH - RIGHT, TICKS + 1),
                      y = axis_of(ry[0], ry[1], height - BOTTOM, bars ? BARS_TOP : TOP, TICKS);
    html_put(h,
             "<svg viewBox=\"0 0 %d %p\" role=img aria-label=\"%t. %t\"><title>%t</title>"
             "<desc>%t</desc>",
             WIDTH, height, c->title, c->about, c->title, c->about);
    put_axes(h, c, &x, &y);
    if (c->kind == CHART_POINTS)
        put_points(h, c, &x, &y);
    for (int s = 0; s < c->n; s++) {
        if (c->kind == CHART_LINES)
            put_lines(h, &c->v[s], &x, &y);
        else if (c->kind == CHART_HISTOGRAM)
            put_histogram(h, &c->v[s], &x, &y);
    }
    if (bars)
        put_bars(h, c, &x, BARS_TOP);
    if (isfinite(c->mark))
        html_put(h,
                 "<path class=stop d=\"M%p %pV%p\"/><text class=\"label end\" x=\"%p\" "
                 "y=\"%p\">%t</text>",
                 place(&x, c->mark), y.to, y.from, place(&x, c->mark) - 5, y.to + 10, c->mark_name);
    html_put(h, "</svg>");
}

static void put_legend(struct html *h, const struct chart *c)
{
    if (c->n < 2 || c->kind == CHART_POINTS)
        return;
    html_put(h, "<ul class=legend aria-hidden=true>");
    for (int s = 0; s < c->n; s++)
        html_put(h, "<li class=\"c%d%s\">%t</li>", c->v[s].colour, c->v[s].dashed ? " dashed" : "",
                 c->v[s].name);
    html_put(h, "</ul>");
}

/* --- the data --- */

static void table_points(struct html *h, const struct chart *c)
{
    html_put(h,
             "<tr><th scope=col>model</th><th scope=col>%w</th><th scope=col>%w</th></tr></thead>"
             "<tbody>",
             c->x_name, c->y_name);
    for (int s = 0; s < c->n; s++) {
        if (c->v[s].front)
            continue;
        html_put(h, "<tr><th scope=row>%w</th><td>", c->v[s].name);
        html_number(h, *c->v[s].x);
        html_put(h, "</td><td>");
        html_number(h, *c->v[s].y);
        html_put(h, "</td></tr>");
    }
}

/* A row for each x, bin or category, a column for each series. */
static void table_series(struct html *h, const struct chart *c)
{
    html_put(h, "<tr><th scope=col>%w</th>", c->kind == CHART_BARS ? "metric" : c->x_name);
    for (int s = 0; s < c->n; s++)
        html_put(h, "<th scope=col>%w</th>", c->v[s].name);
    html_put(h, "</tr></thead><tbody>");
    for (int i = 0; c->n && i < c->v->n; i++) {
        html_put(h, "<tr><th scope=row>");
        if (c->kind == CHART_BARS)
            html_put(h, "%w", c->categories[i]);
        else if (c->kind == CHART_HISTOGRAM)
            html_put(h, "%v to %v", c->v->x[i], c->v->x[i + 1]);
        else
            html_put(h, "%v", c->v->x[i]);
        html_put(h, "</th>");
        for (int s = 0; s < c->n; s++) {
            const struct chart_series *v = &c->v[s];
            html_put(h, "<td>");
            html_number(h, v->y[i]);
            if (v->low && isfinite(v->low[i]) && isfinite(v->high[i]))
                html_put(h, " <span class=ci>[%v, %v]</span>", v->low[i], v->high[i]);
            html_put(h, "</td>");
        }
        html_put(h, "</tr>");
    }
}

void chart_write(struct html *h, const struct chart *c)
{
    html_put(h, "<figure class=chart><figcaption><strong>%t</strong> %t</figcaption>", c->title,
             c->about);
    put_legend(h, c);
    put_drawing(h, c);
    html_put(h,
             "<details><summary>Data of this figure</summary><div class=scroll tabindex=0 "
             "role=region aria-label=\"data: %t\"><table><caption class=hidden>%t</caption><thead>",
             c->title, c->title);
    if (c->kind == CHART_POINTS)
        table_points(h, c);
    else
        table_series(h, c);
    html_put(h, "</tbody></table></div></details></figure>\n");
}

int chart_model_colour(int i)
{
    return CHART_MODEL + i % (CHART_COLOURS - CHART_MODEL);
}
