#include "report/table.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

/* Text before, between and after cells, and the rule under the heading. */
static const struct style {
    const char *left, *between, *right;
    const char *rule_right; /* ends the rule of a right-aligned column */
    const char *pipe;       /* a pipe within a cell */
} styles[] = {
    [TABLE_PLAIN] = {"", "  ", "", "-", "|"}, [TABLE_MARKDOWN] = {"| ", " | ", " |", ":", "\\|"}};

int table_init(struct table *t, int rows, int cols, struct err *e)
{
    BUG_ON(rows < 1 || cols < 1);
    *t = (struct table){.rows = rows, .cols = cols};
    t->cells = mem_alloc((size_t)rows * (size_t)cols, sizeof *t->cells, e);
    return t->cells ? 0 : -1;
}

void table_fini(struct table *t)
{
    for (int i = 0; t->cells && i < t->rows * t->cols; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

int table_set(struct table *t, int row, int col, struct err *e, const char *fmt, ...)
{
    BUG_ON(row < 0 || row >= t->rows || col < 0 || col >= t->cols);
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *copy = mem_strdup(text, e);
    if (!copy)
        return -1;
    free(t->cells[row * t->cols + col]);
    t->cells[row * t->cols + col] = copy;
    return 0;
}

static const char *cell(const struct table *t, int row, int col)
{
    const char *s = t->cells[row * t->cols + col];
    return s ? s : "";
}

/* Characters on the screen: code points, a pipe as the style writes it. */
static int width(const char *s, const struct style *style)
{
    int n = 0;
    for (; *s; s++)
        n += *s == '|' ? (int)strlen(style->pipe) : ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static int widest(const struct table *t, int col, const struct style *style)
{
    int most = 3; /* a Markdown rule has three characters at least */
    for (int r = 0; r < t->rows; r++) {
        int w = width(cell(t, r, col), style);
        most = w > most ? w : most;
    }
    return most;
}

static int put_cell(const char *s, int col, int columns, const struct style *style, struct buf *out,
                    struct err *e)
{
    int pad = columns - width(s, style), rc = col ? buf_printf(out, e, "%*s", pad, "") : 0;
    for (; !rc && *s; s++)
        rc = *s == '|' ? buf_str(out, style->pipe, e) : buf_add(out, s, 1, e);
    return rc || col ? rc : buf_printf(out, e, "%*s", pad, "");
}

static int put_rule(int col, int columns, const struct style *style, struct buf *out, struct err *e)
{
    for (int i = 0; i < columns - 1; i++)
        if (buf_str(out, "-", e))
            return -1;
    return buf_str(out, col ? style->rule_right : "-", e);
}

/* The first column and columns [from, to). Row -1 is the rule under the heading. */
static int put_row(const struct table *t, int row, const int *columns, int from, int to,
                   const struct style *style, struct buf *out, struct err *e)
{
    int rc = buf_str(out, style->left, e);
    for (int k = from - 1; !rc && k < to; k++) {
        const int c = k < from ? 0 : k;
        rc = c ? buf_str(out, style->between, e) : 0;
        if (!rc)
            rc = row < 0 ? put_rule(c, columns[c], style, out, e)
                         : put_cell(cell(t, row, c), c, columns[c], style, out, e);
    }
    return rc || buf_str(out, style->right, e) || buf_str(out, "\n", e);
}

static int put_block(const struct table *t, const int *columns, int from, int to,
                     const struct style *s, struct buf *out, struct err *e)
{
    int rc =
        put_row(t, 0, columns, from, to, s, out, e) || put_row(t, -1, columns, from, to, s, out, e);
    for (int r = 1; !rc && r < t->rows; r++)
        rc = put_row(t, r, columns, from, to, s, out, e);
    return rc;
}

/* The end of the columns that fit in a block from column `from` on, at least one. */
static int block_end(const struct table *t, const int *columns, int from, const struct style *s)
{
    int to = from, wide = columns[0];
    const int between = (int)strlen(s->between);
    while (to < t->cols && (to == from || !t->width || wide + between + columns[to] <= t->width))
        wide += between + columns[to++];
    return to;
}

/* --- LaTeX --- */

static int latex_text(struct buf *out, const char *s, struct err *e)
{
    static const char special[] = "&%$#_{}~^\\<>|";
    static const char *const written[] = {"\\&",
                                          "\\%",
                                          "\\$",
                                          "\\#",
                                          "\\_",
                                          "\\{",
                                          "\\}",
                                          "\\textasciitilde{}",
                                          "\\textasciicircum{}",
                                          "\\textbackslash{}",
                                          "\\textless{}",
                                          "\\textgreater{}",
                                          "\\textbar{}"};
    int rc = 0;
    for (; *s && !rc; s++) {
        const char *at = strchr(special, *s);
        rc = at ? buf_str(out, written[at - special], e) : buf_add(out, s, 1, e);
    }
    return rc;
}

static int latex_write(const struct table *t, struct buf *out, struct err *e)
{
    int rc = buf_str(out, "\\begin{tabular}{l", e);
    for (int c = 1; c < t->cols && !rc; c++)
        rc = buf_str(out, "r", e);
    rc = rc || buf_str(out, "}\n\\toprule\n", e);
    for (int r = 0; r < t->rows && !rc; r++) {
        for (int c = 0; c < t->cols && !rc; c++)
            rc = buf_str(out, c ? " & " : "", e) || latex_text(out, cell(t, r, c), e);
        rc = rc || buf_str(out, r ? " \\\\\n" : " \\\\\n\\midrule\n", e);
    }
    return rc || buf_str(out, "\\bottomrule\n\\end{tabular}\n", e);
}

int table_write(const struct table *t, enum table_style style, struct buf *out, struct err *e)
{
    if (style == TABLE_LATEX)
        return latex_write(t, out, e) ? -1 : 0;
    const struct style *s = &styles[style];
    int *columns = mem_alloc((size_t)t->cols, sizeof *columns, e), rc = columns ? 0 : -1;
    for (int c = 0; !rc && c < t->cols; c++)
        columns[c] = widest(t, c, s);
    for (int from = 1, to; !rc && from <= t->cols; from = to) {
        to = style == TABLE_PLAIN ? block_end(t, columns, from, s) : t->cols;
        if (from > 1)
            rc = buf_str(out, "\n", e);
        rc = rc || put_block(t, columns, from, to, s, out, e);
        to = to < t->cols ? to : t->cols + 1;
    }
    free(columns);
    return rc;
}

const char *digits_of(double x, char text[DIGITS_MOST])
{
    const double size = fabs(x);
    if (isnan(x))
        return strcpy(text, "-");
    if (size == DBL_MAX || isinf(x)) /* as logs write an infinite number */
        return strcpy(text, x < 0 ? "-inf" : "inf");
    if (size == 0)
        return strcpy(text, "0");
    if (size < 0.0001 || size >= 1e6)
        snprintf(text, DIGITS_MOST, "%.3g", x);
    else if (size >= 999.5)
        snprintf(text, DIGITS_MOST, "%.0f", x);
    else
        snprintf(text, DIGITS_MOST, "%#.3g", x);
    const size_t n = strlen(text);
    if (n && text[n - 1] == '.')
        text[n - 1] = 0;
    return text;
}

int columns_head(struct table *t, const struct column *columns, int n, struct err *e)
{
    int rc = 0;
    for (int c = 0; c < n && !rc; c++)
        rc = table_set(t, 0, c + 1, e, "%s", columns[c].heading);
    return rc;
}

/* Integers and texts as they are, other numbers with three digits, "-" if it is none of them. */
static const char *value_of(const json_t *x, char text[DIGITS_MOST])
{
    if (json_is_string(x))
        return json_string_value(x);
    if (!json_is_integer(x))
        return digits_of(json_is_real(x) ? json_real_value(x) : NAN, text);
    snprintf(text, DIGITS_MOST, "%" JSON_INTEGER_FORMAT, json_integer_value(x));
    return text;
}

static int column_set(struct table *t, int row, int col, const struct column *c, const json_t *line,
                      struct err *e)
{
    const json_t *low = c->low ? json_object_get(line, c->low) : NULL;
    const json_t *high = c->high ? json_object_get(line, c->high) : NULL;
    char value[DIGITS_MOST], a[DIGITS_MOST], b[DIGITS_MOST];
    const char *x = value_of(json_object_get(line, c->key), value);
    return json_is_number(low) && json_is_number(high)
               ? table_set(t, row, col, e, "%s [%s, %s]", x, value_of(low, a), value_of(high, b))
               : table_set(t, row, col, e, "%s", x);
}

int columns_fill(struct table *t, int row, const struct column *columns, int n, const json_t *line,
                 struct err *e)
{
    int rc = 0;
    for (int c = 0; c < n && !rc; c++)
        rc = column_set(t, row, c + 1, &columns[c], line, e);
    return rc;
}

int csv_field(struct buf *out, const char *text, struct err *e)
{
    if (!strpbrk(text, ",\"\n"))
        return buf_str(out, text, e);
    int rc = buf_str(out, "\"", e);
    for (; *text && !rc; text++)
        rc = buf_printf(out, e, "%s%c", *text == '"' ? "\"" : "", *text);
    return rc || buf_str(out, "\"", e);
}

int csv_value(struct buf *out, const json_t *v, struct err *e)
{
    char digits[JSON_REAL_TEXT];
    if (json_is_string(v))
        return csv_field(out, json_string_value(v), e);
    if (json_is_integer(v))
        return buf_printf(out, e, "%lld", (long long)json_integer_value(v));
    if (!json_is_real(v))
        return 0;
    json_real_text(json_real_value(v), digits);
    return buf_str(out, digits, e);
}
