#include "run/influence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

/* The strategies of the factors, then those of their own. */
static const char strategies[] = "identity|diagonal|kfac|ekfac|cosine|tracin";
enum { COSINE = STRATEGY_EKFAC + 1, TRACIN };

#define OPT(f) offsetof(struct influence_options, f)
const struct param influence_params[] = {
    STRING_PARAM(struct influence_options, query, NULL, "FILE",
                 "rows whose loss is asked about: what is to be forgotten"),
    STRING_PARAM(struct influence_options, train, NULL, "FILE",
                 "training rows that are scored; the factors are of them, too"),
    CHOICE_PARAM(struct influence_options, strategy, strategies, "ekfac",
                 "B in <B^-1 gradient, gradient>: identity, the Fisher diagonal, K-FAC, EK-FAC; "
                 "cosine: of the gradients; tracin: identity, summed over checkpoints"),
    STRING_PARAM(struct influence_options, damping, "heuristic", "X",
                 "added to eigenvalues; heuristic: a tenth of their mean in each linear map"),
    STRING_PARAM(struct influence_options, labels, "sampled", "LABELS",
                 "that the factors are of: sampled (the model's, the true Fisher matrix), data "
                 "(the empirical one), or a safetensors file with I32 'labels' [rows, tokens]"),
    STRING_PARAM(struct influence_options, modules, NULL, "REGEX",
                 "weights that count: the whole name must match (default: all linear maps of the "
                 "layers)"),
    STRING_PARAM(struct influence_options, factors, NULL, "FILE",
                 "factors: read if it is there, else written"),
    STRING_PARAM(struct influence_options, checkpoints, NULL, "MODELS",
                 "of tracin: models, separated by commas (default: the model alone)"),
    REAL_PARAM(struct influence_options, memory, 0.0001, 1e6, 6,
               "GiB that factors and the gradients of queries may take: layers are taken in blocks "
               "that fit, each with its own passes over the rows"),
    BOOL_PARAM(struct influence_options, self, false, "score each training row with itself, too"),
    BOOL_PARAM(struct influence_options, per_module, false, "write the score of each linear map"),
    INT_PARAM(struct influence_options, seed, 0, UINT32_MAX, 0, "of sampled labels"),
    {"question_key", PARAM_STRING, OPT(data.question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, OPT(data.answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"chunk", PARAM_INT, OPT(data.chunk), 0, 1 << 20, NULL, "0", NULL,
     "plain texts are joined and cut into pieces of so many tokens; 0: each row is one"},
    {0},
};

/* --- options in words --- */

static int read_damping(const char *text, double *damping, struct err *e)
{
    char *end;
    *damping = -1;
    if (!strcasecmp(text, "heuristic"))
        return 0;
    *damping = strtod(text, &end);
    return *text && !*end && isfinite(*damping) && *damping >= 0
               ? 0
               : err_about(e, "damping", "damping '%s' is no number from 0 on, nor 'heuristic'",
                           text);
}

/* The labels of a file: *given is owned by the caller. */
static int read_labels(const struct influence_options *o, int rows, struct fisher_labels *l,
                       int **given, struct err *e)
{
    struct tensor_file f;
    *l = (struct fisher_labels){.drawn = !strcasecmp(o->labels, "sampled"),
                                .seed = (unsigned)o->seed};
    if (l->drawn || !strcasecmp(o->labels, "data"))
        return 0;
    if (tensor_file_open(&f, o->labels, e))
        return -1;
    const struct tensor *t = tensor_find(&f, "labels");
    int rc = 0;
    if (!t || t->n_dims != 2 || t->shape[0] < rows)
        rc = err_code(e, ERR_BAD_FILE, "'%s': no tensor 'labels' [%d, tokens]", o->labels, rows);
    else if (!(*given = tensor_ints(t, e)))
        rc = err_prefix(e, "'%s': 'labels': ", o->labels);
    else
        l->width = (int)t->shape[1];
    l->given = *given;
    tensor_file_close(&f);
    return rc;
}

/* --- the work --- */

struct work {
    struct influence *r;
    const struct influence_options *o;
    int strategy;
    double damping;
    struct fisher_labels labels;
    int *given; /* owned */
    const volatile sig_atomic_t *stop;
};

static int reserve(struct influence *r, const struct influence_options *o, int strategy, int maps,
                   struct err *e)
{
    const size_t pairs = (size_t)r->query.n * (size_t)r->train.n, n = (size_t)r->train.n;
    r->n_maps = maps;
    if (!(r->score = mem_alloc(pairs, sizeof *r->score, e)) ||
        (o->self && !(r->self = mem_alloc(n, sizeof *r->self, e))) ||
        (o->per_module && (!(r->by_map = mem_alloc((size_t)maps * pairs, sizeof *r->by_map, e)) ||
                           !(r->map = mem_alloc((size_t)maps, sizeof *r->map, e)))) ||
        (strategy == COSINE &&
         (!(r->query_square = mem_alloc((size_t)r->query.n, sizeof(double), e)) ||
          !(r->row_square = mem_alloc(n, sizeof(double), e)))))
        return -1;
    return 0;
}

/* Fits or reads the factors of the chosen block; `w`: where they are written, or NULL. */
static int make_factors(const struct work *k, struct kfac *f, struct kfac_writer *w, struct err *e)
{
    const struct dataset *t = &k->r->train;
    if (k->r->read_factors)
        return kfac_read(f, k->o->factors, e);
    for (int i = 0; i < t->n && f->strategy != STRATEGY_IDENTITY; i++)
        k->r->tokens += (f->strategy == STRATEGY_EKFAC ? 2.0 : 1.0) * t->seqs[i].n;
    return kfac_fit(f, t->seqs, t->n, &k->labels, w ? kfac_write_factors : NULL, w, e) ||
           (w && kfac_write_rest(w, f, e));
}

static int score_blocks(const struct work *k, struct kfac *f, struct kfac_writer *w, struct err *e)
{
    struct influence *r = k->r;
    struct influence_scores out = {r->score, r->self, r->by_map, r->query_square, r->row_square};
    for (int b = 0; b < f->n_blocks; b++) {
        kfac_choose(f, b);
        if (make_factors(k, f, w, e) || kfac_scores(f, r->query.seqs, r->query.n, r->train.seqs,
                                                    r->train.n, k->damping, &out, e))
            return -1;
        for (int i = 0; i < r->train.n; i++)
            r->tokens += r->train.seqs[i].n;
        for (int i = 0; i < r->query.n; i++)
            r->tokens += r->query.seqs[i].n;
    }
    return 0;
}

/* Adds the scores by one model. */
static int score_model(const struct work *k, struct model *m, struct err *e)
{
    struct influence *r = k->r;
    struct kfac f;
    struct kfac_writer *w = NULL;
    const enum strategy s = k->strategy >= COSINE ? STRATEGY_IDENTITY : (enum strategy)k->strategy;
    int rc = kfac_init(&f, m, s, k->o->modules, r->train.seqs, e) ||
             kfac_plan(&f, k->o->memory * (1 << 30), r->query.n, e) ||
             (!r->score && reserve(r, k->o, k->strategy, f.n, e));
    for (int i = 0; r->map && i < f.n && !rc; i++)
        snprintf(r->map[i], sizeof r->map[i], "%s", f.maps[i].name);
    f.stop = k->stop;
    r->blocks = f.n_blocks;
    r->read_factors = k->o->factors && s != STRATEGY_IDENTITY && file_exists(k->o->factors);
    if (!rc && k->o->factors && s != STRATEGY_IDENTITY && !r->read_factors)
        rc = (w = kfac_write_open(k->o->factors, &f, e)) ? 0 : -1;
    rc = rc || score_blocks(k, &f, w, e);
    if (w)
        rc = kfac_write_close(w, rc, e) || rc;
    kfac_fini(&f);
    return rc;
}

/* The models of a list separated by commas. */
static int score_checkpoints(const struct work *k, struct err *e)
{
    char *list = mem_strdup(k->o->checkpoints, e), *rest = list;
    int rc = list ? 0 : -1;
    for (char *name; !rc && (name = strtok_r(rest, ",", &rest));) {
        struct model m;
        if ((rc = setup_open_model(&m, name, NULL, MODEL_STORED, e)))
            break;
        if (m.cfg.vocab != k->r->s.model.cfg.vocab)
            rc = err_set(e, "checkpoint '%s' has a vocabulary of %d, the model %d", name,
                         m.cfg.vocab, k->r->s.model.cfg.vocab);
        rc = rc || score_model(k, &m, e);
        k->r->models++;
        model_close(&m);
    }
    free(list);
    return rc;
}

static void divide_by_lengths(struct influence *r)
{
    const size_t n = (size_t)r->train.n;
    for (size_t q = 0; q < (size_t)r->query.n; q++)
        for (size_t t = 0; t < n; t++) {
            const double length = sqrt(r->query_square[q] * r->row_square[t]);
            r->score[q * n + t] = length > 0 ? r->score[q * n + t] / length : 0;
        }
}

static int check_finite(const struct influence *r, struct err *e)
{
    for (int i = 0; i < r->query.n * r->train.n; i++)
        if (!isfinite(r->score[i]))
            return err_code(e, ERR_NOT_FINITE, "the score of query %d and row %d is not finite",
                            i / r->train.n, i % r->train.n);
    return 0;
}

int run_influence(struct influence *r, const struct setup_options *so,
                  const struct influence_options *o, const volatile sig_atomic_t *stop,
                  struct err *e)
{
    struct work k = {
        .r = r, .o = o, .strategy = param_choice(strategies, o->strategy), .stop = stop};
    *r = (struct influence){.models = 0};
    const double start = log_seconds();
    if (o->checkpoints && k.strategy != TRACIN)
        return err_about(e, "checkpoints", "checkpoints are of the strategy tracin, not of '%s'",
                         o->strategy);
    int rc = read_damping(o->damping, &k.damping, e) || setup_open(&r->s, so, MODEL_STORED, e) ||
             run_data_file(&r->s, &o->data, ROLE_FORGET, o->query, &r->query, e) ||
             run_data_file(&r->s, &o->data, ROLE_RETAIN, o->train, &r->train, e) ||
             read_labels(o, r->train.n, &k.labels, &k.given, e);
    if (!rc && o->checkpoints)
        rc = score_checkpoints(&k, e);
    else if (!rc)
        rc = score_model(&k, &r->s.model, e);
    r->models += !o->checkpoints;
    if (!rc && k.strategy == COSINE)
        divide_by_lengths(r);
    r->seconds = log_seconds() - start;
    free(k.given);
    return rc || check_finite(r, e);
}

void influence_fini(struct influence *r)
{
    free(r->score);
    free(r->self);
    free(r->by_map);
    free(r->query_square);
    free(r->row_square);
    free(r->map);
    dataset_fini(&r->query);
    dataset_fini(&r->train);
    setup_close(&r->s);
}
