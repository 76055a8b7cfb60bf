#include "base/param.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_limited(const struct param *p)
{
    return p->lo != 0 || p->hi != 0;
}

/* "an integer from 1 to 8", for messages. */
static const char *wanted(const struct param *p, char *text, size_t size)
{
    const char *kind = p->type == PARAM_INT ? "an integer" : "a number";
    if (!is_limited(p))
        snprintf(text, size, "%s", kind);
    else if (isinf(p->hi))
        snprintf(text, size, "%s of at least %.15g", kind, p->lo);
    else
        snprintf(text, size, "%s from %.15g to %.15g", kind, p->lo, p->hi);
    return text;
}

static int refuse_number(const struct param *p, const char *given, struct err *e)
{
    char text[96];
    return err_set(e, "%s: '%s' is not %s", p->name, given, wanted(p, text, sizeof text));
}

static bool in_range(const struct param *p, double v)
{
    return isfinite(v) && (!is_limited(p) || (v >= p->lo && v <= p->hi));
}

static int set_int(const struct param *p, void *field, const char *text, struct err *e)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || !in_range(p, (double)v))
        return refuse_number(p, text, e);
    *(int64_t *)field = v;
    return 0;
}

static int set_real(const struct param *p, void *field, const char *text, struct err *e)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !in_range(p, v))
        return refuse_number(p, text, e);
    *(double *)field = v;
    return 0;
}

static int set_bool(const struct param *p, void *field, const char *text, struct err *e)
{
    int i = param_choice("false|true|no|yes|off|on|0|1", text);
    if (i < 0)
        return err_set(e, "%s: '%s' is neither true nor false", p->name, text);
    *(bool *)field = i % 2;
    return 0;
}

static int set_choice(const struct param *p, void *field, const char *text, struct err *e)
{
    if (param_choice(p->choices, text) < 0)
        return err_set(e, "%s: '%s' is not one of %s", p->name, text, p->choices);
    *(const char **)field = text;
    return 0;
}

static void *field_of(const struct param *p, void *obj)
{
    return (char *)obj + p->offset;
}

int param_set_text(const struct param *p, void *obj, const char *text, struct err *e)
{
    void *field = field_of(p, obj);
    switch (p->type) {
    case PARAM_INT:
        return set_int(p, field, text, e);
    case PARAM_REAL:
        return set_real(p, field, text, e);
    case PARAM_BOOL:
        return set_bool(p, field, text, e);
    case PARAM_CHOICE:
        return set_choice(p, field, text, e);
    case PARAM_STRING:
        *(const char **)field = text;
        return 0;
    }
    return err_set(e, "%s: unknown type", p->name);
}

static int set_json_number(const struct param *p, void *obj, const json_t *value, struct err *e)
{
    double v = json_number_value(value);
    char given[32];
    snprintf(given, sizeof given, "%.17g", v);
    bool whole = json_is_integer(value) || (fabs(v) < 0x1p53 && v == floor(v));
    if (!in_range(p, v) || (p->type == PARAM_INT && !whole))
        return refuse_number(p, given, e);
    if (p->type == PARAM_INT)
        *(int64_t *)field_of(p, obj) =
            json_is_integer(value) ? json_integer_value(value) : (int64_t)v;
    else
        *(double *)field_of(p, obj) = v;
    return 0;
}

int param_set_json(const struct param *p, void *obj, const json_t *value, struct err *e)
{
    bool number = p->type == PARAM_INT || p->type == PARAM_REAL;
    bool text = p->type == PARAM_STRING || p->type == PARAM_CHOICE;
    if (number && json_is_number(value))
        return set_json_number(p, obj, value, e);
    if (text && json_is_string(value) &&
        strlen(json_string_value(value)) != json_string_length(value))
        return err_set(e, "'%s' holds U+0000", p->name);
    if (text && json_is_string(value))
        return param_set_text(p, obj, json_string_value(value), e);
    if (text && json_is_null(value) && !p->value) {
        *(const char **)field_of(p, obj) = NULL;
        return 0;
    }
    if (p->type == PARAM_BOOL && json_is_boolean(value)) {
        *(bool *)field_of(p, obj) = json_is_true(value);
        return 0;
    }
    char words[96];
    return err_set(e, "'%s' must be %s", p->name,
                   number ? wanted(p, words, sizeof words)
                   : text ? "a string"
                          : "true or false");
}

void param_defaults(const struct param *table, void *obj)
{
    static const size_t size[] = {sizeof(int64_t), sizeof(double), sizeof(bool), sizeof(char *),
                                  sizeof(char *)};
    struct err e;
    for (const struct param *p = table; p->name; p++) {
        memset(field_of(p, obj), 0, size[p->type]);
        BUG_ON(p->value && param_set_text(p, obj, p->value, &e));
    }
}

json_t *param_get_json(const struct param *p, const void *obj)
{
    const void *field = (const char *)obj + p->offset;
    const char *text;
    switch (p->type) {
    case PARAM_INT:
        return json_integer(*(const int64_t *)field);
    case PARAM_REAL:
        return json_real(*(const double *)field);
    case PARAM_BOOL:
        return json_boolean(*(const bool *)field);
    case PARAM_STRING:
    case PARAM_CHOICE:
        text = *(const char *const *)field;
        return text ? json_string(text) : json_null();
    }
    return NULL;
}

static char fold(char c)
{
    return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

const struct param *param_find(const struct param *table, const char *name)
{
    for (const struct param *p = table; p->name; p++) {
        size_t i = 0;
        while (name[i] && fold(name[i]) == fold(p->name[i]))
            i++;
        if (!name[i] && !p->name[i])
            return p;
    }
    return NULL;
}

int param_choice(const char *choices, const char *text)
{
    size_t want = strlen(text);
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == want && !strncasecmp(choices, text, n))
            return i;
        if (!choices[n])
            return -1;
        choices += n + 1;
    }
}

static const char *meta(const struct param *p)
{
    static const char *const by_type[] = {"N", "X", "", "TEXT", ""};
    return p->meta ? p->meta : p->type == PARAM_CHOICE ? p->choices : by_type[p->type];
}

/* "default 3, 0 to 1000" in brackets, what of it there is. */
static void print_values(const struct param *p, FILE *out)
{
    bool ranged = (p->type == PARAM_INT || p->type == PARAM_REAL) && p->lo < p->hi;
    const char *close = "";
    if (p->value && p->type != PARAM_BOOL) {
        fprintf(out, " (default %s", p->value);
        close = ")";
    }
    if (ranged) {
        fprintf(out, "%s%.10g to %.10g", *close ? ", " : " (", p->lo, p->hi);
        close = ")";
    }
    fputs(close, out);
    if (p->type == PARAM_BOOL && p->choices)
        fprintf(out, " (on under --compat %s)", p->choices);
}

const char *param_flag(const char *name, char *flag)
{
    snprintf(flag, PARAM_NAME_MOST + 1, "%s", name);
    for (char *c = flag; *c; c++)
        if (*c == '_')
            *c = '-';
    return flag;
}

/* The row with the default that presets give it. */
static struct param preset_row(const struct param *row, const struct param_preset *const *presets)
{
    const struct param one[] = {*row, {0}};
    struct param with = *row;
    for (; presets && *presets; presets++)
        for (const struct param_preset *s = *presets; s->name; s++)
            if (param_find(one, s->name))
                with.value = s->value;
    return with;
}

void param_help(const struct param *table, FILE *out)
{
    param_help_preset(table, NULL, out);
}

void param_help_preset(const struct param *table, const struct param_preset *const *presets,
                       FILE *out)
{
    for (; table->name; table++) {
        const struct param with = preset_row(table, presets), *p = &with;
        bool on = p->type == PARAM_BOOL && p->value && param_choice("true|yes|on|1", p->value) >= 0;
        char left[160], flag[PARAM_NAME_MOST + 1];
        int n = snprintf(left, sizeof left, "--%s%s%s%s", on ? "[no-]" : "",
                         param_flag(p->name, flag), *meta(p) ? " " : "", meta(p));
        fprintf(out, "  %-28s", left);
        if (n > 28)
            fprintf(out, "\n%30s", "");
        fprintf(out, "  %s", p->help);
        print_values(p, out);
        fputs(on ? " (default on)\n" : "\n", out);
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

enum { WORD_MOST = 63 };

/* Insertions, deletions, substitutions and swaps of neighbours; the first WORD_MOST letters count.
 */
static int edit_distance(const char *a, const char *b)
{
    int d[3][WORD_MOST + 1], m = (int)strnlen(a, WORD_MOST), n = (int)strnlen(b, WORD_MOST);
    int *before = d[0], *last = d[1], *row = d[2];
    for (int j = 0; j <= n; j++)
        before[j] = last[j] = j;
    for (int i = 1; i <= m; i++) {
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            char x = fold(a[i - 1]), y = fold(b[j - 1]);
            row[j] = least(least(row[j - 1], last[j]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == fold(b[j - 2]) && y == fold(a[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        int *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[n];
}

/* A name that starts with the word has distance 1; else a third of its letters may differ. */
const char *param_nearest(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    size_t len = strlen(word);
    int best_distance = (int)(len < WORD_MOST ? len : WORD_MOST) / 3 + 2;
    for (int i = 0; i < n; i++) {
        bool starts = len >= 3 && !strncasecmp(names[i], word, len);
        int d = starts ? 1 : edit_distance(word, names[i]);
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

int param_apply_presets(const struct param *table, void *obj, const struct param_preset *presets,
                        struct err *e)
{
    for (; presets && presets->name; presets++) {
        const struct param *p = param_find(table, presets->name);
        if (p && param_set_text(p, obj, presets->value, e))
            return -1;
    }
    return 0;
}

int param_take(const struct param_table *t, const struct param_preset *presets,
               const struct param_taker *taker, struct err *e)
{
    if (taker)
        return taker->take(taker->ctx, t, presets, e);
    param_defaults(t->params, t->obj);
    return param_apply_presets(t->params, t->obj, presets, e);
}

int param_size(const char *text, uint64_t *bytes, struct err *e)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1},          {"B", 1},         {"KB", 1e3},     {"MB", 1e6},
                 {"GB", 1e9},      {"K", 1 << 10},   {"M", 1 << 20},  {"G", 1 << 30},
                 {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *end;
    const double n = strtod(text, &end);
    for (size_t i = 0; end > text && i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(end, units[i].unit) && n * units[i].bytes >= 1 &&
            n * units[i].bytes < 1e18) {
            *bytes = (uint64_t)(n * units[i].bytes);
            return 0;
        }
    return err_set(e, "'%s' is no size such as 5GB or 200MB", text);
}
