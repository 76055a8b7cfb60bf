/* unlearn diff A B: what differs between two checkpoints, tensor by tensor. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "tensor/file.h"

struct options {
    double rtol, atol;
    bool json;
};

static const struct param params[] = {
    REAL_PARAM(struct options, rtol, 0, INFINITY, 0,
               "relative tolerance: allowed |a - b| as a fraction of |b|"),
    REAL_PARAM(struct options, atol, 0, INFINITY, 0, "absolute tolerance, added to it"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    {0}};

static const char about[] = "Compares the tensors of two files (safetensors, GGUF, llama2.c; any "
                            "storage types, by value) and lists\n"
                            "those that differ. A value is outside if not |a - b| <= atol + rtol "
                            "|b|; both are 0 by default, so that\n"
                            "any difference counts. NaN equals NaN. Exit status 3: some value is "
                            "outside, a shape differs, or a\n"
                            "tensor is missing in one of the files.\n";

enum verdict { EQUAL, WITHIN, OUTSIDE, SHAPE, ONLY_A, ONLY_B, N_VERDICTS };
static const char *const verdict_name[] = {"equal", "within", "outside",
                                           "shape", "only_a", "only_b"};

struct comparison {
    const struct tensor *a, *b; /* borrowed; NULL: not in that file */
    enum verdict verdict;
    double max_abs, max_rel; /* max_rel over the elements with b != 0 */
    size_t worst;            /* flat index of max_abs */
};

static void compare_values(struct comparison *r, const float *a, const float *b,
                           const struct options *o)
{
    r->verdict = EQUAL;
    for (size_t i = 0; i < r->a->count; i++) {
        double x = a[i], y = b[i], d = fabs(x - y);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        if (isnan(d))
            d = INFINITY;
        if (d > r->max_abs) {
            r->max_abs = d;
            r->worst = i;
        }
        if (y != 0)
            r->max_rel = fmax(r->max_rel, d / fabs(y));
        if (!(d <= o->atol + o->rtol * fabs(y)) || isinf(d))
            r->verdict = OUTSIDE;
        else if (r->verdict == EQUAL)
            r->verdict = WITHIN;
    }
}

static bool same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->n_dims == b->n_dims &&
           !memcmp(a->shape, b->shape, (size_t)a->n_dims * sizeof *a->shape);
}

static int compare(struct comparison *r, const struct options *o, struct err *e)
{
    r->verdict = !r->a ? ONLY_B : !r->b ? ONLY_A : SHAPE;
    if (!r->a || !r->b || !same_shape(r->a, r->b))
        return 0;
    float *a = tensor_f32(r->a, e);
    float *b = a ? tensor_f32(r->b, e) : NULL;
    if (b)
        compare_values(r, a, b, o);
    free(a);
    free(b);
    return b ? 0 : -1;
}

/* "[576, 64]", cut off if it does not fit. */
static const char *shape_text(const struct tensor *t, char *text, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < t->n_dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i ? ", " : "[",
                               (long long)t->shape[i]);
    if (at < size)
        snprintf(text + at, size - at, t->n_dims ? "]" : "[]");
    return text;
}

static void print_result(const struct comparison *r)
{
    const struct tensor *t = r->a ? r->a : r->b;
    char a[96], b[96];
    shape_text(t, a, sizeof a);
    if (r->verdict == ONLY_A || r->verdict == ONLY_B)
        printf("%-8s %s %s\n", verdict_name[r->verdict], t->name, a);
    else if (r->verdict == SHAPE)
        printf("%-8s %s %s and %s\n", "shape", t->name, a, shape_text(r->b, b, sizeof b));
    else if (r->verdict != EQUAL)
        printf("%-8s %s %s  max abs %.3g at %zu  max rel %.3g\n", verdict_name[r->verdict], t->name,
               a, r->max_abs, r->worst, r->max_rel);
}

static json_t *result_json(const struct comparison *r)
{
    json_t *j = json_pack("{s:s, s:s}", "name", (r->a ? r->a : r->b)->name, "verdict",
                          verdict_name[r->verdict]);
    if (r->verdict > OUTSIDE)
        return j;
    /* json has no infinity: null */
    json_object_set_new(j, "max_abs", isinf(r->max_abs) ? json_null() : json_real(r->max_abs));
    json_object_set_new(j, "max_rel", isinf(r->max_rel) ? json_null() : json_real(r->max_rel));
    json_object_set_new(j, "worst_index", json_integer((json_int_t)r->worst));
    return j;
}

/* The next pair of the two sorted lists: the same name, or the lesser name alone. */
static struct comparison next_pair(const struct tensor_file *a, int *i, const struct tensor_file *b,
                                   int *j)
{
    struct comparison r = {0};
    bool more_a = *i < a->n_tensors, more_b = *j < b->n_tensors;
    int c = !more_b ? -1 : !more_a ? 1 : strcmp(a->tensors[*i].name, b->tensors[*j].name);
    if (c <= 0)
        r.a = &a->tensors[(*i)++];
    if (c >= 0)
        r.b = &b->tensors[(*j)++];
    return r;
}

static int diff(const struct tensor_file *a, const struct tensor_file *b, const struct options *o,
                int count[N_VERDICTS], json_t *list, struct err *e)
{
    for (int i = 0, j = 0; i < a->n_tensors || j < b->n_tensors;) {
        struct comparison r = next_pair(a, &i, b, &j);
        if (compare(&r, o, e))
            return -1;
        count[r.verdict]++;
        if (o->json)
            json_array_append_new(list, result_json(&r));
        else
            print_result(&r);
    }
    return 0;
}

static int print_summary(const int count[N_VERDICTS], json_t *list, const struct options *o,
                         struct err *e)
{
    json_t *j = json_object();
    for (int i = 0; i < N_VERDICTS; i++) {
        if (!o->json)
            printf("%s%d %s", i ? ", " : "", count[i], verdict_name[i]);
        json_object_set_new(j, verdict_name[i], json_integer(count[i]));
    }
    json_object_set(j, "tensors", list);
    int rc = o->json ? command_print_json(j, JSON_LIKE_PYTHON, e) : 0;
    if (!o->json)
        printf("\n");
    json_decref(j);
    return rc;
}

static int run(const struct args *args, void *options, struct err *e)
{
    const struct options *o = options;
    struct tensor_file a = {0}, b = {0};
    int count[N_VERDICTS] = {0}, rc = -1;
    json_t *list = json_array();
    if (!tensor_file_open(&a, args->words[0], e) && !tensor_file_open(&b, args->words[1], e) &&
        !diff(&a, &b, o, count, list, e))
        rc = print_summary(count, list, o, e);
    json_decref(list);
    tensor_file_close(&a);
    tensor_file_close(&b);
    if (rc)
        return -1;
    bool held = !count[OUTSIDE] && !count[SHAPE] && !count[ONLY_A] && !count[ONLY_B];
    return held ? STATUS_DONE : STATUS_BOUND;
}

int cmd_diff(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "diff",
                     .usage = "A B [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 2,
                     .words_most = 2};
    return args_run(&a, argc, argv, run, &o);
}
