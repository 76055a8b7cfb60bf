/* Unlearning depth score (arXiv 2605.24614): how deep in the layers the knowledge is gone. The
 * target model answers while the hidden states of one layer, at the positions that predict the
 * answer, are replaced by those of another model. Where the retrained model's states lower the
 * answer's log-probability the layer holds the knowledge; the unlearned model's should lower it as
 * much.
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sizes.h"
#include "model/states.h"

enum { TOKENS = SIZE(1024, 8) }; /* of a pass */

struct depth_params {
    double tau;
    const char *span_key;
};

static const struct param table[] = {
    REAL_PARAM(struct depth_params, tau, 0, 1000, 0.05,
               "a layer counts where the retrained model's states take more than this, in nats"),
    STRING_PARAM(struct depth_params, span_key, NULL, "KEY",
                 "field with the part of the answer that is scored, as 'entity'; else all of it"),
    {0}};

/* --- what is scored --- */

/* Leaves of a row's labels those whose tokens overlap `span`, a part of the answer's text; *found:
 * the answer has it. */
static int keep_span(struct attack_run *a, const struct seq *s, int *labels, const char *span,
                     bool *found, struct err *e)
{
    const int first = seq_prompt(s);
    struct buf text = {0};
    const size_t tokens = (size_t)(s->n - first);
    size_t *end = mem_alloc(tokens, sizeof *end, e);
    int rc = !end;
    for (int t = first; !rc && t < s->n; t++) { /* where each token ends in the text */
        buf_clear(&text);
        rc = tokenizer_decode(a->s.tokenizer, s->ids + first, (size_t)(t - first + 1), true, &text,
                              e);
        end[t - first] = text.len;
    }
    const char *at = rc || !text.data ? NULL : strstr(text.data, span);
    *found = at != NULL;
    for (int t = first; at && t < s->n; t++) {
        const size_t begin = t > first ? end[t - first - 1] : 0, from = (size_t)(at - text.data);
        if (end[t - first] <= from || begin >= from + strlen(span))
            labels[t] = LABEL_NONE;
    }
    free(end);
    buf_fini(&text);
    return rc ? -1 : 0;
}

/* The forget rows with the labels that are scored; the labels are in one pool. */
struct scored {
    struct seq *seqs; /* owned [n] */
    int *pool;        /* owned */
    int without;      /* rows that lack the span: all of their answer is scored */
};

static int open_scored(struct scored *s, struct attack_run *a, const struct depth_params *p,
                       struct err *e)
{
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    const struct rows *rows = &a->rows[ATTACK_FORGET];
    size_t tokens = 0;
    for (int i = 0; i < d->n; i++)
        tokens += (size_t)d->seqs[i].n;
    if (!(s->seqs = mem_alloc((size_t)d->n, sizeof *s->seqs, e)) ||
        !(s->pool = mem_alloc(tokens, sizeof *s->pool, e)))
        return -1;
    if (p->span_key && !a->s.tokenizer)
        return err_about(e, "forget", "a part of an answer is found in texts, not in token ids");
    int *labels = s->pool;
    for (int i = 0; i < d->n; i++) {
        const json_t *span = p->span_key ? json_object_get(rows->v[d->rows[i]], p->span_key) : NULL;
        bool found = false;
        s->seqs[i] = d->seqs[i];
        s->seqs[i].labels = labels;
        memcpy(labels, d->seqs[i].labels, (size_t)d->seqs[i].n * sizeof *labels);
        if (json_is_string(span) && *json_string_value(span) &&
            keep_span(a, &d->seqs[i], labels, json_string_value(span), &found, e))
            return -1;
        s->without += p->span_key && !found;
        labels += d->seqs[i].n;
    }
    if (s->without)
        log_warn("%d of %d rows have no '%s' within their answer: all of it is scored", s->without,
                 d->n, p->span_key);
    return 0;
}

/* --- patching --- */

struct patching {
    struct attack_run *a;
    int layers;
    double *full;  /* [rows] mean log-probability of the answer under the target */
    double *delta; /* [rows, layers] how much lower it is with the layer's states replaced */
};

/* Adds each row's mean log-probability of its labels, times `sign`, to to[stride * row]. */
static void add_means(double *to, size_t stride, double sign, const float *logp,
                      const struct label_rows *rows, const struct seq *seqs)
{
    for (int r = 0; r < rows->n; r++)
        to[stride * (size_t)rows->seq[r]] +=
            sign * (double)logp[r] / seq_labels(&seqs[rows->seq[r]]);
}

/* What the source puts into a layer. */
static int source_states(const struct patching *q, const struct states *s, int layer,
                         const struct label_rows *rows, const device float **x, struct arena *a,
                         struct err *e)
{
    struct head h;
    struct pass p;
    struct label_rows own;
    *x = states_at(s, layer);
    if (layer < s->layers || !(q->a->s.compat & COMPAT_UDS))
        return 0;
    if (states_head(&h, &p, &own, &q->a->s.model, s, layer, rows->label, true, a, e))
        return -1;
    *x = h.norm;
    return 0;
}

/* A pass of the target over the batch and its labels' log-probabilities; x NULL: nothing is
 * replaced. */
static int answer(struct patching *q, const struct batch *b, const struct label_rows *rows,
                  const device float *x, int layer, float *logp, struct arena *a, struct err *e)
{
    struct pass p;
    struct head h;
    struct model *m = &q->a->target;
    if ((x ? states_patch(&p, m, b, rows->token, rows->n, x, layer, a, e)
           : model_forward(m, b, &(struct forward){.layers = 0}, &p, a, e)) ||
        head_init(&h, &p, rows, false, a, e))
        return -1;
    head_logp(&h, logp, NULL, NULL);
    q->a->spent.forward_tokens += b->n_tokens;
    return 0;
}

static int patch_batch(struct patching *q, const struct seq *seqs, int first, int n,
                       struct arena *a, struct arena *of_layer, struct err *e)
{
    const struct model_config *c = &q->a->target.cfg;
    const size_t layers = (size_t)q->layers;
    struct batch b;
    struct label_rows rows;
    struct states source;
    float *logp;
    arena_reset(a);
    arena_reset(of_layer);
    if (batch_pack(&b, seqs, n, c->vocab, c->positions, a, e) ||
        batch_label_rows(&rows, &b, seqs, a, e) ||
        !(logp = arena_take(a, (size_t)rows.n + 1, sizeof *logp, e)) ||
        states_read(&source, &q->a->s.model, &b, rows.token, rows.n, a, e) ||
        answer(q, &b, &rows, NULL, 0, logp, of_layer, e))
        return -1;
    q->a->spent.forward_tokens += b.n_tokens;
    add_means(q->full + first, 1, 1, logp, &rows, seqs);
    for (int l = 1; l <= q->layers; l++) {
        const device float *x;
        double *delta = q->delta + (size_t)first * layers + (size_t)(l - 1);
        arena_reset(of_layer);
        if (interrupt_check(q->a->stop, e) ||
            source_states(q, &source, l, &rows, &x, of_layer, e) ||
            answer(q, &b, &rows, x, l, logp, of_layer, e))
            return -1;
        for (int i = 0; i < n; i++)
            delta[(size_t)i * layers] = q->full[first + i];
        add_means(delta, layers, -1, logp, &rows, seqs);
    }
    return 0;
}

static int patch_all(struct patching *q, const struct scored *s, int n, struct err *e)
{
    struct arena a, of_layer;
    struct progress bar;
    int rc = 0;
    arena_init(&a);
    arena_init(&of_layer);
    progress_start(&bar, "depth", n);
    for (int i = 0, count; !rc && i < n; i += count) {
        int tokens = s->seqs[i].n;
        for (count = 1; i + count < n && tokens + s->seqs[i + count].n <= TOKENS; count++)
            tokens += s->seqs[i + count].n;
        rc = patch_batch(q, s->seqs + i, i, count, &a, &of_layer, e);
        progress_step(&bar, i + count, q->a->spent.forward_tokens, NULL);
    }
    progress_end(&bar);
    arena_fini(&a);
    arena_fini(&of_layer);
    return rc;
}

/* The means over rows by layer, and each row's figures. */
static void put_deltas(const struct patching *q, int n, json_t *block)
{
    json_t *rows = json_array(), *means = json_array();
    double full = 0;
    for (int i = 0; i < n; i++) {
        json_t *row = json_object(), *delta = json_array();
        for (int l = 0; l < q->layers; l++)
            json_array_append_new(delta, json_finite(q->delta[i * q->layers + l]));
        json_put_real(row, "full", q->full[i]);
        json_object_set_new(row, "delta", delta);
        json_array_append_new(rows, row);
        full += q->full[i] / n;
    }
    for (int l = 0; l < q->layers; l++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += q->delta[i * q->layers + l];
        json_array_append_new(means, json_finite(sum / n));
    }
    json_put_real(block, "full", full);
    json_object_set_new(block, "delta", means);
    json_object_set_new(block, "rows", rows);
}

static int check_models(const struct attack_run *a, struct err *e)
{
    const struct model_config *t = &a->target.cfg, *s = &a->s.model.cfg;
    if (!a->has_target || !a->o->retrained)
        return err_about(e, a->has_target ? "retrained" : "target",
                         "the depth score needs the model before unlearning and the retrained one");
    if (t->layers != s->layers || t->width != s->width)
        return err_set(e,
                       "the target has %d layers of width %d, the %s model %d of %d: their "
                       "hidden states are not those of one architecture",
                       t->layers, t->width, attack_model_name[a->which], s->layers, s->width);
    return 0;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const int n = a->sets[ATTACK_FORGET].n;
    struct scored s = {0};
    struct patching q = {.a = a, .layers = a->target.cfg.layers};
    int rc = check_models(a, e) || open_scored(&s, a, params, e) ||
             !(q.full = mem_alloc((size_t)n, sizeof *q.full, e)) ||
             !(q.delta = mem_alloc((size_t)n * (size_t)q.layers, sizeof *q.delta, e)) ||
             patch_all(&q, &s, n, e);
    if (!rc)
        put_deltas(&q, n, block);
    free(q.full);
    free(q.delta);
    free(s.seqs);
    free(s.pool);
    return rc ? -1 : 0;
}

/* --- the score --- */

/* sum over layers where the retrained delta exceeds tau of that delta times clip(unlearned delta /
 * retrained delta, 0, 1), by the sum of those deltas; NaN: there is no such layer. */
static double row_score(const json_t *retrained, const json_t *unlearned, double tau,
                        json_t *counted)
{
    double sum = 0, weight = 0;
    for (size_t l = 0; l < json_array_size(retrained); l++) {
        const double r = json_number_value(json_array_get(retrained, l)),
                     u = json_number_value(json_array_get(unlearned, l));
        if (!(r > tau))
            continue;
        sum += r * fmin(fmax(u / r, 0), 1);
        weight += r;
        json_array_append_new(counted, json_integer((json_int_t)l));
    }
    return sum / weight;
}

static int summarise(json_t *all, const void *params, struct err *e)
{
    json_t *u = json_object_get(json_object_get(all, "unlearned"), "rows"),
           *r = json_object_get(json_object_get(all, "retrained"), "rows");
    const double tau = ((const struct depth_params *)params)->tau;
    json_t *summary = json_object(), *rows = json_array();
    double mean = 0;
    int scored = 0;
    (void)e;
    for (size_t i = 0; i < json_array_size(u); i++) {
        const json_t *own = json_array_get(u, i);
        json_t *delta = json_object_get(own, "delta"),
               *control = json_object_get(json_array_get(r, i), "delta");
        json_t *row = json_object(), *layers = json_array();
        const double score = row_score(control, delta, tau, layers);
        json_object_set(row, "full", json_object_get(own, "full"));
        json_object_set(row, "delta_retain", control);
        json_object_set(row, "delta_unlearned", delta);
        json_object_set_new(row, "ft_layers", layers);
        json_put_real(row, "uds", score);
        json_array_append_new(rows, row);
        scored += !isnan(score);
        mean += isnan(score) ? 0 : score;
    }
    json_put_real(summary, "mean", mean / scored);
    json_object_set_new(summary, "skipped",
                        json_integer((json_int_t)json_array_size(rows) - scored));
    json_object_set_new(summary, "rows", rows);
    json_object_set_new(all, "summary", summary);
    return 0;
}

const struct attack attack_depth = {
    .name = "depth",
    .params = table,
    .params_size = sizeof(struct depth_params),
    .help = "unlearning depth score: patch the target with each model's hidden states",
    .paper = "arXiv 2605.24614",
    .touches = "hidden states",
    .access = "white, and the target",
    .verified = "PyTorch, the released code",
    .compares = true,
    .run = run,
    .summarise = summarise,
};
