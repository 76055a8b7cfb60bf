#include "run/expression.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

const char *const whose_name[WHOSE_COUNT] = {"unlearned", "target", "retrained"};
static const char *const part_name[FIGURE_PARTS] = {"value", "low", "high"};

enum { TEXT_MOST = 4096, DEPTH_MOST = 64 };

struct expression_step {
    char op;      /* n number, v name, f function; else the operator, ~ for a change of sign */
    int index;    /* of the name or the function */
    double value; /* of the number */
};

static double of_abs(double a, double b)
{
    return (void)b, fabs(a);
}
static double of_exp(double a, double b)
{
    return (void)b, exp(a);
}
static double of_log(double a, double b)
{
    return (void)b, log(a);
}
static double of_sqrt(double a, double b)
{
    return (void)b, sqrt(a);
}
/* Not fmin and fmax: what was not measured stays so. */
static double of_min(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
}
static double of_max(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
}

static const struct {
    const char *name;
    int arguments;
    double (*of)(double a, double b);
} functions[] = {{"abs", 1, of_abs},   {"exp", 1, of_exp}, {"log", 1, of_log},
                 {"sqrt", 1, of_sqrt}, {"min", 2, of_min}, {"max", 2, of_max}};

enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* --- reading --- */

struct reader {
    struct expression *x;
    const char *at;
    size_t cap_steps, cap_names;
    int depth;
};

static int refuse(const struct reader *r, const char *what, struct err *e)
{
    const char *text = r->x->text;
    const int at = (int)(r->at - text);
    return *r->at ? err_code(e, ERR_ARGUMENT, "'%.200s': %s expected at '%.20s' (character %d)",
                             text, what, r->at, at + 1)
                  : err_code(e, ERR_ARGUMENT, "'%.200s': %s expected at the end", text, what);
}

static void skip(struct reader *r)
{
    r->at += strspn(r->at, " \t\n");
}

static bool accept(struct reader *r, const char *token)
{
    skip(r);
    const size_t n = strlen(token);
    if (strncmp(r->at, token, n))
        return false;
    r->at += n;
    return true;
}

static int add(struct reader *r, char op, int index, double value, struct err *e)
{
    struct expression *x = r->x;
    if (mem_reserve(&x->steps, &r->cap_steps, (size_t)x->n_steps + 1, sizeof *x->steps, e))
        return -1;
    x->steps[x->n_steps++] = (struct expression_step){op, index, value};
    return 0;
}

static bool is_word(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

/* One part of a name, appended to `out`. */
static int read_part(struct reader *r, bool first, struct buf *out, struct err *e)
{
    if (*r->at == '\'') {
        const char *end = strchr(r->at + 1, '\'');
        if (!end || end == r->at + 1)
            return refuse(r, "a name in single quotes", e);
        int rc = buf_add(out, r->at + 1, (size_t)(end - r->at - 1), e);
        r->at = end + 1;
        return rc;
    }
    size_t n = 0;
    while (is_word(r->at[n], first && !n))
        n++;
    if (!n)
        return refuse(r, "a metric", e);
    r->at += n;
    return buf_add(out, r->at - n, n, e);
}

/* Which of the words it is, n: none. */
static int word_of(const char *text, size_t len, const char *const *words, int n)
{
    int i = 0;
    while (i < n && (strlen(words[i]) != len || strncmp(words[i], text, len)))
        i++;
    return i;
}

/* Splits the model off the front and the part of the interval off the end. A model alone stays a
 * name without a metric. */
static int split_name(const char *text, struct expression_name *n, struct err *e)
{
    const char *dot = strchr(text, '.'), *end = strrchr(text, '.');
    size_t len = strlen(text);
    const int whose = word_of(text, dot ? (size_t)(dot - text) : len, whose_name, WHOSE_COUNT);
    const int part =
        end ? word_of(end + 1, strlen(end + 1), part_name, FIGURE_PARTS) : FIGURE_PARTS;
    *n = (struct expression_name){.whose = whose % WHOSE_COUNT, .part = part % FIGURE_PARTS};
    if (part < FIGURE_PARTS)
        len = (size_t)(end - text);
    if (whose < WHOSE_COUNT) {
        const size_t front = strlen(whose_name[whose]) + (len > strlen(whose_name[whose]));
        text += front;
        len -= front;
    }
    n->metric = mem_strndup(text, len, e);
    return n->metric ? 0 : -1;
}

static int add_name(struct reader *r, const char *text, struct err *e)
{
    struct expression *x = r->x;
    if (mem_reserve(&x->names, &r->cap_names, (size_t)x->n_names + 1, sizeof *x->names, e) ||
        split_name(text, &x->names[x->n_names], e))
        return -1;
    return add(r, 'v', x->n_names++, 0, e);
}

static int read_sum(struct reader *r, struct err *e);

static int read_call(struct reader *r, int f, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < functions[f].arguments && !rc; i++)
        rc = i && !accept(r, ",") ? refuse(r, "','", e) : read_sum(r, e);
    if (!rc && !accept(r, ")"))
        rc = refuse(r, "')'", e);
    return rc || add(r, 'f', f, 0, e);
}

static int read_name(struct reader *r, struct err *e)
{
    struct buf text = {0};
    int rc = read_part(r, true, &text, e), f = 0;
    while (!rc && *r->at == '.') {
        r->at++;
        rc = buf_str(&text, ".", e) || read_part(r, false, &text, e);
    }
    if (!rc && accept(r, "(")) {
        while (f < FUNCTIONS && strcmp(functions[f].name, text.data))
            f++;
        rc = f == FUNCTIONS ? err_code(e, ERR_ARGUMENT,
                                       "'%.200s': unknown function '%.40s': there are abs, exp, "
                                       "log, sqrt, min and max",
                                       r->x->text, text.data)
                            : read_call(r, f, e);
    } else {
        rc = rc || add_name(r, text.data, e);
    }
    buf_fini(&text);
    return rc;
}

static int read_number(struct reader *r, struct err *e)
{
    char *end;
    const double v = strtod(r->at, &end);
    if (!isfinite(v))
        return refuse(r, "a finite number", e);
    r->at = end;
    return add(r, 'n', 0, v, e);
}

static int read_factor(struct reader *r, struct err *e)
{
    if (r->depth >= DEPTH_MOST)
        return refuse(r, "fewer brackets", e);
    r->depth++;
    int rc;
    if (accept(r, "-"))
        rc = read_factor(r, e) || add(r, '~', 0, 0, e);
    else if (accept(r, "("))
        rc = read_sum(r, e) || (accept(r, ")") ? 0 : refuse(r, "')'", e));
    else if ((*r->at >= '0' && *r->at <= '9') || *r->at == '.')
        rc = read_number(r, e);
    else
        rc = read_name(r, e);
    r->depth--;
    return rc;
}

/* Operands with operators of one rank between them. */
static int read_chain(struct reader *r, const char *operators,
                      int (*operand)(struct reader *r, struct err *e), struct err *e)
{
    int rc = operand(r, e);
    for (skip(r); !rc && *r->at && strchr(operators, *r->at); skip(r)) {
        const char op = *r->at++;
        rc = operand(r, e) || add(r, op, 0, 0, e);
    }
    return rc;
}

static int read_product(struct reader *r, struct err *e)
{
    return read_chain(r, "*/", read_factor, e);
}

static int read_sum(struct reader *r, struct err *e)
{
    return read_chain(r, "+-", read_product, e);
}

static enum comparison read_comparison(struct reader *r)
{
    static const char *const token[] = {"", "<=", ">=", "<", ">"};
    for (enum comparison c = COMPARE_LE; c <= COMPARE_GT; c++)
        if (accept(r, token[c]))
            return c;
    return COMPARE_NONE;
}

/* Models alone get the bound's first metric. */
static int complete_names(struct expression *x, struct err *e)
{
    for (int i = 0; i < x->n_names; i++) {
        if (*x->names[i].metric)
            continue;
        if (!i || !*x->names[0].metric || !x->compare)
            return err_code(e, ERR_ARGUMENT,
                            "'%.200s': '%s' alone has no metric: write %s.METRIC%s", x->text,
                            whose_name[x->names[i].whose], whose_name[x->names[i].whose],
                            x->compare ? ", or name the metric on the left first" : "");
        free(x->names[i].metric);
        x->names[i].metric = mem_strdup(x->names[0].metric, e);
        if (!x->names[i].metric)
            return -1;
    }
    return 0;
}

int expression_read(struct expression *x, const char *text, enum expression_kind kind,
                    struct err *e)
{
    *x = (struct expression){.text = mem_strdup(text, e)};
    struct reader r = {.x = x, .at = x->text};
    if (!x->text)
        return -1;
    if (strlen(text) > TEXT_MOST)
        return err_code(e, ERR_ARGUMENT, "the expression '%.40s...' is longer than %d characters",
                        text, TEXT_MOST);
    int rc = read_sum(&r, e);
    x->n_left = x->n_steps;
    if (!rc && kind == EXPRESSION_BOUND) {
        x->compare = read_comparison(&r);
        rc = x->compare ? read_sum(&r, e) : refuse(&r, "<=, >=, < or >", e);
    }
    skip(&r);
    if (!rc && *r.at)
        rc = refuse(&r, kind == EXPRESSION_BOUND ? "the end of the bound" : "the end", e);
    if (!rc && !x->n_names)
        rc = err_code(e, ERR_ARGUMENT, "'%.200s' names no metric", text);
    return rc || complete_names(x, e);
}

void expression_fini(struct expression *x)
{
    for (int i = 0; i < x->n_names; i++)
        free(x->names[i].metric);
    free(x->names);
    free(x->steps);
    free(x->text);
    *x = (struct expression){.text = NULL};
}

/* --- values --- */

static double apply(char op, double a, double b)
{
    switch (op) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    default:
        return a / b;
    }
}

/* The steps from..to leave one value on the stack, which is no deeper than there are steps. */
static double run_steps(const struct expression *x, int from, int to, expression_lookup *lookup,
                        void *ctx)
{
    double stack[TEXT_MOST + 1];
    int n = 0;
    for (int i = from; i < to; i++) {
        const struct expression_step *s = &x->steps[i];
        if (s->op == 'n') {
            stack[n++] = s->value;
        } else if (s->op == 'v') {
            stack[n++] = lookup(ctx, &x->names[s->index]);
        } else if (s->op == '~') {
            stack[n - 1] = -stack[n - 1];
        } else if (s->op == 'f' && functions[s->index].arguments == 1) {
            stack[n - 1] = functions[s->index].of(stack[n - 1], 0);
        } else {
            n--;
            stack[n - 1] = s->op == 'f' ? functions[s->index].of(stack[n - 1], stack[n])
                                        : apply(s->op, stack[n - 1], stack[n]);
        }
    }
    return stack[0];
}

double expression_value(const struct expression *x, expression_lookup *lookup, void *ctx)
{
    return run_steps(x, 0, x->n_left, lookup, ctx);
}

struct bound_state expression_bound(const struct expression *x, expression_lookup *lookup,
                                    void *ctx)
{
    struct bound_state s = {.left = run_steps(x, 0, x->n_left, lookup, ctx),
                            .right = run_steps(x, x->n_left, x->n_steps, lookup, ctx)};
    const double above = s.left - s.right;
    const bool most = x->compare == COMPARE_LE || x->compare == COMPARE_LT;
    const bool equal = x->compare == COMPARE_LE || x->compare == COMPARE_GE;
    s.known = isfinite(s.left) && isfinite(s.right);
    s.held =
        s.known && (most ? above < 0 || (equal && above <= 0) : above > 0 || (equal && above >= 0));
    s.excess = s.held ? 0 : s.known ? fabs(above) / (1e-9 + fabs(s.right)) : INFINITY;
    return s;
}
