/* Reference figures in JSON files, for tests: reading them, and comparing many under one TAP line.
 */
#ifndef TEST_FIGURES_H
#define TEST_FIGURES_H

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/texts.h"
#include "tap.h"

#define RTOL 1e-12

/* Worst relative difference seen, and where. */
struct worst {
    double diff;
    int n, bad;
    char where[160];
};

static inline void compare_to(struct worst *w, double got, double want, double rtol,
                              const char *where, long i)
{
    double diff = got == want || (isnan(got) && isnan(want)) ? 0 : fabs(got - want) / fabs(want);
    w->n++;
    if (!(diff <= rtol)) {
        if (!w->bad++)
            note("%s %ld: got %.17g, want %.17g", where, i, got, want);
    }
    if (!(diff <= w->diff)) {
        w->diff = diff;
        snprintf(w->where, sizeof w->where, "%s %ld", where, i);
    }
}

static inline void compare(struct worst *w, double got, double want, const char *where, long i)
{
    compare_to(w, got, want, RTOL, where, i);
}

static inline bool report(const struct worst *w, const char *what)
{
    if (w->diff > 0)
        note("%s: worst relative difference %.2g at %s", what, w->diff, w->where);
    return ok(w->n && !w->bad, "%s: %d of %d figures agree", what, w->n - w->bad, w->n);
}

static inline json_t *load(char *path)
{
    json_error_t je;
    json_t *j = path ? json_load_file(path, JSON_ALLOW_NUL, &je) : NULL;
    if (path && !j)
        note("%s: %s", path, je.text);
    free(path);
    return j;
}

static inline double real(const json_t *j)
{
    if (json_is_string(j))
        return strtod(json_string_value(j), NULL);
    return json_is_null(j) || !j ? NAN : json_number_value(j);
}

static inline double get(const json_t *obj, const char *key)
{
    return real(json_object_get(obj, key));
}

static inline const char *str(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

/* The numbers of an array, or one number. Owned by the caller. */
static inline double *reals(const json_t *a, int *n)
{
    size_t len = json_is_array(a) ? json_array_size(a) : a && !json_is_null(a);
    double *v = malloc((len + 1) * sizeof *v);
    for (size_t i = 0; i < len; i++)
        v[i] = real(json_is_array(a) ? json_array_get(a, i) : a);
    *n = (int)len;
    return v;
}

/* ROUGE of two C strings. */
static inline int rouge(const char *truth, const char *guess, enum rouge_words how,
                        struct rouge *out, struct err *e)
{
    return rouge_score(truth, strlen(truth), guess, strlen(guess), how, out, e);
}

#endif
