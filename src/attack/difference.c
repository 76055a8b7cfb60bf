/* The differencing attack: what the two models before and after unlearning leak together (arXiv
 * 2505.24379). A row whose log-probability fell is one that was unlearned, and guiding the model
 * before away from the model after brings the answers out. Under exact unlearning, the retrained
 * model's block, it leaks most. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sizes.h"
#include "eval/stats.h"
#include "model/head.h"
#include "model/score.h"

enum { TOKENS = SIZE(1024, 8) /* of a pass */, MOST_WEIGHTS = 16 };

struct difference_params {
    const char *weights;
    double filter;
};

static const struct param table[] = {
    STRING_PARAM(struct difference_params, weights, "0,0.5,1,2", "LIST",
                 "guidance w: log-probabilities before + w (before - after)"),
    REAL_PARAM(
        struct difference_params, filter, 0, 1, 0.1,
        "tokens below this share of the likeliest one's probability before are never chosen"),
    {0}};

/* --- who was unlearned --- */

/* How far the mean log-probability of each row's labels fell, drop [n]. */
static int measure_drops(struct attack_run *a, const struct dataset *d, double *drop, struct err *e)
{
    struct divergence *far = mem_alloc((size_t)d->n, sizeof *far, e);
    const struct divergence_options how = {.interrupt = a->stop};
    const int rc =
        !far || model_divergence(far, &a->s.model, &a->target, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++) {
        drop[i] = (far[i].nll - far[i].other_nll) / far[i].n;
        a->spent.forward_tokens += 2.0 * d->seqs[i].n;
    }
    free(far);
    return rc;
}

static int put_drops(struct attack_run *a, json_t *block, struct err *e)
{
    double *drop[ATTACK_SETS] = {NULL};
    int rc = 0;
    for (int set = 0; !rc && set < ATTACK_SETS; set++) {
        const struct dataset *d = &a->sets[set];
        if (!d->n)
            continue;
        json_t *to = json_object();
        json_object_set_new(block, attack_set_name[set], to);
        rc = !(drop[set] = mem_alloc((size_t)d->n, sizeof(double), e)) ||
             measure_drops(a, d, drop[set], e);
        if (rc)
            break;
        json_put_real(to, "drop", stats_mean(drop[set], d->n));
        if (set != ATTACK_FORGET)
            rc = attack_put_auc(to, drop[ATTACK_FORGET], a->sets[ATTACK_FORGET].n, drop[set], d->n,
                                e);
    }
    for (int set = 0; set < ATTACK_SETS; set++)
        free(drop[set]);
    return rc;
}

/* --- what was unlearned --- */

/* Of one weight, sums over the forget rows. */
struct guided {
    double weight;
    double nll, hits, labels; /* over labels */
    double prob, exact;       /* over rows */
};

/* Of one label: the guided distribution's log-probability of it, and whether it is its first choice
 * among the tokens that are not filtered. */
struct guess {
    double logp;
    bool hit;
};

static struct guess guess_token(const float *before, const float *after, int vocab, int label,
                                double weight, double floor)
{
    double top = -INFINITY, sum = 0, first = -INFINITY;
    float likeliest = before[0];
    int best = 0;
    for (int v = 1; v < vocab; v++)
        likeliest = fmaxf(likeliest, before[v]);
    for (int v = 0; v < vocab; v++) {
        const double z = (double)before[v] + weight * ((double)before[v] - (double)after[v]);
        if (z > top) {
            sum *= exp(top - z);
            top = z;
        }
        sum += exp(z - top);
        if (z > first && (double)before[v] - (double)likeliest >= floor) {
            first = z;
            best = v;
        }
    }
    const double own =
        (double)before[label] + weight * ((double)before[label] - (double)after[label]);
    return (struct guess){own - top - log(sum), best == label};
}

/* The figures of one pass, row after row of its sequences. */
struct guiding {
    struct attack_run *a;
    struct guided *g; /* [n] */
    int n;
    double floor; /* of a logit below the largest one */
};

static void add_block(struct guiding *q, struct head *before, struct head *after, int first,
                      struct guess *out, int *n)
{
    const struct ops *o = q->a->s.model.ops;
    const int vocab = q->a->s.model.cfg.vocab;
    const device float *zb = head_logits(before, first, n), *za = head_logits(after, first, n);
    const float *b = o->map_read(zb, (size_t)*n * (size_t)vocab),
                *c = o->map_read(za, (size_t)*n * (size_t)vocab);
    const int *label = before->rows->label + first;
    const int rows = *n;
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < q->n; k++)
            out[(first + r) * q->n + k] =
                guess_token(b + (size_t)r * (size_t)vocab, c + (size_t)r * (size_t)vocab, vocab,
                            label[r], q->g[k].weight, q->floor);
    o->unmap(zb);
    o->unmap(za);
}

static void add_rows(struct guiding *q, const struct label_rows *rows, const struct guess *guess)
{
    for (int k = 0; k < q->n; k++)
        for (int i = 0, end; i < rows->n; i = end) {
            double logp = 0, hits = 0;
            for (end = i; end < rows->n && rows->seq[end] == rows->seq[i]; end++) {
                logp += guess[end * q->n + k].logp;
                hits += guess[end * q->n + k].hit;
            }
            q->g[k].nll -= logp;
            q->g[k].hits += hits;
            q->g[k].labels += end - i;
            q->g[k].prob += exp(logp / (end - i));
            q->g[k].exact += hits == end - i;
        }
}

static int guide_batch(struct guiding *q, const struct seq *seqs, int n, struct arena *a,
                       struct err *e)
{
    struct model *const m[] = {&q->a->target, &q->a->s.model};
    struct batch b;
    struct label_rows rows;
    struct pass p[2];
    struct head h[2];
    struct guess *guess;
    arena_reset(a);
    if (interrupt_check(q->a->stop, e) ||
        batch_pack(&b, seqs, n, m[1]->cfg.vocab, m[1]->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, seqs, a, e) ||
        !(guess = arena_take(a, (size_t)(rows.n * q->n) + 1, sizeof *guess, e)))
        return -1;
    for (int k = 0; k < 2; k++)
        if (model_forward(m[k], &b, &(struct forward){.layers = 0}, &p[k], a, e) ||
            head_init(&h[k], &p[k], &rows, false, a, e))
            return -1;
    for (int first = 0, count; first < rows.n; first += count)
        add_block(q, &h[0], &h[1], first, guess, &count);
    add_rows(q, &rows, guess);
    q->a->spent.forward_tokens += 2.0 * b.n_tokens;
    return 0;
}

static int guide(struct guiding *q, struct err *e)
{
    const struct dataset *d = &q->a->sets[ATTACK_FORGET];
    struct arena a;
    struct progress bar;
    int rc = 0;
    arena_init(&a);
    progress_start(&bar, "difference", d->n);
    for (int i = 0, count; !rc && i < d->n; i += count) {
        int tokens = d->seqs[i].n;
        for (count = 1; i + count < d->n && tokens + d->seqs[i + count].n <= TOKENS; count++)
            tokens += d->seqs[i + count].n;
        rc = guide_batch(q, d->seqs + i, count, &a, e);
        progress_step(&bar, i + count, q->a->spent.forward_tokens, NULL);
    }
    progress_end(&bar);
    arena_fini(&a);
    return rc;
}

static int read_weights(struct guiding *q, const char *list, struct err *e)
{
    for (const char *at = list; *at; q->n++) {
        if (q->n == MOST_WEIGHTS)
            return err_about(e, "weights", "there are more than %d weights of guidance",
                             MOST_WEIGHTS);
        if (attack_next(&at, "weights", 0, 1e6, &q->g[q->n].weight, e))
            return -1;
    }
    return 0;
}

static void put_guided(const struct guiding *q, json_t *block)
{
    const int rows = q->a->sets[ATTACK_FORGET].n;
    json_t *all = json_object();
    for (int k = 0; k < q->n; k++) {
        const struct guided *g = &q->g[k];
        char name[32];
        json_t *to = json_object();
        json_put_real(to, "nll", g->nll / g->labels);
        json_put_real(to, "prob", g->prob / rows);
        json_put_real(to, "hits", g->hits / g->labels);
        json_put_real(to, "exact", g->exact / rows);
        snprintf(name, sizeof name, "%g", g->weight);
        json_object_set_new(all, name, to);
    }
    json_object_set_new(block, "guided", all);
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct difference_params *p = params;
    struct guided g[MOST_WEIGHTS] = {0};
    struct guiding q = {.a = a, .g = g, .floor = log(p->filter)};
    if (!a->has_target)
        return err_about(e, "target", "a difference needs the model before unlearning");
    if (read_weights(&q, p->weights, e) || put_drops(a, block, e) || guide(&q, e))
        return -1;
    put_guided(&q, block);
    a->spent.candidates = q.n;
    return 0;
}

const struct attack attack_difference = {
    .name = "difference",
    .params = table,
    .params_size = sizeof(struct difference_params),
    .help = "what the models before and after leak together: who was unlearned, and what",
    .paper = "arXiv 2505.24379",
    .touches = "decoding",
    .access = "grey, and the target",
    .verified = "definitions in Python (membership.t)",
    .compares = true,
    .run = run,
};
