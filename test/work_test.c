/* Work not done: layers above the deepest term, logits that no term looks at, reference passes that
 * were made before, terms without a weight. The operations of the CPU, counted, tell. */
#include "bench.h"
#include "model/head.h"

enum { VOCAB = 104, LAYERS = 3 };

/* Layers run forward and backward, rows of logits, and rows whose derivative went back. */
struct count {
    int forward, backward, logits, back;
};

static struct count own, reference;
static struct count *now = &own; /* whose operations are running */

static void attention(float *out, float *lse, const float *q, const float *k, const float *v,
                      const struct attn *a)
{
    now->forward++;
    ops_cpu()->attention(out, lse, q, k, v, a);
}

static void attention_back(float *dq, float *dk, float *dv, const float *dout, const float *out,
                           const float *lse, const float *q, const float *k, const float *v,
                           const struct attn *a)
{
    now->backward++;
    ops_cpu()->attention_back(dq, dk, dv, dout, out, lse, q, k, v, a);
}

/* Only the head has as many outputs as the vocabulary. */
static void linear(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
    now->logits += o == VOCAB ? n : 0;
    ops_cpu()->linear(out, x, w, n, i, o, beta);
}

static void linear_dx(float *dx, const float *dout, const float *w, int n, int i, int o, float beta)
{
    now->back += o == VOCAB ? n : 0;
    ops_cpu()->linear_dx(dx, dout, w, n, i, o, beta);
}

static void ref_attention(float *out, float *lse, const float *q, const float *k, const float *v,
                          const struct attn *a)
{
    now = &reference;
    attention(out, lse, q, k, v, a);
    now = &own;
}

static void ref_linear(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
    now = &reference;
    linear(out, x, w, n, i, o, beta);
    now = &own;
}

static struct ops counted, ref_counted;

static void count_ops(struct bench *b)
{
    counted = ref_counted = *ops_cpu();
    counted.attention = attention;
    counted.attention_back = attention_back;
    counted.linear = linear;
    counted.linear_dx = linear_dx;
    ref_counted.attention = ref_attention;
    ref_counted.linear = ref_linear;
    b->m.ops = &counted;
    b->ref.ops = &ref_counted;
    own = reference = (struct count){0};
}

static int labels_of(const struct bench *b, enum role role)
{
    int n = 0;
    for (int s = 0; s < b->sets[role].n; s++)
        for (int t = 1; t < b->sets[role].seqs[s].n; t++)
            n += b->sets[role].seqs[s].labels[t] != LABEL_NONE;
    return n;
}

/* One pass for a method; returns the tokens read. */
static long pass_of(struct bench *b, const char *method, double alpha)
{
    bench_open(b, method, alpha, "none");
    count_ops(b);
    gradient_of(b, 0);
    return b->step.tokens;
}

static bool is(const struct count *c, int forward, int backward, int logits, int back)
{
    bool same =
        c->forward == forward && c->backward == backward && c->logits == logits && c->back == back;
    if (!same)
        note("layers %d and back %d, logits %d and back %d", c->forward, c->backward, c->logits,
             c->back);
    return same;
}

/* The terms of RMU look after layer 1 of 0..2. */
static void check_hidden(const char *method)
{
    struct bench b;
    pass_of(&b, method, 1);
    ok(is(&own, 2, 2, 0, 0), "%s: no layer above the hooked one, no logits", method);
    ok(reference.forward % 2 == 0 && reference.forward && !reference.logits,
       "%s: nor in the reference", method);
    bench_close(&b);
}

/* Of n rows of a term on log-probabilities: those of all blocks but the last, which is still held
 * when the backward pass begins; none where all fit one block. */
static int again(const struct bench *b, int term, int n)
{
    const int block = head_block(&b->m.cfg, n);
    return n && b->g.obj[term].term->kind == VIEW_LOGP ? (n - 1) / block * block : 0;
}

/* Logits of label rows only, each once but for what is computed again(), and only of roles that
 * some term looks at; `skipped` rows at the start of each sequence are none that the term wants. */
static void check_logits(const char *method, bool retain, int skipped)
{
    struct bench b;
    pass_of(&b, method, 1);
    int forget = labels_of(&b, ROLE_FORGET) - skipped * b.mb.n[ROLE_FORGET];
    int kept = retain ? labels_of(&b, ROLE_RETAIN) : 0, n = forget + kept;
    ok(is(&own, LAYERS, LAYERS, n + again(&b, 0, forget) + again(&b, 1, kept), n),
       "%s: logits of %d label rows, once", method, n);
    ok(is(&reference, 0, 0, 0, 0), "%s: no reference in a step", method);
    bench_close(&b);
}

/* Where one term wants log-probabilities and another one logits, each has its own role's rows. */
static void check_mixed(void)
{
    struct bench b;
    pass_of(&b, "KLMin", 1);
    int forget = labels_of(&b, ROLE_FORGET), retain = labels_of(&b, ROLE_RETAIN);
    ok(is(&own, LAYERS, LAYERS, forget + again(&b, 0, forget) + retain, forget + retain),
       "KLMin: %d and %d rows", forget, retain);
    ok(is(&reference, LAYERS, 0, retain, 0), "KLMin: the reference's are those of retain");
    bench_close(&b);
}

/* Three epochs over the same rows cost one pass of the reference. */
static void check_cache(void)
{
    struct bench b;
    struct err e;
    bench_open(&b, "NPO", 1, "none");
    struct ref_cache *c = &b.g.ref_logp[ROLE_FORGET];
    scores_fini(&c->scores);
    free(c->at);
    count_ops(&b);
    struct micro mb[3] = {b.mb, b.mb, b.mb};
    struct order thrice = {.micro = mb, .n = 3, .per_epoch = 1};
    BUG_ON(engine_cache_reference(&b.g, &b.ref, &thrice, 0, 3, &e));
    int n = labels_of(&b, ROLE_FORGET);
    ok(reference.logits == n, "reference log-probabilities: %d rows for %d labels in 3 epochs",
       reference.logits, n);
    ok(c->scores.n == b.sets[ROLE_FORGET].n, "of each example once");
    int before = reference.forward;
    for (int k = 0; k < 3; k++)
        gradient_of(&b, k);
    ok(own.logits && reference.forward == before, "and none in the steps");
    bench_close(&b);
}

/* Without its weight a retain term is not there: neither its rows nor its reference. */
static void check_weightless(const char *method, const char *alone)
{
    struct bench a, b;
    long tokens = pass_of(&b, alone, 0);
    struct count want = own;
    bench_close(&b);
    ok(pass_of(&a, method, 0) == tokens &&
           is(&own, want.forward, want.backward, want.logits, want.back) && !reference.forward,
       "%s: a retain term of weight 0 costs nothing", method);
    bench_close(&a);
}

int main(void)
{
    char *marker = test_data("models/m_cur/config.json");
    if (!marker) {
        skip("test/data is not there");
        return done();
    }
    marker[strlen(marker) - strlen("/models/m_cur/config.json")] = 0;
    bench_root = marker;
    check_hidden("RMU");
    check_hidden("AdaptiveRMU");
    check_logits("GradAscent", false, 0);
    check_logits("GradDiff", true, 0);
    check_logits("NPO", true, 0);
    check_logits("SimNPO", true, 0);
    check_logits("CEU", false, 1);
    check_mixed();
    check_cache();
    check_weightless("GradDiff", "GradAscent");
    check_weightless("KLMin", "GradAscent");
    free(marker);
    return done();
}
