/* Every term of the table on made-up views: the derivative it returns is that of the loss it
 * returns (central differences; weights that a paper holds constant are held), its losses add up
 * over sequences and blocks of rows, and it stays finite far out.
 *
 * Three sequences, the second without labels. Losses are f64 and inputs are stepped by differences
 * that floats hold exactly, so that only the steps' third order is left: extrapolation takes it
 * away. */
#include "weighted.h"

/* The loss that the derivative is of. */
static double primal(const struct term *t, const void *params, struct board *b,
                     const struct board *at)
{
    const struct weighted *w = weighted_of(t);
    return w->loss ? w->loss(params, b, at) : loss_of(t, params, b);
}

/* (f(x+h) - f(x-h)) / 2h by value `x`. */
static double difference(const struct term *t, const void *params, struct board *b,
                         const struct board *at, float *x, double h)
{
    float was = *x, up = (float)(was + h), down = (float)(was - h);
    *x = up;
    double loss = primal(t, params, b, at);
    *x = down;
    loss -= primal(t, params, b, at);
    *x = was;
    return loss / ((double)up - (double)down);
}

static void check_derivative(const struct term *t, const void *params, struct board *b,
                             const char *what)
{
    static float d[R * V > N * C ? R * V : N * C];
    static struct board at[TERM_MAX_VIEWS];
    memcpy(at, b, (size_t)t->n_views * sizeof *at);
    add_up(&at[0]);
    add_up(&at[1]);
    near(primal(t, params, b, at), loss_of(t, params, b), 1e-12, 1e-15, "%s: its definition, %s",
         t->name, what);
    for (int i = 0; i < t->n_views; i++) {
        double worst = 0, top = 0;
        int n = n_values(&b[i], t->kind);
        loss_of(t, params, b);
        memcpy(d, b[i].d[t->kind], sizeof d);
        for (int k = 0; k < n; k++) {
            float *x = &b[i].x[t->kind][k];
            double wide = difference(t, params, b, at, x, 1.0 / 64);
            double off = fabs((4 * difference(t, params, b, at, x, 1.0 / 128) - wide) / 3 - d[k]);
            worst = off <= worst ? worst : off;
            top = fmax(top, fabs((double)d[k]));
        }
        near(worst, 0, 0, 1e-5 * top + 1e-12, "%s: derivative of view %d, %s", t->name, i, what);
        if (i == 1 && weighted_of(t)->batchwise)
            ok(top == 0, "%s: which is a constant, %s", t->name, what);
        else if (b[i].n_rows)
            ok(top > 0, "%s: which is not zero, %s", t->name, what);
    }
}

/* A step must not depend on how it is cut into micro-batches (train/term.h). */
static void check_sums(const struct term *t, const void *params, struct board *b, const char *what)
{
    double whole = loss_of(t, params, b), sum = 0;
    for (int s = 0; s < S && !weighted_of(t)->batchwise; s++) {
        static struct board part[TERM_MAX_VIEWS];
        char name[64];
        for (int i = 0; i < t->n_views; i++)
            board_cut(&part[i], &b[i], s);
        sum += loss_of(t, params, part);
        snprintf(name, sizeof name, "sequence %d alone, %s", s, what);
        check_derivative(t, params, part, name);
    }
    if (!weighted_of(t)->batchwise)
        near(sum, whole, 1e-12, 1e-15, "%s: losses of sequences add up, %s", t->name, what);
    for (int i = 0; i < t->n_views; i++) {
        b[i].mean_rows *= 2.5;
        b[i].mean_seqs *= 2.5;
        b[i].mean_tokens *= 2.5;
        b[i].mean_prompts *= 2.5;
    }
    near(loss_of(t, params, b), whole / 2.5, 1e-12, 1e-15, "%s: its share of more, %s", t->name,
         what);
    check_derivative(t, params, b, "of more");
    for (int i = 0; i < t->n_views; i++) {
        b[i].mean_rows /= 2.5;
        b[i].mean_seqs /= 2.5;
        b[i].mean_tokens /= 2.5;
        b[i].mean_prompts /= 2.5;
    }
}

static void check_blocks(const struct term *t, const void *params, struct board *b)
{
    static const int cut[] = {0, 2, 5, R};
    static float d[R * V];
    if (t->kind != VIEW_LOGITS)
        return;
    double whole = loss_of(t, params, b), sum = 0;
    memcpy(d, b->d[VIEW_LOGITS], sizeof d);
    for (int i = 0; i < 3; i++)
        sum += loss_of_rows(t, params, b, cut[i], cut[i + 1] - cut[i]);
    near(sum, whole, 1e-12, 0, "%s: losses of blocks of rows add up", t->name);
    ok(!memcmp(d, b->d[VIEW_LOGITS], sizeof d), "%s: with the same derivative", t->name);
}

/* Values nobody hopes for: one side certain, the other sure of the opposite. */
static void check_far_out(const struct term *t, const void *params, unsigned seed)
{
    static struct board b[TERM_MAX_VIEWS];
    for (int way = 0; way < 4; way++) {
        for (int i = 0; i < t->n_views; i++) {
            board_fill(&b[i], seed + (unsigned)i);
            int n = n_values(&b[i], t->kind);
            for (int k = 0; k < n; k++) {
                float far = t->kind == VIEW_LOGP ? -2000 : (k & 1) ? 2000 : -2000;
                b[i].x[t->kind][k] = way & 1 ? far : t->kind == VIEW_LOGP ? 0 : 1;
                b[i].ref[t->kind][k] = way & 2 ? far : t->kind == VIEW_LOGP ? 0 : 1;
            }
        }
        double loss = loss_of(t, params, b);
        bool finite = isfinite(loss);
        for (int i = 0; i < t->n_views; i++)
            for (int k = 0; k < n_values(&b[i], t->kind); k++)
                finite &= isfinite(b[i].d[t->kind][k]) != 0;
        ok(finite, "%s: finite far out (%d), loss %g", t->name, way, loss);
    }
}

/* The loss and a log-probability's or hidden state's derivative are added to what is there. */
static void check_adds(const struct term *t, const void *params, struct board *b)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    struct err e;
    double whole = loss_of(t, params, b), loss = 100;
    float d = b->d[t->kind][0];
    for (int i = 0; i < t->n_views; i++) {
        v[i] = show(&b[i], t->kind, 0, b[i].n_rows);
        views[i] = &v[i];
    }
    if (t->kind != VIEW_LOGITS)
        b->d[t->kind][0] = 1;
    ok(!term_loss(t, params, views, &loss, &e), "%s: runs", t->name);
    near(loss, 100 + whole, 1e-12, 0, "%s: adds its loss", t->name);
    near(b->d[t->kind][0], t->kind == VIEW_LOGITS ? d : 1 + d, 1e-6, 0, "%s: and its derivative",
         t->name);
}

/* Each parameter in turn: three times a number, each choice. */
static void check_params(const struct term *t, void *params, struct board *b)
{
    struct err e;
    for (const struct param *p = t->params; p && p->name; p++) {
        char text[64] = "", what[128];
        const char *choice = p->type == PARAM_CHOICE ? p->choices : "";
        for (size_t n; (n = strcspn(choice, "|")) > 0; choice += n + (choice[n] == '|')) {
            snprintf(text, sizeof text, "%.*s", (int)n, choice);
            snprintf(what, sizeof what, "%s=%s", p->name, text);
            ok(!param_set_text(p, params, text, &e), "%s: %s", t->name, what);
            check_derivative(t, params, b, what);
            param_defaults(t->params, params);
        }
        if (p->type != PARAM_REAL)
            continue;
        double x;
        memcpy(&x, (char *)params + p->offset, sizeof x);
        snprintf(text, sizeof text, "%.9g", p->lo < p->hi ? fmin(3 * x, p->hi) : 3 * x);
        snprintf(what, sizeof what, "%s=%s", p->name, text);
        ok(!param_set_text(p, params, text, &e), "%s: %s", t->name, what);
        check_derivative(t, params, b, what);
        param_defaults(t->params, params);
    }
}

static void check_term(const struct term *t, unsigned seed)
{
    static struct board b[TERM_MAX_VIEWS];
    struct err e;
    void *params = mem_alloc(1, t->params_size, &e);
    if (t->params)
        param_defaults(t->params, params);
    for (int i = 0; i < t->n_views; i++)
        board_fill(&b[i], seed + (unsigned)i);
    ok(t->formula && *t->formula && term_by_name(t->name, &e) == t, "%s: %s", t->name, t->formula);
    ok(t->kind != VIEW_HIDDEN || t->hidden.layer, "%s: a layer where it needs one", t->name);
    check_derivative(t, params, b, "as it is");
    check_sums(t, params, b, "as it is");
    check_blocks(t, params, b);
    check_adds(t, params, b);
    check_params(t, params, b);
    check_far_out(t, params, seed);
    free(params);
}

/* Known points: no divergence from itself; NPO with a small beta is ascent over sequences. */
static void check_limits(void)
{
    static struct board b;
    struct err e;
    board_fill(&b, 1);
    memcpy(b.ref, b.x, sizeof b.x);
    void *kl = mem_alloc(1, term_kl.params_size, &e);
    param_defaults(term_kl.params, kl);
    near(loss_of(&term_kl, kl, &b), 0, 0, 1e-12, "kl: of a model from itself");
    free(kl);
    double *beta = mem_alloc(1, term_npo.params_size, &e);
    param_defaults(term_npo.params, beta);
    near(loss_of(&term_npo, beta, &b), 2 / 0.1 * log(2), 1e-12, 0, "npo: before the first step");
    board_fill(&b, 2);
    *beta = 1e-6;
    loss_of(&term_npo, beta, &b);
    for (int r = 0; r < R; r++)
        near(b.d[VIEW_LOGP][r], 1.0 / S, 1e-5, 0, "npo: with beta towards 0 row %d is ascent's", r);
    free(beta);
}

/* A token that is no label between labels is of the answer: where prompts count, it does not. */
static void check_hole(const struct term *t)
{
    static struct board b;
    struct err e;
    void *params = mem_alloc(1, t->params_size, &e);
    param_defaults(t->params, params);
    board_fill(&b, 3);
    double whole = loss_of(t, params, &b);
    b.scored[2] = 0; /* labels are at 1 to 4 */
    near(loss_of(t, params, &b), whole, 0, 0, "%s: a gap within the answer is no prompt", t->name);
    double moves = 0;
    for (int i = 2 * C; i < 3 * C; i++)
        moves += fabs((double)b.d[VIEW_HIDDEN][i]);
    ok(moves == 0, "%s: and stays as it is", t->name);
    free(params);
}

int main(void)
{
    struct err e;
    check_hole(&term_redirect);
    check_hole(&term_embed_prompt);
    for (int i = 0; terms[i]; i++)
        check_term(terms[i], 10 + 2 * (unsigned)i);
    check_limits();
    ok(!term_by_name("npq", &e) && strstr(e.msg, "did you mean 'npo'"), "%s", e.msg);
    return done();
}
