/* Prompts on their way to the model: the question that is in one, the prompt as the model reads it,
 * and taps over its tokens.
 */
#include <string.h>

#include "base/mem.h"
#include "guard/private.h"

/* --- the question in a prompt --- */

/* What the template puts before and after a question: two questions of one letter tell it. */
static int find_bounds(struct guards *g, const char *system, struct ids *pre, struct ids *post,
                       struct err *e)
{
    struct qa_format *qa = g->host.qa;
    const char *own = qa->system;
    struct ids a = {0};
    const int *ids, *whole;
    int n, m, rc, k = 0;
    qa->system = system;
    rc = qa_encode(qa, "a", NULL, &ids, &n, &whole, &m, e);
    for (int i = 0; i < n && !rc; i++)
        rc = ids_add(&a, ids[i], e);
    rc = rc || qa_encode(qa, "b", NULL, &ids, &n, &whole, &m, e);
    qa->system = own;
    for (pre->n = post->n = 0; !rc && k < n && k < (int)a.n && a.v[k] == ids[k]; k++)
        rc = ids_add(pre, ids[k], e);
    for (k = n > 0 && !rc ? (int)pre->n + 1 : n; !rc && k < n; k++)
        rc = ids_add(post, ids[k], e);
    free(a.v);
    return rc ? -1 : 0;
}

static bool starts(const struct seq *s, const struct ids *with)
{
    return with->n <= (size_t)s->n && !memcmp(s->ids, with->v, with->n * sizeof *with->v);
}

static bool ends(const struct seq *s, int from, const struct ids *with)
{
    return with->n <= (size_t)(s->n - from) &&
           !memcmp(s->ids + s->n - with->n, with->v, with->n * sizeof *with->v);
}

/* The part from..to of the prompt without the template, and its text. */
static int find_question(struct guards *g, struct guard_prompt *q, bool *by_template, struct err *e)
{
    const struct seq *s = &q->seq;
    struct buf text = {0};
    q->from = 0;
    q->to = s->n;
    *by_template = false;
    if (!g->host.tok)
        return 0;
    if (!g->knows_bounds && find_bounds(g, g->host.qa->system, &g->pre, &g->post, e))
        return -1;
    g->knows_bounds = true;
    *by_template = g->pre.n && starts(s, &g->pre);
    q->from = *by_template ? (int)g->pre.n : s->n && s->ids[0] == tokenizer_front(g->host.tok);
    if (ends(s, q->from, &g->post))
        q->to = s->n - (int)g->post.n;
    if (tokenizer_decode(g->host.tok, s->ids + q->from, (size_t)(q->to - q->from), true, &text,
                         e) ||
        buf_add(&text, "", 0, e)) {
        buf_fini(&text);
        return -1;
    }
    q->text = text.data;
    return 0;
}

/* --- the prompt as the model reads it --- */

static int add_ids(struct guard_prompt *q, const int *ids, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (ids_add(&q->ids, ids[i], e))
            return -1;
    return 0;
}

static int add_text(struct guards *g, struct guard_prompt *q, const struct buf *text, struct err *e)
{
    return text->len && tokenizer_encode(g->host.tok, text->data, text->len, false, &q->ids, e) ? -1
                                                                                                : 0;
}

/* The system message goes where the template has it; a prompt that is not by the template has it
 * in front. */
static int add_front(struct guards *g, struct guard_prompt *q, bool by_template, struct err *e)
{
    struct buf system = {0};
    struct ids pre = {0}, post = {0};
    int rc;
    if (!q->system.len)
        return add_ids(q, q->seq.ids, q->from, e);
    if (!by_template) {
        rc = add_ids(q, q->seq.ids, q->from, e) || buf_str(&q->system, "\n\n", e) ||
             add_text(g, q, &q->system, e);
    } else {
        const char *own = g->host.qa->system;
        rc = (own && (buf_str(&system, own, e) || buf_str(&system, "\n\n", e))) ||
             buf_str(&system, q->system.data, e) || find_bounds(g, system.data, &pre, &post, e) ||
             add_ids(q, pre.v, (int)pre.n, e);
    }
    buf_fini(&system);
    free(pre.v);
    free(post.v);
    return rc ? -1 : 0;
}

static int make_ids(struct guards *g, struct guard_prompt *q, bool by_template, struct err *e)
{
    const struct seq *s = &q->seq;
    const int from = q->from, to = q->to, any = s->ids[from < s->n ? from : 0];
    if (add_front(g, q, by_template, e))
        return -1;
    q->from = (int)q->ids.n;
    for (int i = 0; i < q->soft; i++)
        if (ids_add(&q->ids, any, e))
            return -1;
    if (add_text(g, q, &q->before, e))
        return -1;
    const int first = (int)q->ids.n - from;
    if (add_ids(q, s->ids + from, to - from, e) || add_text(g, q, &q->after, e))
        return -1;
    q->to = (int)q->ids.n;
    if (add_ids(q, s->ids + to, s->n - to, e))
        return -1;
    if (!s->mask)
        return 0;
    if (!(q->mask = mem_alloc(q->ids.n, 1, e)))
        return -1;
    memset(q->mask, 1, q->ids.n);
    for (int t = from; t < s->n; t++)
        q->mask[t < to ? first + t : (int)q->ids.n - (s->n - t)] = s->mask[t];
    return 0;
}

int guard_begin(struct guards *g, const struct seq *prompt, int index, struct guard_prompt *q,
                struct err *e)
{
    bool by_template;
    *q = (struct guard_prompt){.index = index, .seq = *prompt, .notes = json_array()};
    if (!q->notes)
        return err_no_memory(e, "guard");
    g->hook.prompts++;
    if (find_question(g, q, &by_template, e))
        return -1;
    for (int i = 0; i < g->n && !q->answer; i++)
        if (g->part[i].row->prompt && g->part[i].row->prompt(&g->part[i], q, e))
            return err_prefix(e, "guard '%s': ", g->part[i].row->name);
    g->hook.fired += q->fired != 0;
    return q->answer ? 0 : make_ids(g, q, by_template, e);
}

struct seq guard_prompt_seq(const struct guard_prompt *q)
{
    return (struct seq){.n = (int)q->ids.n, .ids = q->ids.v, .mask = q->mask};
}

int guard_output(struct guards *g, struct guard_prompt *q, const char *text, bool *held,
                 struct err *e)
{
    *held = false;
    for (int i = 0; i < g->n && !*held; i++)
        if (g->part[i].row->output && g->part[i].row->output(&g->part[i], q, text, held, e))
            return err_prefix(e, "guard '%s': ", g->part[i].row->name);
    return 0;
}

void guard_end(struct guard_prompt *q)
{
    free(q->text);
    buf_fini(&q->system);
    buf_fini(&q->before);
    buf_fini(&q->after);
    free(q->answer);
    json_decref(q->notes);
    free(q->ids.v);
    free(q->mask);
    *q = (struct guard_prompt){0};
}

int guard_answer_ids(const struct guards *g, const char *text, int most, struct ids *out,
                     struct err *e)
{
    const struct model_config *c = &g->host.model->cfg;
    out->n = 0;
    if (tokenizer_encode(g->host.tok, text, strlen(text), false, out, e) ||
        (c->n_eos && ids_add(out, c->eos[0], e)))
        return -1;
    out->n = out->n < (size_t)most ? out->n : (size_t)most;
    return 0;
}

/* --- taps --- */

static void feed(void *ctx, const int *of, const int *first, int n)
{
    struct guards *g = ctx;
    (void)n;
    g->of = of;
    g->first = first;
}

static void forward(void *ctx, const struct pass *p, device float *x)
{
    const struct guard_tapping *t = ctx;
    struct guards *g = t->g;
    const struct batch *b = p->batch;
    const struct ops *o = p->m->ops;
    const size_t width = (size_t)p->m->cfg.width;
    float *at = o->map(x, (size_t)b->n_tokens * width);
    for (int i = 0; i < b->n_seqs; i++) {
        const struct guard_view v = {&g->tapped[g->of[i]], g->first[i],
                                     b->start[i + 1] - b->start[i], g->forced};
        if (!g->failed &&
            t->part->row->tap(t->part, &v, at + (size_t)b->start[i] * width, &g->failure))
            g->failed = true;
    }
    o->unmap(x);
}

const struct pass_taps *guards_taps(struct guards *g, struct guard_prompt *q, bool forced)
{
    g->taps = (struct pass_taps){.taps = g->tap, .feed = feed, .ctx = g};
    g->tapped = q;
    g->forced = forced;
    g->failed = false;
    g->failure = (struct err){.msg = ""};
    for (int i = 0; i < g->n; i++) {
        struct guard_part *p = &g->part[i];
        if (!p->row->tap)
            continue;
        g->tapping[i] = (struct guard_tapping){g, p};
        g->tap[g->taps.n_taps++] = (struct tap){.place = p->row->place,
                                                .layer = p->row->layer ? p->row->layer(p) : 0,
                                                .forward = forward,
                                                .ctx = &g->tapping[i]};
    }
    return g->taps.n_taps ? &g->taps : NULL;
}

int guards_tapped(struct guards *g, struct err *e)
{
    if (!g->failed)
        return 0;
    *e = g->failure;
    return err_prefix(e, "guard: ");
}

/* --- logits --- */

bool guards_change_logits(const struct guards *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->part[i].row->logits)
            return true;
    return false;
}

int guard_logits(struct guards *g, struct guard_prompt *q, const int *ids, int n, float *z,
                 struct err *e)
{
    for (int i = 0; i < g->n; i++)
        if (g->part[i].row->logits && g->part[i].row->logits(&g->part[i], q, ids, n, z, e))
            return -1;
    return 0;
}
