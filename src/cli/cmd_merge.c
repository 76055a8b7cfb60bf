/* unlearn merge: arithmetic on the weights of models and adapters. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "cli/start.h"
#include "run/merge.h"

struct options {
    struct merge_options merge;
    const char *method, *add, *adapter, *into;
    bool list, markdown, json;
    struct recording_options record;
};

#define IN_MERGE(f) offsetof(struct options, merge.f)
static const struct param params[] = {
    STRING_PARAM(struct options, method, NULL, "NAME",
                 "how the vectors are combined: --list shows the methods"),
    {"base", PARAM_STRING, IN_MERGE(base), 0, 0, NULL, NULL, "MODEL",
     "the model that the others were trained from; without it the start"},
    {"model", PARAM_STRING, IN_MERGE(start), 0, 0, NULL, NULL, "MODEL",
     "the model that is changed; without it the base"},
    STRING_PARAM(struct options, add, NULL, "MODEL[:W]",
                 "a model whose difference from the base is used, with a weight (1); again for "
                 "each, or several separated by commas"),
    STRING_PARAM(struct options, adapter, NULL, "DIR[:W]", "a PEFT adapter on the base, likewise"),
    {"lambda", PARAM_REAL, IN_MERGE(lambda), -1e6, 1e6, NULL, "1", NULL,
     "scale of the combined vector; below 0 turns its direction"},
    {"lambdas", PARAM_STRING, IN_MERGE(lambdas), 0, 0, NULL, NULL, "LIST",
     "choose lambda from 0.5,1,2 ...: the lowest token accuracy on --forget, among those that keep "
     "the share --keep of it on --retain"},
    {"forget", PARAM_STRING, IN_MERGE(data.files[ROLE_FORGET]), 0, 0, NULL, NULL, "FILE",
     "of --lambdas: held-out rows of what is to be forgotten"},
    {"retain", PARAM_STRING, IN_MERGE(data.files[ROLE_RETAIN]), 0, 0, NULL, NULL, "FILE",
     "of --lambdas: held-out rows of what is to be kept"},
    {"keep", PARAM_REAL, IN_MERGE(keep), 0, 1, NULL, "0.95", NULL,
     "share of the accuracy on --retain that is kept"},
    {"question_key", PARAM_STRING, IN_MERGE(data.question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, IN_MERGE(data.answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    CHOICE_PARAM(struct options, into, "auto|weights|adapter", "auto",
                 "a whole model, or a PEFT adapter on it; auto: an adapter by svd, cat and pem"),
    {"rank", PARAM_INT, IN_MERGE(rank), 1, 65536, NULL, "16", NULL,
     "of an adapter: the vector is truncated to it, but by cat and pem, which are exact"},
    {"mask", PARAM_STRING, IN_MERGE(masks), 0, 0, NULL, NULL, "FILE,FILE",
     "of dare: what is kept of each vector, instead of a draw"},
    {"save_vector", PARAM_STRING, IN_MERGE(vector), 0, 0, NULL, NULL, "FILE",
     "the combined vector, unscaled, as safetensors"},
    {"dtype", PARAM_CHOICE, IN_MERGE(dtype), 0, 0, "f32|bf16|f16", "f32", NULL,
     "storage type of a model"},
    {"seed", PARAM_INT, IN_MERGE(seed), 0, UINT32_MAX, NULL, "0", NULL, "of what is drawn"},
    {"threads", PARAM_INT, IN_MERGE(setup.threads), 0, 4096, NULL, "0", NULL, "0: all processors"},
    {"out", PARAM_STRING, IN_MERGE(data.out), 0, 0, NULL, NULL, "DIR", "the result"},
    {"overwrite", PARAM_BOOL, IN_MERGE(data.overwrite), 0, 0, NULL, "false", NULL,
     "replace what is in --out"},
    BOOL_PARAM(struct options, json, false, "print the figures as JSON"),
    BOOL_PARAM(struct options, list, false, "print the methods"),
    BOOL_PARAM(struct options, markdown, false, "of --list: the table of doc/arithmetic.md"),
    {0}};

static const char about[] =
    "Combines task vectors, the differences of fine-tuned models from their base, or adapters, and "
    "writes the model\n"
    "that they lead to. To unlearn, subtract the vector of a model trained on what is to be "
    "forgotten:\n"
    "\n"
    "    unlearn merge --base target --add overfitted --method negate --lambda 0.8 --out "
    "unlearned\n"
    "\n"
    "Weights are read and written one at a time, whatever the number of models. Prints the length "
    "of each vector, the\n"
    "share of its elements that are exactly 0, and the cosines between them.\n";

/* --- the list --- */

static const char *text_of(const char *s)
{
    return s ? s : "";
}

static void print_list(bool markdown)
{
    if (markdown)
        printf("| method | what it does | paper | verified against |\n|---|---|---|---|\n");
    for (int i = 0; merge_rules[i]; i++) {
        const struct merge_rule *r = merge_rules[i];
        if (markdown)
            printf("| %s | %s | %s | %s |\n", r->name, r->help, text_of(r->paper), r->verified);
        else
            printf("%-10s  %s%s%s\n", r->name, r->help, r->paper ? "; " : "", text_of(r->paper));
    }
}

/* --- the sources --- */

struct sources {
    struct merge_names *v; /* owned, with their names */
    size_t cap;
    int n;
};

/* "MODEL" or "MODEL:W"; what follows the last colon is a name's part unless it is a number. */
static int add_source(struct sources *s, const char *text, bool is_adapter, struct err *e)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    double weight = colon ? strtod(colon + 1, &end) : 1;
    const bool weighted = colon && end > colon + 1 && !*end;
    if (weighted && (!isfinite(weight) || weight == 0))
        return err_set(e, "the weight of '%s' is no finite number other than 0", text);
    if (mem_reserve(&s->v, &s->cap, (size_t)s->n + 1, sizeof *s->v, e))
        return -1;
    char *name = weighted ? mem_strndup(text, (size_t)(colon - text), e) : mem_strdup(text, e);
    if (!name)
        return -1;
    s->v[s->n++] = (struct merge_names){name, weighted ? weight : 1, is_adapter};
    return 0;
}

/* A list of them, separated by commas. */
static int add_list(struct sources *s, const char *list, bool is_adapter, struct err *e)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char *one = mem_strndup(at, strcspn(at, ","), e);
        int rc = one ? add_source(s, one, is_adapter, e) : -1;
        free(one);
        if (rc)
            return -1;
    }
    return 0;
}

/* Each --add and --adapter of the command line in its order; of a recipe first those to add. */
static int find_sources(struct sources *s, const struct args *a, const struct options *o,
                        struct err *e)
{
    bool given[2] = {false};
    for (size_t i = 0; i < a->n_settings; i++) {
        const bool is_adapter = !strcmp(a->settings[i].name, "adapter");
        if (!is_adapter && strcmp(a->settings[i].name, "add"))
            continue;
        given[is_adapter] = true;
        if (add_list(s, a->settings[i].text, is_adapter, e))
            return -1;
    }
    return (o->add && !given[0] && add_list(s, o->add, false, e)) ||
                   (o->adapter && !given[1] && add_list(s, o->adapter, true, e))
               ? -1
               : 0;
}

static void sources_fini(struct sources *s)
{
    for (int i = 0; i < s->n; i++)
        free((char *)s->v[i].name);
    free(s->v);
}

/* --- the figures --- */

static double share(size_t n, size_t all)
{
    return all ? (double)n / (double)all : 0;
}

static void print_text(const struct merge_result *r, const struct options *o)
{
    const struct merging *g = &r->g;
    const size_t all = model_n_params(&g->base);
    for (int k = 0; k < g->n; k++) {
        printf("%s: weight %g, length %.6g, %.4g %% zeros", g->v[k].name, g->v[k].weight,
               merging_length(g, k), 100 * share(g->v[k].zeros, all));
        for (int b = 0; b < k; b++)
            if (isfinite(merging_cosine(g, k, b)))
                printf(", cosine with %s %.4f", g->v[b].name, merging_cosine(g, k, b));
        putchar('\n');
    }
    for (int i = 0; i < r->n_tries; i++) {
        const struct merge_try *t = &r->tries[i];
        printf("lambda %-8g accuracy forget %.4f", t->lambda, t->forget);
        if (isfinite(t->retain))
            printf("  retain %.4f", t->retain);
        printf("%s\n", t->lambda == g->lambda ? "  chosen" : i ? "" : "  (the start)");
    }
    printf("%s: %.4g %% of the weights are moved, vector's length %.6g, lambda %g -> %s\n",
           choice_name(g->rule), 100 * share(g->moved, g->count), sqrt(g->squares), g->lambda,
           o->merge.data.out);
    const struct low_rank_facts *f = &r->low_rank;
    if (f->pairs)
        printf("adapter: %d matrices, relative error %.4g; %.4g %% of the vector's squared length "
               "is in other weights, and left out\n",
               f->pairs, sqrt(f->left / f->squares), 100 * f->others / (f->others + f->squares));
}

static json_t *source_json(const struct merging *g, int k)
{
    const struct merge_source *s = &g->v[k];
    json_t *cosines = json_array();
    for (int b = 0; b < k; b++)
        json_array_append_new(cosines, json_finite(merging_cosine(g, k, b)));
    return json_pack("{s:s, s:f, s:f, s:f, s:o}", "name", s->name, "weight", s->weight, "length",
                     merging_length(g, k), "zeros", share(s->zeros, model_n_params(&g->base)),
                     "cosines", cosines);
}

static int print_json(const struct merge_result *r, const struct options *o, struct err *e)
{
    const struct merging *g = &r->g;
    const struct low_rank_facts *f = &r->low_rank;
    json_t *sources = json_array(), *tries = json_array();
    for (int k = 0; k < g->n; k++)
        json_array_append_new(sources, source_json(g, k));
    for (int i = 0; i < r->n_tries; i++) {
        const struct merge_try *t = &r->tries[i];
        json_array_append_new(tries, json_pack("{s:f, s:f, s:o}", "lambda", t->lambda, "forget",
                                               t->forget, "retain", json_finite(t->retain)));
    }
    json_t *j =
        json_pack("{s:s, s:o, s:o, s:f, s:f, s:f, s:s}", "method", choice_name(g->rule), "sources",
                  sources, "tries", tries, "lambda", g->lambda, "moved", share(g->moved, g->count),
                  "length", sqrt(g->squares), "out", o->merge.data.out);
    if (j && f->pairs)
        json_object_set_new(j, "adapter",
                            json_pack("{s:i, s:f, s:f}", "matrices", f->pairs, "relative_error",
                                      sqrt(f->left / f->squares), "left_out",
                                      f->others / (f->others + f->squares)));
    int rc = j ? command_print_json(j, JSON_INDENT(1), e) : err_no_memory(e, "result");
    json_decref(j);
    return rc;
}

/* All of one kind as one option has them, for the ledger's recipe; NULL: there are none. */
static int list_sources(const struct sources *s, bool are_adapters, struct buf *out, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < s->n && !rc; i++)
        if (s->v[i].is_adapter == are_adapters)
            rc =
                buf_printf(out, e, "%s%s:%.17g", out->len ? "," : "", s->v[i].name, s->v[i].weight);
    return rc;
}

/* --- the work --- */

/* Refuses outputs that are inputs; the inputs go to the ledger. */
static int check_out(const struct merge_options *o, const struct sources *s,
                     struct recording *record, struct err *e)
{
    struct inputs in = {0};
    int rc = setup_add_input(&in, o->base, e) || setup_add_input(&in, o->start, e) ||
             inputs_add_rows(&in, o->data.files[ROLE_FORGET], e) ||
             inputs_add_rows(&in, o->data.files[ROLE_RETAIN], e);
    for (int i = 0; i < s->n && !rc; i++)
        rc = s->v[i].is_adapter ? inputs_add_model(&in, s->v[i].name, e)
                                : setup_add_input(&in, s->v[i].name, e);
    rc = rc || inputs_keep(&in, o->data.out, e) ||
         (o->vector && inputs_claim_file(&in, o->vector, o->data.overwrite, e)) ||
         recording_inputs(record, &in, e);
    inputs_fini(&in);
    return rc ? -1 : 0;
}

static int work(struct options *o, const struct choice *rule, const struct sources *s,
                struct recording *record, struct err *e)
{
    const struct merge_options *m = &o->merge;
    struct merge_result r = {.n_tries = 0};
    struct outdir d = {0};
    int rc = check_out(m, s, record, e) ||
             outdir_open(&d, m->data.out, m->data.overwrite ? OUTDIR_REPLACE : OUTDIR_EMPTY, e) ||
             run_merge(&r, m, rule, s->v, s->n, &d,
                       interrupt_catch("\ninterrupted: the current weight is finished; nothing is "
                                       "written\n"),
                       e);
    if (!rc)
        rc = o->json ? print_json(&r, o, e) : (print_text(&r, o), 0);
    outdir_close(&d, rc != 0);
    merge_result_fini(&r);
    return rc ? -1 : 0;
}

/* The options --add and --adapter become lists of all that were given, so that the ledger's recipe
 * has them. */
static int run(const struct args *a, struct options *o, const struct choice *rule,
               const struct sources *s, struct err *e)
{
    struct buf add = {0}, adapter = {0};
    struct recording record = {.why_not = {.msg = ""}};
    int rc = list_sources(s, false, &add, e) || list_sources(s, true, &adapter, e);
    o->add = add.data;
    o->adapter = adapter.data;
    rc = rc || recording_begin(&record, a, &o->record, e);
    if (!rc) {
        rc = work(o, rule, s, &record, e);
        recording_end(&record, rc ? e : NULL);
    }
    buf_fini(&add);
    buf_fini(&adapter);
    return rc;
}

/* What the tables cannot tell. */
static int check(struct options *o, const struct merge_rule *rule, struct err *e)
{
    struct merge_options *m = &o->merge;
    m->into_adapter = !strcmp(o->into, "adapter") ||
                      (!strcmp(o->into, "auto") && (rule->stacks || !strcmp(rule->name, "svd")));
    if (!m->base) {
        m->base = m->start;
        m->start = NULL;
    }
    if (!m->base)
        return err_set(e, "no model given: use --base MODEL or --model MODEL");
    if (!m->data.out)
        return err_about(e, "no_out", "no output given");
    if (m->lambda == 0)
        return err_set(e, "--lambda 0 changes nothing");
    if (m->vector && m->into_adapter)
        return err_set(e, "--save-vector is of a model: give --into weights");
    if (m->masks && strncmp(rule->name, "dare", 4))
        return err_set(e, "--mask is of dare and dare_ties");
    return 0;
}

static int merge(struct args *a, struct options *o)
{
    struct err e = {.msg = ""};
    struct choice rule = {0};
    struct sources s = {0};
    const void *row = NULL;
    int status = ARGS_GO;
    if (o->method && (!(row = table_find(merge_rules, "method", o->method, &e)) ||
                      choice_init(&rule, row, NULL, &e)))
        status = args_usage(a, &e);
    if (status == ARGS_GO && choice_params(&rule))
        status = args_take(a, choice_name(&rule), choice_params(&rule), rule.params);
    if (status == ARGS_GO)
        status = args_finish(a);
    if (status == ARGS_GO && !row) {
        err_set(&e, "no method given: use --method NAME; --list shows all");
        status = args_usage(a, &e);
    }
    if (status == ARGS_GO && (check(o, row, &e) || find_sources(&s, a, o, &e)))
        status = args_usage(a, &e);
    if (status == ARGS_GO) {
        if (o->merge.setup.threads > 0)
            ops_set_threads((int)o->merge.setup.threads);
        status = run(a, o, &rule, &s, &e) ? args_fail(a, &e) : STATUS_DONE;
    }
    sources_fini(&s);
    choice_fini(&rule);
    return status;
}

int cmd_merge(int argc, char **argv)
{
    struct options o = {.method = NULL};
    struct args a = {.command = "merge",
                     .usage = "--base MODEL --add MODEL[:W] ... --method NAME --out DIR [options]",
                     .about = about,
                     .tables = {{"options", params, &o},
                                {"ledger", recording_params, &o.record},
                                {"conversations", chat_params, &o.merge.setup.chat}},
                     .open = true};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && o.list && !a.help) {
        print_list(o.markdown);
        status = STATUS_DONE;
    } else if (status == ARGS_GO) {
        status = merge(&a, &o);
    }
    args_fini(&a);
    return status;
}
