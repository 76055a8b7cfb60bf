/* unlearn probe --lens, --input-grad and --linear: hidden states under the model's own head,
 * gradients of input embeddings, and a linear probe on given features. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/probe.h"
#include "data/splice.h"
#include "eval/lens.h"
#include "eval/logistic.h"
#include "objectives/terms.h"
#include "tensor/file.h"
#include "train/perturb.h"

int probe_write(const struct probe_tensor *v, int n, const char *path, struct err *e)
{
    struct tensor_out *o = tensor_out_open(path, e);
    int rc = !o;
    for (int i = 0; !rc && i < n; i++)
        rc = tensor_out_add(o, v[i].name, v[i].dtype, v[i].n_dims, v[i].shape, e);
    for (int i = 0; !rc && i < n; i++)
        rc = tensor_out_write_raw(o, v[i].data, e);
    if (!rc)
        return tensor_out_commit(o, e);
    tensor_out_abort(o);
    return -1;
}

int probe_open(struct probe_given *g, const struct setup_options *so, const struct probe_options *o,
               enum role role, bool labelled, struct err *e)
{
    struct tensor_file f = {0};
    bool there = false;
    if (!o->batch)
        return err_set(e, "no batch given: use --batch FILE");
    int rc = setup_open(&g->s, so, MODEL_READ, e) || tensor_file_open(&f, o->batch, e) ||
             dataset_from_tensors(&g->d, role, &f, 0, &there, e);
    if (!rc && (!there || (labelled && !g->d.n_labels)))
        rc = err_set(e, "'%s' has no '%s.input_ids'%s", o->batch, role_name[role],
                     labelled ? " with labels" : "");
    tensor_file_close(&f);
    return rc ? -1 : 0;
}

void probe_close(struct probe_given *g)
{
    dataset_fini(&g->d);
    setup_close(&g->s);
}

/* --- the lens --- */

static int write_lens(const struct lens *l, const char *path, struct err *e)
{
    const struct {
        const char *name;
        enum dtype dtype;
        const void *v; /* [L+1,n] of 4 bytes each */
    } part[] = {{"label_logprob", DT_F32, l->logp},
                {"top1", DT_I32, l->best},
                {"rank", DT_I32, l->rank},
                {"entropy", DT_F32, l->entropy},
                {"kl_final_lens", DT_F32, l->kl},
                {"top1_margin", DT_F32, l->margin},
                {"raw.label_logprob", DT_F32, l->raw_logp}};
    const int parts = sizeof part / sizeof *part;
    struct probe_tensor *out = mem_alloc((size_t)(1 + parts * (l->layers + 1)), sizeof *out, e);
    if (!out)
        return -1;
    int n = 0;
    out[n++] = (struct probe_tensor){"labels", DT_I32, {l->n}, 1, l->label};
    for (int layer = 0; layer <= l->layers; layer++)
        for (int k = 0; k < parts; k++) {
            struct probe_tensor *o = &out[n++];
            *o = (struct probe_tensor){"",
                                       part[k].dtype,
                                       {l->n},
                                       1,
                                       (const float *)part[k].v + (size_t)layer * (size_t)l->n};
            snprintf(o->name, sizeof o->name, "%s.%d", part[k].name, layer);
        }
    const int rc = probe_write(out, n, path, e);
    free(out);
    return rc;
}

static void print_lens(const struct lens *l)
{
    printf("%5s  %9s  %9s  %9s  %9s\n", "layer", "nll", "rank", "entropy", "kl");
    for (int layer = 0; layer <= l->layers; layer++) {
        double nll = 0, rank = 0, entropy = 0, kl = 0;
        for (int i = 0; i < l->n; i++) {
            const size_t at = (size_t)layer * (size_t)l->n + (size_t)i;
            nll -= (double)l->logp[at] / l->n;
            rank += (double)l->rank[at] / l->n;
            entropy += (double)l->entropy[at] / l->n;
            kl += (double)l->kl[at] / l->n;
        }
        printf("%5d  %9.4g  %9.4g  %9.4g  %9.4g\n", layer, nll, rank, entropy, kl);
    }
}

int probe_lens(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    struct probe_given g = {0};
    struct lens l = {0};
    int rc = probe_open(&g, so, o, ROLE_FORGET, true, e) ||
             lens_read(&l, &g.s.model, g.d.seqs, g.d.n, &(struct lens_options){.raw = true}, e) ||
             write_lens(&l, o->out, e);
    if (!rc)
        print_lens(&l);
    lens_fini(&l);
    probe_close(&g);
    return rc ? -1 : 0;
}

/* --- the gradient of the input --- */

/* The loss of all rows in one pass, and its derivative [tokens,C] into p->d. */
static int differentiate(struct model *m, const struct dataset *d, struct perturb *p, double *loss,
                         struct arena *a, struct err *e)
{
    const struct objective nll = {
        .term = &term_nll, .role = {ROLE_FORGET}, .weight = 1, .goal = GOAL_FORGET};
    struct micro mb = {.rows = {NULL}};
    const struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
    const struct latent at = {.place = PLACE_EMBED};
    struct engine engine;
    struct norm norm;
    struct micro_result res = {0};
    size_t tokens = 0;
    int *rows = arena_zeros(a, (size_t)d->n, sizeof *rows, e);
    for (int i = 0; rows && i < d->n; i++) {
        rows[i] = i;
        tokens += (size_t)d->seqs[i].n;
    }
    mb.rows[ROLE_FORGET] = rows;
    mb.n[ROLE_FORGET] = d->n;
    engine_init(&engine, m);
    engine.frozen = engine.measuring = true;
    engine.sets[ROLE_FORGET] = d;
    int rc = !rows || perturb_init(p, m, &at, tokens, a, e) || engine_add(&engine, &nll, e);
    if (!rc) {
        engine.latent = &p->at;
        engine_count(&engine, &order, 0, 1, &norm);
        rc = engine_micro(&engine, &mb, &norm, &res, e);
    }
    *loss = res.loss[0];
    engine_fini(&engine);
    return rc;
}

/* The tensors, of packed d [tokens,C]: rows of a batch are padded with zeros. */
static int write_input(const struct model *m, const struct dataset *d, const struct perturb *p,
                       double loss, const char *path, struct arena *a, struct err *e)
{
    const size_t width = (size_t)m->cfg.width, vocab = (size_t)m->cfg.vocab, n = (size_t)d->n;
    size_t longest = 0;
    for (size_t i = 0; i < n; i++)
        longest = (size_t)d->seqs[i].n > longest ? (size_t)d->seqs[i].n : longest;
    float *embed = arena_zeros(a, n * longest * width, sizeof *embed, e), value = (float)loss;
    device float *onehot = m->ops->take(a, n * longest * vocab + 1, e);
    struct probe_tensor *out = arena_zeros(a, n + 2, sizeof *out, e);
    if (!embed || !onehot || !out)
        return -1;
    m->ops->fill(onehot, 0, n * longest * vocab);
    const device float *from = p->d;
    for (size_t i = 0; i < n; from += (size_t)d->seqs[i++].n * width) {
        const int t = d->seqs[i].n;
        ops_read(m->ops, embed + i * longest * width, from, (size_t)t * width);
        m->ops->linear(onehot + i * longest * vocab, from, model_weight(m, W_EMBED, -1), t,
                       (int)width, (int)vocab, 0);
    }
    const float *rows = m->ops->map_read(onehot, n * longest * vocab);
    const int64_t t = (int64_t)longest;
    out[0] = (struct probe_tensor){"loss", DT_F32, {1}, 1, &value};
    out[1] = (struct probe_tensor){"grad_embed", DT_F32, {d->n, t, (int64_t)width}, 3, embed};
    for (size_t i = 0; i < n; i++) {
        out[2 + i] =
            (struct probe_tensor){"", DT_F32, {t, (int64_t)vocab}, 2, rows + i * longest * vocab};
        snprintf(out[2 + i].name, sizeof out->name, "grad_onehot_row%zu", i);
    }
    const int rc = probe_write(out, d->n + 2, path, e);
    m->ops->unmap(onehot);
    return rc;
}

int probe_input(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    const enum role role = role_by_name(o->role);
    struct probe_given g = {0};
    struct perturb p;
    struct arena a = {0};
    double loss;
    if (role == ROLE_COUNT)
        return err_set(e, "unknown role '%s'", o->role);
    int rc = probe_open(&g, so, o, role, true, e) ||
             differentiate(&g.s.model, &g.d, &p, &loss, &a, e) ||
             write_input(&g.s.model, &g.d, &p, loss, o->out, &a, e);
    if (!rc)
        printf("loss %.9g\n", loss);
    arena_fini(&a);
    probe_close(&g);
    return rc ? -1 : 0;
}

/* --- the linear probe --- */

/* Features and labels of a file. */
struct sample_of {
    float *x;   /* owned [n,width] */
    int *label; /* owned [n] */
    int n, width, train;
};

static int read_labels(struct sample_of *s, const struct tensor_file *f, int classes, struct err *e)
{
    char name[24];
    snprintf(name, sizeof name, "y%d", classes);
    const struct tensor *y = tensor_find(f, name);
    y = y ? y : tensor_find(f, "y");
    if (!y || y->count != (size_t)s->n)
        return err_set(e, "there are no labels 'y' or '%s' for the %d rows of 'X'", name, s->n);
    if (!(s->label = tensor_ints(y, e)))
        return -1;
    for (int i = 0; i < s->n; i++)
        if (s->label[i] < 0 || s->label[i] >= classes)
            return err_set(e, "label %d of row %d is not from 0 to %d", s->label[i], i,
                           classes - 1);
    return 0;
}

static int read_sample(struct sample_of *s, const struct probe_options *o, struct err *e)
{
    struct tensor_file f;
    if (tensor_file_open(&f, o->linear, e))
        return -1;
    const struct tensor *x = tensor_find(&f, "X");
    int rc = 0;
    if (!x || x->n_dims != 2 || x->shape[0] < 2 || x->shape[1] < 1 || x->count > INT32_MAX)
        rc = err_set(e, "'X' must be a matrix of rows of features");
    if (!rc) {
        s->n = (int)x->shape[0];
        s->width = (int)x->shape[1];
        s->train = o->train ? (int)o->train : s->n / 2;
        rc = s->train >= s->n
                 ? err_set(e, "%d rows to train on leave none of %d to test", s->train, s->n)
                 : !(s->x = tensor_f32(x, e)) || read_labels(s, &f, (int)o->classes, e);
    }
    tensor_file_close(&f);
    return rc ? err_prefix(e, "'%s': ", o->linear) : 0;
}

/* Accuracy on rows first..end-1, whose probabilities go to proba, if that is there. */
static double accuracy_of(const struct logistic *l, const struct sample_of *s, int first, int end,
                          double *p, float *proba)
{
    int right = 0;
    for (int i = first; i < end; i++) {
        right += logistic_predict(l, s->x + (size_t)i * (size_t)s->width, p) == s->label[i];
        for (int k = 0; proba && k < l->classes; k++)
            proba[(size_t)(i - first) * (size_t)l->classes + (size_t)k] = (float)p[k];
    }
    return (double)right / (end - first);
}

static int write_probe(const struct logistic *l, const float *proba, int tests, const char *path,
                       struct err *e)
{
    const size_t weights = (size_t)l->vectors * (size_t)l->width,
                 all = weights + (size_t)l->vectors;
    float *f = mem_alloc(all, sizeof *f, e);
    if (!f)
        return -1;
    for (size_t i = 0; i < all; i++)
        f[i] = (float)l->coef[i];
    const struct probe_tensor out[] = {{"coef", DT_F32, {l->vectors, l->width}, 2, f},
                                       {"intercept", DT_F32, {l->vectors}, 1, f + weights},
                                       {"test_proba", DT_F32, {tests, l->classes}, 2, proba}};
    const int rc = probe_write(out, 3, path, e);
    free(f);
    return rc;
}

int probe_linear(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    const struct logistic_options how = {o->c, 1e-10, 10000};
    const int classes = (int)o->classes;
    struct sample_of s = {0};
    struct logistic l = {0};
    (void)so;
    int rc =
        read_sample(&s, o, e) || logistic_fit(&l, s.x, s.label, s.train, s.width, classes, &how, e);
    const int tests = s.n - s.train;
    double *p = rc ? NULL : mem_alloc((size_t)classes, sizeof *p, e);
    float *proba = p ? mem_alloc((size_t)tests * (size_t)classes, sizeof *proba, e) : NULL;
    if (proba) {
        const double train = accuracy_of(&l, &s, 0, s.train, p, NULL);
        const double test = accuracy_of(&l, &s, s.train, s.n, p, proba);
        rc = write_probe(&l, proba, tests, o->out, e);
        if (!rc)
            printf("train_accuracy %.9g\ntest_accuracy %.9g\nobjective %.12g\niterations %d%s\n",
                   train, test, l.objective, l.iterations, l.converged ? "" : ", not converged");
    }
    rc = rc || !proba;
    free(proba);
    free(p);
    free(s.x);
    free(s.label);
    logistic_fini(&l);
    return rc ? -1 : 0;
}
