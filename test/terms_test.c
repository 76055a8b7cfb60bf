/* Every term of the table on made-up views: the derivative it returns is that of the loss it
 * returns (central differences; weights that a paper holds constant are held), its losses add up
 * over sequences and blocks of rows, and it stays finite far out.
 *
 * Three sequences, the second without labels. Losses are f64 and inputs are stepped by differences
 * that floats hold exactly, so that only the steps' third order is left: extrapolation takes it
 * away. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "objectives/terms.h"
#include "tap.h"

enum { S = 3, R = 6, V = 7, N = 12, C = 5, KINDS = 3 };

static const int lengths[S] = {5, 3, 4}, labels[S] = {4, 0, 2};

/* What one role's view shows. x: the values of each kind of view, that the derivative is by. */
struct board {
    int n_seqs, n_rows, n_tokens;
    int row_seq[R], label[R], n_labels[S], token_seq[N];
    uint8_t scored[N];
    float x[KINDS][R * V > N *C ? R *V : N *C], ref[KINDS][R * V > N *C ? R *V : N *C];
    float helper[HELPER_COUNT][R * V];
    float d[KINDS][R * V > N *C ? R *V : N *C];
    double nll[S], ref_nll[S], mean_rows, mean_seqs, mean_tokens, mean_prompts;
    float direction[C];
};

static int n_values(const struct board *b, enum view_kind kind)
{
    return kind == VIEW_LOGP ? b->n_rows : kind == VIEW_LOGITS ? b->n_rows * V : b->n_tokens * C;
}

static void board_fill(struct board *b, unsigned seed)
{
    struct rng r;
    double length = 0;
    *b = (struct board){.n_seqs = S,
                        .n_rows = R,
                        .n_tokens = N,
                        .mean_rows = R,
                        .mean_seqs = S,
                        .mean_tokens = N,
                        .mean_prompts = N - R};
    rng_stream(&r, seed, RNG_INIT, 0);
    for (int s = 0, row = 0, token = 0; s < S; s++) {
        b->n_labels[s] = labels[s];
        for (int i = 0; i < labels[s]; i++, row++) {
            b->row_seq[row] = s;
            b->label[row] = (int)rng_below(&r, V);
        }
        for (int t = 0; t < lengths[s]; t++, token++) {
            b->token_seq[token] = s;
            b->scored[token] = t >= lengths[s] - labels[s];
        }
    }
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < n_values(b, (enum view_kind)kind); i++) {
            double x = rng_normal(&r), ref = x + 0.5 * rng_normal(&r);
            bool logp = kind == VIEW_LOGP;
            b->x[kind][i] = (float)(logp ? -0.2 - fabs(x) : x);
            b->ref[kind][i] = (float)(logp ? -0.2 - fabs(ref) : ref);
        }
    for (int k = 0; k < HELPER_COUNT; k++)
        for (int i = 0; i < R * V; i++)
            b->helper[k][i] = (float)((double)b->ref[VIEW_LOGITS][i] + 0.5 * rng_normal(&r));
    for (int i = 0; i < C; i++)
        length += pow(b->direction[i] = (float)rng_normal(&r), 2);
    for (int i = 0; i < C; i++)
        b->direction[i] /= (float)sqrt(length);
}

/* Sequence s alone. Means stay those of all. */
static void board_cut(struct board *to, const struct board *b, int s)
{
    int row = 0, token = 0;
    *to = *b;
    for (int i = 0; i < s; i++) {
        row += b->n_labels[i];
        token += lengths[i];
    }
    to->n_seqs = 1;
    to->n_rows = to->n_labels[0] = b->n_labels[s];
    to->n_tokens = lengths[s];
    memset(to->row_seq, 0, sizeof to->row_seq);
    memset(to->token_seq, 0, sizeof to->token_seq);
    memmove(to->label, b->label + row, (size_t)to->n_rows * sizeof *to->label);
    memmove(to->scored, b->scored + token, (size_t)to->n_tokens);
    for (int k = 0; k < HELPER_COUNT; k++)
        memmove(to->helper[k], b->helper[k] + row * V, (size_t)(to->n_rows * V) * sizeof(float));
    const int at[KINDS] = {row, row * V, token * C};
    for (int kind = 0; kind < KINDS; kind++) {
        size_t n = (size_t)n_values(to, (enum view_kind)kind) * sizeof(float);
        memcpy(to->x[kind], b->x[kind] + at[kind], n);
        memcpy(to->ref[kind], b->ref[kind] + at[kind], n);
    }
}

/* A sum over rows is kept as the engine keeps it. */
static void add_up(struct board *b)
{
    memset(b->nll, 0, sizeof b->nll);
    memset(b->ref_nll, 0, sizeof b->ref_nll);
    for (int r = 0; r < b->n_rows; r++) {
        b->nll[b->row_seq[r]] -= (double)b->x[VIEW_LOGP][r];
        b->ref_nll[b->row_seq[r]] -= (double)b->ref[VIEW_LOGP][r];
    }
}

/* Rows first..first+n of the board, or all it has. Logits are overwritten by their derivative. */
static struct view show(struct board *b, enum view_kind kind, int first, int n)
{
    memcpy(b->d[VIEW_LOGITS] + first * V, b->x[VIEW_LOGITS] + first * V,
           (size_t)(n * V) * sizeof(float));
    memset(b->d[VIEW_LOGP], 0, sizeof b->d[VIEW_LOGP]);
    memset(b->d[VIEW_HIDDEN], 0, sizeof b->d[VIEW_HIDDEN]);
    struct view v = {.n_seqs = b->n_seqs,
                     .n_rows = n,
                     .row_seq = b->row_seq + first,
                     .label = b->label + first,
                     .n_labels = b->n_labels,
                     .mean_rows = b->mean_rows,
                     .mean_seqs = b->mean_seqs,
                     .mean_tokens = b->mean_tokens,
                     .mean_prompts = b->mean_prompts,
                     .layer = 1,
                     .n_layers = 2,
                     .noise = 5,
                     .vocab = V,
                     .width = C,
                     .n_tokens = b->n_tokens,
                     .token_seq = b->token_seq,
                     .scored = b->scored,
                     .direction = b->direction};
    if (kind == VIEW_LOGP) {
        v.logp = b->x[kind];
        v.ref_logp = b->ref[kind];
        v.nll = b->nll;
        v.ref_nll = b->ref_nll;
        v.dlogp = b->d[kind];
    } else if (kind == VIEW_LOGITS) {
        v.z = v.dz = b->d[kind] + first * V;
        v.ref_z = b->ref[kind] + first * V;
        v.first_row = first;
        for (int k = 0; k < HELPER_COUNT; k++)
            v.helper[k] = b->helper[k] + first * V;
    } else {
        v.hidden = b->x[kind];
        v.ref_hidden = b->ref[kind];
        v.dhidden = b->d[kind];
    }
    return v;
}

static double loss_of_rows(const struct term *t, const void *params, struct board *b, int first,
                           int n)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    struct err e;
    double loss = 0, measured = 0;
    if (t->measure) {
        static struct board all;
        all = *b;
        v[0] = show(&all, t->kind, 0, all.n_rows);
        BUG_ON(t->measure(params, (struct view *const[]){v}, &measured, &e));
    }
    for (int i = 0; i < t->n_views; i++) {
        add_up(&b[i]);
        v[i] = show(&b[i], t->kind, first, n < 0 ? b[i].n_rows : n);
        v[i].measured = measured;
        views[i] = &v[i];
    }
    if (t->loss(params, views, &loss, &e)) {
        note("%s: %s", t->name, e.msg);
        return NAN;
    }
    return loss;
}

static double loss_of(const struct term *t, const void *params, struct board *b)
{
    return loss_of_rows(t, params, b, 0, -1);
}

static double real(const struct term *t, const void *params, const char *name)
{
    double x;
    memcpy(&x, (const char *)params + param_find(t->params, name)->offset, sizeof x);
    return x;
}

/* Terms whose weights are constants: their loss as a plain loop, with the weights at `at`. */
static double wga(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0, beta = real(&term_wga, params, "beta");
    for (int r = 0; r < b->n_rows; r++)
        loss += pow(exp((double)at->x[VIEW_LOGP][r]), beta) * (double)b->x[VIEW_LOGP][r];
    return loss / b->mean_rows;
}

static double satimp(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0;
    for (int r = 0; r < b->n_rows; r++) {
        double p = exp((double)at->x[VIEW_LOGP][r]);
        loss += pow(p, real(&term_satimp, params, "beta1")) *
                pow(1 - p, real(&term_satimp, params, "beta2")) * (double)b->x[VIEW_LOGP][r];
    }
    return loss / b->mean_rows;
}

static double ceu(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0;
    (void)params;
    for (int r = 0; r < b->n_rows; r++) {
        const float *z = b->x[VIEW_LOGITS] + r * V, *z0 = at->x[VIEW_LOGITS] + r * V;
        double all = 0, rest = 0;
        for (int i = 0; i < V; i++) {
            all += exp((double)z[i]);
            rest += i == b->label[r] ? 0 : exp((double)z0[i]);
        }
        for (int i = 0; i < V; i++)
            if (i != b->label[r])
                loss -= exp((double)z0[i]) / rest * ((double)z[i] - log(all));
    }
    return loss / b->mean_rows;
}

static double kto(const void *params, const struct board *b, const struct board *at)
{
    double k = 0, loss = 0, beta = real(&term_kto, params, "beta");
    const char *link;
    memcpy(&link, (const char *)params + param_find(term_kto.params, "link")->offset, sizeof link);
    for (int s = 0; s < at[1].n_seqs; s++)
        k += (at[1].ref_nll[s] - at[1].nll[s]) / at[1].n_seqs;
    for (int s = 0; s < b->n_seqs; s++) {
        double margin = k;
        for (int r = 0; r < b->n_rows; r++)
            if (b->row_seq[r] == s)
                margin += beta * (double)(b->ref[VIEW_LOGP][r] - b->x[VIEW_LOGP][r]);
        double p = 1 / (1 + exp(-margin));
        loss += 1 - 2 / beta * (strcmp(link, "sigmoid") ? log(p) : p);
    }
    return loss / b->mean_seqs;
}

/* Sample `a` of the MMD, [4 C]: label tokens of the a-th sequence that has some, or the noise
 * there. */
static int noise_samples(const struct board *b, double x[2 * S][4 * C])
{
    struct rng r;
    int n = 0, of[S], used[S] = {0};
    memset(x, 0, 2 * S * sizeof *x);
    for (int s = 0; s < b->n_seqs; s++)
        of[s] = b->n_labels[s] ? n++ : -1;
    rng_stream(&r, 5, RNG_NOISE, 1);
    for (int t = 0; t < b->n_tokens; t++)
        for (int i = 0, s = b->token_seq[t]; b->scored[t] && i < C; i++) {
            x[of[s]][used[s]] = (double)b->x[VIEW_HIDDEN][t * C + i];
            x[n + of[s]][used[s]++] = (double)(float)rng_normal(&r);
        }
    return n;
}

static double distance(const double *u, const double *v)
{
    double d = 0;
    for (int i = 0; i < 4 * C; i++)
        d += (u[i] - v[i]) * (u[i] - v[i]);
    return d;
}

/* The bandwidth is a constant. */
static double noise_mmd(const void *params, const struct board *b, const struct board *at)
{
    static double x[2 * S][4 * C], x0[2 * S][4 * C];
    int n = noise_samples(b, x);
    double width = 0, loss = 0;
    (void)params;
    noise_samples(at, x0);
    for (int i = 0; i < 2 * n; i++)
        for (int k = 0; k < 2 * n; k++)
            width += distance(x0[i], x0[k]) / (2 * n * (2 * n - 1));
    for (int i = 0; i < 2 * n; i++)
        for (int k = 0; k < 2 * n; k++)
            for (double w = width / 4; w <= 4 * width; w *= 2)
                loss += ((i < n) == (k < n) ? 1 : -1) * exp(-distance(x[i], x[k]) / w);
    return loss / (n * b->mean_seqs * 2);
}

static const struct weighted {
    const struct term *term;
    double (*loss)(const void *params, const struct board *b, const struct board *at);
    bool batchwise; /* the weight is one of the whole micro-batch, and its second view only that */
} weighted[] = {{&term_wga, wga, false},
                {&term_satimp, satimp, false},
                {&term_ceu, ceu, false},
                {&term_kto, kto, true},
                {&term_noise_mmd, noise_mmd, true},
                {&term_kga, NULL, true},
                {0}};

static const struct weighted *weighted_of(const struct term *t)
{
    const struct weighted *w = weighted;
    while (w->term && w->term != t)
        w++;
    return w;
}

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
    ok(!t->loss(params, views, &loss, &e), "%s: runs", t->name);
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
    ok((t->kind == VIEW_HIDDEN) == (t->layer != NULL), "%s: a layer where it needs one", t->name);
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
    double one = 1;
    near(loss_of(&term_kl, &one, &b), 0, 0, 1e-12, "kl: of a model from itself");
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

int main(void)
{
    struct err e;
    for (int i = 0; terms[i]; i++)
        check_term(terms[i], 10 + 2 * (unsigned)i);
    check_limits();
    ok(!term_by_name("npq", &e) && strstr(e.msg, "did you mean 'npo'"), "%s", e.msg);
    return done();
}
