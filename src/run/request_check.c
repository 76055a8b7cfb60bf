/* What of a request can be told to be wrong before any work: names, roles, files and options, the
 * request before it; and the plan of the work. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "run/request_work.h"

/* --- names in bounds --- */

enum { NAMES_MOST = 600 };

/* What one name of a bound may be, for the error that it is none of them. */
struct known {
    const char *v[NAMES_MOST];
    int n;
};

static bool starts_with(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);
    return !strncmp(name, prefix, n) && name[n] == '.';
}

/* The data sets that a metric of suite i needs are given, or will be made. */
static int check_sets(const struct request_work *w, int i, const char *metric, const json_t *sets,
                      struct err *e)
{
    const struct request_part *p = &w->q->suites.v[i];
    json_t *options = request_eval_options(w->q, p, w->suites[i], request_target(w->q));
    int rc = 0;
    for (size_t k = 0; k < json_array_size(sets) && !rc; k++) {
        const char *set = json_string_value(json_array_get(sets, k));
        if (!json_is_string(json_object_get(options, set)) &&
            !(w->generic && !strcmp(set, "retain")))
            rc = err_code(e, ERR_ARGUMENT,
                          "metric '%s' of suite '%s' needs the data set '%s': name its file in "
                          "'data', or in the suite's entry",
                          metric, p->name, set);
    }
    json_decref(options);
    return rc;
}

/* The metric is of this suite: sets *there; an error if its data is not given. */
static int find_in_suite(struct request_work *w, int i, const struct expression_name *n,
                         struct known *known, bool *there, struct err *e)
{
    const struct request_part *p = &w->q->suites.v[i];
    json_t *metrics = json_object_get(w->suites[i], "metrics"), *sets;
    const bool own = starts_with(n->metric, p->as);
    const char *name, *wanted = own ? n->metric + strlen(p->as) + 1 : n->metric;
    if (!json_is_object(metrics)) { /* they depend on its data */
        *there |= own || !strchr(n->metric, '.');
        return 0;
    }
    json_object_foreach(metrics, name, sets)
    {
        if (known->n < NAMES_MOST)
            known->v[known->n++] = name;
        if (strcmp(name, wanted))
            continue;
        *there = true;
        if (check_sets(w, i, wanted, sets, e))
            return -1;
    }
    return 0;
}

static int refuse_name(const struct expression *x, const struct expression_name *n,
                       const struct known *known, struct err *e)
{
    const char *near = param_nearest(n->metric, known->v, known->n);
    struct buf some = {0};
    struct err ignored;
    if (!near)
        for (int i = 0; i < known->n && some.len < 250; i++)
            buf_printf(&some, &ignored, "%s%s", i ? ", " : "", known->v[i]);
    int rc = near ? err_code(e, ERR_ARGUMENT,
                             "bound '%.150s': no suite of the request has a metric '%.60s': did "
                             "you mean '%s'?",
                             x->text, n->metric, near)
                  : err_code(e, ERR_ARGUMENT,
                             "bound '%.100s': unknown metric '%.60s': the suites have %.260s",
                             x->text, n->metric, some.data ? some.data : "none");
    buf_fini(&some);
    return rc;
}

int request_check_name(struct request_work *w, const struct expression *x,
                       const struct expression_name *n, struct err *e)
{
    const struct request *q = w->q;
    struct known known = {.n = 0};
    bool there = starts_with(n->metric, "cost") && request_is_cost(n->metric + 5);
    if (there && n->whose != WHOSE_UNLEARNED)
        return err_code(e, ERR_ARGUMENT, "bound '%.200s': costs are of the unlearned model alone",
                        x->text);
    if (n->whose == WHOSE_RETRAINED && !q->retrained)
        return err_code(e, ERR_ARGUMENT,
                        "bound '%.200s' needs the retrained model: name it by 'retrained'",
                        x->text);
    for (int i = 0; i < q->attacks.n && !there; i++)
        there = starts_with(n->metric, q->attacks.v[i].as);
    for (int i = 0; i < q->suites.n && !there; i++)
        if (find_in_suite(w, i, n, &known, &there, e))
            return err_prefix(e, "bound '%.150s': ", x->text);
    return there ? 0 : refuse_name(x, n, &known, e);
}

/* The bound has figures of attacks, which are made at the end. */
bool request_is_late(const struct request_work *w, const struct expression *x)
{
    const struct request *q = w->q;
    bool late = false;
    for (int k = 0; k < x->n_names; k++) {
        const char *name = x->names[k].metric;
        for (int i = 0; i < q->attacks.n; i++)
            late |= starts_with(name, q->attacks.v[i].as);
        for (int i = 0; i < q->suites.n; i++)
            late |= request_is_attacks(w, i) &&
                    (starts_with(name, q->suites.v[i].as) ||
                     json_object_get(json_object_get(w->suites[i], "metrics"), name));
    }
    return late;
}

bool request_is_costly(const struct expression *x)
{
    bool costly = false;
    for (int k = 0; k < x->n_names; k++)
        costly |= starts_with(x->names[k].metric, "cost");
    return costly;
}

/* --- the request before --- */

static char *directory_of_run(const struct request *q, const struct request_hooks *h, struct err *e)
{
    char *end;
    const long run = strtol(q->after, &end, 10);
    return run > 0 && !*end ? h->ledger_out(h->ctx, run, e) : mem_strdup(q->after, e);
}

/* The card of the request before, with the chain before it. */
static int read_before(struct request *q, const struct request_hooks *h, struct err *e)
{
    if (!q->after || q->chain)
        return 0;
    char *dir = directory_of_run(q, h, e), *absolute = dir ? file_absolute(dir, e) : NULL;
    char *path = absolute ? file_join(absolute, "card.json", e) : NULL;
    json_t *card = path && file_exists(path) ? json_read_file(path, e) : NULL;
    int rc = card ? 0 : -1;
    if (path && !file_exists(path))
        err_code(e, ERR_ARGUMENT, "'after': '%s' holds no finished request (card.json)", dir);
    const char *model = json_string_value(json_object_get(card, "model"));
    if (!rc && !model)
        rc = err_code(e, ERR_BAD_FILE, "'%s' does not name its model", path);
    if (!rc) {
        q->before = file_join(absolute, model, e);
        const json_t *chain = json_object_get(card, "chain");
        q->chain = json_is_array(chain) ? json_deep_copy(chain) : json_array();
        json_t *link = json_pack("{s:s, s:O, s:O, s:O}", "out", absolute, "request",
                                 json_object_get(card, "request"), "values",
                                 json_object_get(json_object_get(card, "values"), "unlearned"),
                                 "suites", json_object_get(card, "suites"));
        rc = !q->before ? -1
             : !link || json_array_append_new(q->chain, link)
                 ? err_code(e, ERR_BAD_FILE, "'%s' is no card of a request", path)
                 : 0;
    }
    json_decref(card);
    free(path);
    free(absolute);
    free(dir);
    return rc;
}

/* --- all of it --- */

static int check_rows(const struct request *q, struct err *e)
{
    for (enum role r = 0; r < ROLE_COUNT; r++) {
        char path[512];
        const size_t n = q->data[r] ? strcspn(q->data[r], "[+") : 0;
        if (!n || n >= sizeof path)
            continue;
        snprintf(path, sizeof path, "%.*s", (int)n, q->data[r]);
        if (!file_exists(path))
            return err_code(e, ERR_NO_FILE, "'data': '%s': cannot open '%s': no such file",
                            role_name[r], path);
    }
    return 0;
}

static int check_step(struct request_work *w, const char *command, const char *word,
                      json_t *options, struct err *e)
{
    const struct request_step s = {"", command, word, options};
    int rc = options ? w->h->run(w->h->ctx, &s, "", REQUEST_CHECK, NULL, e)
                     : err_no_memory(e, "options");
    json_decref(options);
    return rc;
}

static int check_options(struct request_work *w, struct err *e)
{
    const struct request *q = w->q;
    const char *model = request_target(q);
    int rc = 0;
    for (int i = 0; i < q->suites.n && !rc; i++)
        rc = check_step(w, "eval", NULL,
                        request_eval_options(q, &q->suites.v[i], w->suites[i], model), e);
    for (int i = 0; i < q->attacks.n && !rc; i++)
        rc = w->h->attack(w->h->ctx, q->attacks.v[i].name, e) ||
             check_step(w, "attack", q->attacks.v[i].name,
                        request_attack_options(q, &q->attacks.v[i], model, model), e);
    for (int i = 0; i < request_methods(q) && !rc; i++)
        rc = check_step(w, "forget", NULL, request_method_options(q, request_method(q, i), model),
                        e);
    return rc;
}

/* A method's own epochs are within the budget. */
static int check_epochs(const struct request *q, struct err *e)
{
    for (int i = 0; i < request_methods(q) && q->budget.epochs > 0; i++) {
        json_t *options = request_method_options(q, request_method(q, i), "");
        const double epochs = json_number_value(json_object_get(options, "epochs"));
        json_decref(options);
        if (epochs > q->budget.epochs)
            return err_code(e, ERR_ARGUMENT, "'budget' allows %g epochs, and a method has %g",
                            q->budget.epochs, epochs);
    }
    return 0;
}

int request_work_open(struct request_work *w, struct request *q, const struct request_hooks *h,
                      struct err *e)
{
    *w = (struct request_work){.q = q, .h = h, .generic = request_needs_generic(q)};
    if (read_before(q, h, e) || check_rows(q, e) || check_epochs(q, e))
        return -1;
    w->suites = mem_alloc((size_t)q->suites.n, sizeof *w->suites, e);
    for (int i = 0; w->suites && i < q->suites.n; i++)
        if (!(w->suites[i] = h->suite(h->ctx, q->suites.v[i].name, e)))
            return -1;
    for (int i = 0; w->suites && i < q->n_bounds; i++)
        for (int k = 0; k < q->bounds[i].n_names; k++)
            if (request_check_name(w, &q->bounds[i], &q->bounds[i].names[k], e))
                return -1;
    return w->suites ? check_options(w, e) : -1;
}

void request_work_close(struct request_work *w)
{
    for (int i = 0; w->suites && i < w->q->suites.n; i++)
        json_decref(w->suites[i]);
    for (int i = 0; i < WHOSE_COUNT; i++)
        json_decref(w->values.of[i]);
    free(w->suites);
    free(w->generic_file);
    json_decref(w->record);
    *w = (struct request_work){.q = NULL};
}

int request_check(struct request *q, const struct request_hooks *h, struct err *e)
{
    struct request_work w;
    int rc = request_work_open(&w, q, h, e);
    request_work_close(&w);
    return rc;
}
