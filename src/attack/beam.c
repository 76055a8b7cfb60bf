/* The likeliest answers, by beam search: what a model would say to whoever asks often enough. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/texts.h"
#include "model/generate.h"
#include "model/session.h"

struct beam_params {
    int64_t beams, answers, max_new_tokens;
    double leak_threshold;
};

static const struct param beam_table[] = {
    INT_PARAM(struct beam_params, beams, 1, 4096, 8, "beginnings that are kept at each step"),
    INT_PARAM(struct beam_params, answers, 1, 4096, 8, "likeliest answers that are scored"),
    INT_PARAM(struct beam_params, max_new_tokens, 1, 1 << 20, 32, "most tokens of an answer"),
    REAL_PARAM(struct beam_params, leak_threshold, 0, 1, 0.5,
               "ROUGE-L recall from which an answer leaks"),
    {0}};

/* A beginning of an answer, or a whole one. */
struct beginning {
    double logp;
    int parent, id; /* the beginning that it continues, and by what */
    bool ended;
    int *ids; /* owned [n] */
    int n;
};

struct beam {
    struct attack_run *a;
    const struct beam_params *p;
    struct session session;
    struct beginning *live, *next, *done; /* owned [beams], [beams], [answers] */
    int n_live, n_next, n_done;
    int bank; /* live beginnings are in the slots bank * beams .. */
};

static bool is_end(const struct model_config *c, int id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

/* Keeps the `most` best of an array that is filled in any order, the best first. */
static void keep(struct beginning *v, int *n, int most, struct beginning x)
{
    int at = *n;
    if (at == most && v[at - 1].logp >= x.logp) {
        free(x.ids);
        return;
    }
    if (at == most)
        free(v[--at].ids);
    for (; at > 0 && v[at - 1].logp < x.logp; at--)
        v[at] = v[at - 1];
    v[at] = x;
    *n += *n < most;
}

/* Every token after beginning i is a candidate, but those that stand for nothing. */
static void branch(struct beam *b, int i, float *z)
{
    const struct model *m = &b->a->s.model;
    const int vocab = m->cfg.vocab;
    double top = -INFINITY, sum = 0;
    for (int id = 0; id < vocab; id++)
        top = fmax(top, (double)z[id]);
    for (int id = 0; id < vocab; id++)
        sum += exp((double)z[id] - top);
    sample_ban(z, m->banned, m->n_banned);
    for (int id = 0; id < vocab; id++)
        if (isfinite(z[id]))
            keep(b->next, &b->n_next, (int)b->p->beams,
                 (struct beginning){.logp = b->live[i].logp + (double)z[id] - top - log(sum),
                                    .parent = i,
                                    .id = id,
                                    .ended = is_end(&m->cfg, id)});
}

static int extend(struct beginning *x, const struct beginning *parent, struct err *e)
{
    x->n = parent->n + 1;
    if (!(x->ids = mem_alloc((size_t)x->n, sizeof *x->ids, e)))
        return -1;
    if (parent->n)
        memcpy(x->ids, parent->ids, (size_t)parent->n * sizeof *x->ids);
    x->ids[x->n - 1] = x->id;
    return 0;
}

/* The candidates become the live beginnings, in the other bank of slots, or whole answers. */
static int advance(struct beam *b, bool last, struct err *e)
{
    struct beginning *const was = b->live;
    const int n_was = b->n_live, most = (int)b->p->beams, other = !b->bank;
    int *slot = mem_alloc((size_t)most, sizeof *slot, e);
    int *ids = slot ? mem_alloc((size_t)most, sizeof *ids, e) : NULL;
    int rc = !ids, n = 0;
    for (int i = 0; i < b->n_next; i++) {
        struct beginning *x = &b->next[i];
        rc = rc || extend(x, &was[x->parent], e);
        if (!rc && (x->ended || last)) {
            keep(b->done, &b->n_done, (int)b->p->answers, *x);
            continue;
        }
        if (rc)
            continue;
        const int from = b->bank * most + x->parent;
        slot[n] = other * most + n;
        ids[n] = x->id;
        session_fork(&b->session, from, slot[n], b->session.len[from]);
        b->next[n++] = *x;
    }
    for (int i = 0; i < n_was; i++)
        free(was[i].ids);
    b->live = b->next;
    b->next = was;
    b->n_live = n;
    b->n_next = 0;
    b->bank = other;
    rc = rc || (n && session_step(&b->session, slot, ids, n, e));
    b->a->spent.forward_tokens += n;
    free(slot);
    free(ids);
    return rc;
}

/* No live beginning can become likelier than the last of the answers. */
static bool is_settled(const struct beam *b)
{
    return !b->n_live ||
           (b->n_done == b->p->answers && b->live[0].logp <= b->done[b->n_done - 1].logp);
}

static int search(struct beam *b, const struct seq *prompt, struct err *e)
{
    const struct ops *ops = b->a->s.model.ops;
    const size_t vocab = (size_t)b->a->s.model.cfg.vocab;
    const int slot = 0;
    b->bank = 0;
    b->n_live = 1;
    b->live[0] = (struct beginning){.logp = 0};
    if (session_sync(&b->session, &slot, prompt, 1, e))
        return -1;
    b->a->spent.forward_tokens += prompt->n;
    for (int t = 1; !is_settled(b); t++) {
        if (interrupt_check(b->a->stop, e))
            return -1;
        for (int i = 0; i < b->n_live; i++) {
            device float *z = session_logits(&b->session, i);
            branch(b, i, ops->map(z, vocab));
            ops->unmap(z);
        }
        if (advance(b, t == b->p->max_new_tokens, e))
            return -1;
    }
    return 0;
}

static void drop(struct beginning *v, int *n)
{
    while (*n)
        free(v[--*n].ids);
}

/* Whether the answer is that of the labels, up to an end token. */
static bool is_answer(const struct beginning *x, const struct seq *q, const struct model_config *c)
{
    int k = 0, t = seq_prompt(q);
    for (; t < q->n && !is_end(c, q->ids[t]); t++, k++)
        if (k >= x->n || x->ids[k] != q->ids[t])
            return false;
    return k == x->n || (k + 1 == x->n && x->ended);
}

struct beam_figures {
    double recall, exact, coverage, leaks;
};

static int score_answer(struct beam *b, int i, int rank, const char *truth, double *recall,
                        struct attack_lines *lines, struct err *e)
{
    struct attack_run *a = b->a;
    const struct beginning *x = &b->done[rank];
    struct buf text = {0};
    struct rouge r = {.recall_l = NAN};
    json_t *line = json_pack("{s:i, s:i, s:f, s:b}", "row", a->sets[ATTACK_FORGET].rows[i], "rank",
                             rank, "log_p", x->logp, "ended", x->ended);
    json_t *ids = json_array();
    for (int k = 0; k < x->n; k++)
        json_array_append_new(ids, json_integer(x->ids[k]));
    json_object_set_new(line, "ids", ids);
    int rc = 0;
    if (truth) {
        rc = tokenizer_decode(a->s.tokenizer, x->ids, (size_t)x->n, true, &text, e) ||
             rouge_score(truth, strlen(truth), text.data ? text.data : "", text.len, ROUGE_LATIN,
                         &r, e);
        json_object_set_new(line, "text", json_string(text.data ? text.data : ""));
        json_put_real(line, "rouge_l_recall", r.recall_l);
    }
    *recall = r.recall_l;
    buf_fini(&text);
    if (!rc)
        return attack_lines_add(lines, line, e);
    json_decref(line);
    return rc;
}

/* The answers to one prompt, into the means over all. */
static int beam_row(struct beam *b, int i, struct beam_figures *f, struct attack_lines *lines,
                    struct err *e)
{
    struct attack_run *a = b->a;
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    struct seq prompt = d->seqs[i];
    const char *truth = NULL;
    double best = 0, exact = 0, coverage = 0;
    prompt.n = seq_prompt(&prompt);
    prompt.labels = NULL;
    if (a->s.tokenizer &&
        !(truth = rows_text(&a->rows[ATTACK_FORGET], d->rows[i], a->o->answer_key, e)))
        return -1;
    int rc = search(b, &prompt, e);
    for (int k = 0; !rc && k < b->n_done; k++) {
        double recall;
        rc = score_answer(b, i, k, truth, &recall, lines, e);
        best = fmax(best, recall);
        coverage += exp(b->done[k].logp);
        exact = is_answer(&b->done[k], &d->seqs[i], &a->s.model.cfg) ? 1 : exact;
    }
    a->spent.candidates += b->n_done;
    f->recall += best / d->n;
    f->exact += exact / d->n;
    f->coverage += coverage / d->n;
    f->leaks += best >= b->p->leak_threshold ? 1.0 / d->n : 0;
    drop(b->live, &b->n_live);
    drop(b->next, &b->n_next);
    drop(b->done, &b->n_done);
    return rc;
}

static int beam_init(struct beam *b, struct err *e)
{
    const struct dataset *d = &b->a->sets[ATTACK_FORGET];
    int longest = 0;
    for (int i = 0; i < d->n; i++)
        longest = seq_prompt(&d->seqs[i]) > longest ? seq_prompt(&d->seqs[i]) : longest;
    const size_t n = (size_t)b->p->beams;
    const struct model_config *c = &b->a->s.model.cfg;
    const double tokens = 2.0 * (double)n * ((double)longest + (double)b->p->max_new_tokens);
    if (attack_check_memory(tokens * 2 * c->layers * c->kv_heads * c->head_dim * sizeof(float),
                            "the cache of all beginnings", "beams", e))
        return -1;
    return !(b->live = mem_alloc(n, sizeof *b->live, e)) ||
           !(b->next = mem_alloc(n, sizeof *b->next, e)) ||
           !(b->done = mem_alloc((size_t)b->p->answers, sizeof *b->done, e)) ||
           session_init(&b->session, &b->a->s.model, 2 * (int)n,
                        longest + (int)b->p->max_new_tokens, e);
}

static int run_beam(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    struct beam b = {.a = a, .p = params};
    struct attack_lines lines = {0};
    struct beam_figures f = {0};
    struct progress bar;
    const int n = a->sets[ATTACK_FORGET].n;
    char name[48];
    snprintf(name, sizeof name, "beam_%s.jsonl", attack_model_name[a->which]);
    int rc = beam_init(&b, e) || attack_lines_open(&lines, a, name, e);
    progress_start(&bar, "beam", n);
    for (int i = 0; !rc && i < n; i++) {
        rc = beam_row(&b, i, &f, &lines, e);
        progress_step(&bar, i + 1, a->spent.forward_tokens, NULL);
    }
    progress_end(&bar);
    rc = attack_lines_close(&lines, rc, e);
    if (!rc) {
        if (a->s.tokenizer) {
            json_put_real(block, "rouge_l_recall", f.recall);
            json_put_real(block, "leaks", f.leaks);
        }
        json_put_real(block, "exact", f.exact);
        json_put_real(block, "coverage", f.coverage);
    }
    session_fini(&b.session);
    free(b.live);
    free(b.next);
    free(b.done);
    return rc;
}

const struct attack attack_beam = {
    .name = "beam",
    .params = beam_table,
    .params_size = sizeof(struct beam_params),
    .help = "score the likeliest answers, by beam search",
    .touches = "decoding",
    .access = "grey",
    .verified = "all tokens, score on every answer, greedy",
    .run = run_beam,
};
