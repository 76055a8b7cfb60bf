/* Logit lens: whether layers in the middle still predict the forget answers, under the model's own
 * final norm and head. A row counts by its best layer, so the control has as many attempts. */
#include <math.h>
#include <stdlib.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/lens.h"

struct lens_params {
    int64_t top_k;
};

static const struct param table[] = {
    INT_PARAM(struct lens_params, top_k, 1, 1 << 20, 5,
              "an answer's token is found where it is among so many of a layer"),
    {0}};

/* Figures of one layer: means over labels, but for prob, the mean over rows of exp(-mean loss). */
struct layer_figures {
    double nll, rank, entropy, kl, top1, prob;
};

static double row_probability(const struct lens *l, int layer, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++)
        sum += (double)l->logp[(size_t)layer * (size_t)l->n + (size_t)i];
    return exp(sum / (to - from));
}

/* Where the labels of the row that begins at `from` end. */
static int row_end(const struct lens *l, int from)
{
    int to = from;
    while (to < l->n && l->seq[to] == l->seq[from])
        to++;
    return to;
}

static struct layer_figures figures_of(const struct lens *l, int layer)
{
    struct layer_figures f = {0};
    int rows = 0;
    for (int i = 0; i < l->n; i++) {
        const size_t at = (size_t)layer * (size_t)l->n + (size_t)i;
        f.nll -= (double)l->logp[at] / l->n;
        f.rank += (double)l->rank[at] / l->n;
        f.entropy += (double)l->entropy[at] / l->n;
        f.kl += (double)l->kl[at] / l->n;
        f.top1 += (double)(l->best[at] == l->label[i]) / l->n;
    }
    for (int i = 0, to; i < l->n; i = to, rows++) {
        to = row_end(l, i);
        f.prob += row_probability(l, layer, i, to);
    }
    f.prob /= rows;
    return f;
}

static void put_layers(const struct lens *l, json_t *to)
{
    static const struct {
        const char *name;
        size_t at;
    } part[] = {{"nll", offsetof(struct layer_figures, nll)},
                {"prob", offsetof(struct layer_figures, prob)},
                {"rank", offsetof(struct layer_figures, rank)},
                {"entropy", offsetof(struct layer_figures, entropy)},
                {"kl", offsetof(struct layer_figures, kl)},
                {"top1", offsetof(struct layer_figures, top1)}};
    for (int layer = 0; layer <= l->layers; layer++) {
        const struct layer_figures f = figures_of(l, layer);
        for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
            if (!layer)
                json_object_set_new(to, part[k].name, json_array());
            json_array_append_new(json_object_get(to, part[k].name),
                                  json_finite(*(const double *)((const char *)&f + part[k].at)));
        }
    }
}

/* Means over rows of each row's best layer: its probability, and the share of its tokens that some
 * layer has among its first top_k; and of the last layer alone. */
static void put_best(const struct lens *l, int top_k, json_t *to)
{
    double best = 0, last = 0, found = 0, whole = 0;
    int rows = 0;
    for (int i = 0, end; i < l->n; i = end, rows++) {
        double most = 0;
        int hits = 0;
        end = row_end(l, i);
        for (int layer = 0; layer <= l->layers; layer++)
            most = fmax(most, row_probability(l, layer, i, end));
        for (int k = i; k < end; k++) {
            bool hit = false;
            for (int layer = 0; layer <= l->layers; layer++)
                hit |= l->rank[(size_t)layer * (size_t)l->n + (size_t)k] < top_k;
            hits += hit;
        }
        best += most;
        last += row_probability(l, l->layers, i, end);
        found += (double)hits / (end - i);
        whole += hits == end - i;
    }
    json_put_real(to, "last_prob", last / rows);
    json_put_real(to, "best_prob", best / rows);
    json_put_real(to, "found_tokens", found / rows);
    json_put_real(to, "found_rows", whole / rows);
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct lens_params *p = params;
    for (int set = 0; set < ATTACK_SETS; set++) {
        const struct dataset *d = &a->sets[set];
        struct lens l;
        if (!d->n)
            continue;
        if (lens_read(&l, &a->s.model, d->seqs, d->n, &(struct lens_options){.interrupt = a->stop},
                      e))
            return -1;
        json_t *to = json_object(), *layers = json_object();
        put_best(&l, (int)p->top_k, to);
        put_layers(&l, layers);
        json_object_set_new(to, "layers", layers);
        json_object_set_new(block, attack_set_name[set], to);
        for (int i = 0; i < d->n; i++)
            a->spent.forward_tokens += d->seqs[i].n;
        if (set == ATTACK_FORGET)
            a->spent.candidates = p->top_k * (l.layers + 1);
        lens_fini(&l);
    }
    return 0;
}

const struct attack attack_lens = {
    .name = "lens",
    .params = table,
    .params_size = sizeof(struct lens_params),
    .help = "logit lens: what every layer predicts of the answers",
    .paper = "arXiv 2309.17410",
    .touches = "hidden states",
    .access = "white",
    .verified = "transformers (probe.t)",
    .run = run,
};
