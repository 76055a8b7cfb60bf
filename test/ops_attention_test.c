/* Attention against plain double-precision loops: forward by its definition, backward by the
 * derivative of the definition, which is itself checked by central differences. */
#include "ops_util.h"

/* A case of one or more sequences; positions of all are packed one after the other. */
struct shape {
    const char *what;
    int n_seqs, n_q[4], n_k[4], heads, kv_heads, d, window;
    float softcap;
    int masks; /* some keys masked, and all that the first query of the first sequence sees */
};

static const struct shape shapes[] = {
    {"one token", 1, {1}, {1}, 3, 1, 8, 0, 0, 0},
    {"lengths 1, 2, 65", 3, {1, 2, 65}, {1, 2, 65}, 9, 3, 64, 0, 0, 0},
    {"one head each, D 80", 2, {7, 33}, {7, 33}, 4, 4, 80, 0, 0, 0},
    {"D 100, length 130", 1, {130}, {130}, 2, 1, 100, 0, 0, 0},
    {"D 256", 1, {40}, {40}, 2, 2, 256, 0, 0, 0},
    {"masked keys", 3, {5, 70, 9}, {5, 70, 9}, 6, 2, 8, 0, 0, 1},
    {"window 5", 2, {20, 90}, {20, 90}, 2, 1, 16, 5, 0, 0},
    {"window 70, masked", 2, {3, 150}, {3, 150}, 2, 1, 16, 70, 0, 1},
    {"soft cap", 2, {20, 66}, {20, 66}, 2, 1, 16, 0, 3, 0},
    {"soft cap, window, masked", 2, {20, 90}, {20, 90}, 4, 2, 24, 7, 2, 1},
    {"generation", 3, {1, 1, 1}, {1, 70, 300}, 9, 3, 64, 0, 0, 0},
    {"continuation", 2, {5, 3}, {69, 3}, 9, 3, 32, 0, 0, 1},
    {"many heads for one", 1, {9}, {9}, 56, 1, 16, 0, 0, 0},
};

struct problem {
    struct attn a;
    int q_start[4], k_start[4], n_q, n_k; /* totals */
    size_t q_size, k_size;
    float *q, *k, *v, *dout;
    uint8_t *mask;
};

static void problem_init(struct problem *p, const struct shape *s, struct rng *r)
{
    struct err e;
    memset(p, 0, sizeof *p);
    for (int i = 0; i < s->n_seqs; i++) {
        p->q_start[i] = p->n_q;
        p->k_start[i] = p->n_k;
        p->n_q += s->n_q[i];
        p->n_k += s->n_k[i];
    }
    p->q_size = (size_t)p->n_q * s->heads * s->d;
    p->k_size = (size_t)p->n_k * s->kv_heads * s->d;
    p->q = random_floats(r, p->q_size, 1);
    p->k = random_floats(r, p->k_size, 1);
    p->v = random_floats(r, p->k_size, 1);
    p->dout = random_floats(r, p->q_size, 1);
    p->mask = mem_alloc((size_t)p->n_k, 1, &e);
    for (int j = 0; j < p->n_k; j++)
        p->mask[j] = j > 0 && rng_below(r, 4) > 0;
    p->a = (struct attn){s->n_seqs, p->q_start,
                         s->n_q,    p->k_start,
                         s->n_k,    s->masks ? p->mask : NULL,
                         s->heads,  s->kv_heads,
                         s->d,      1.3f / sqrtf((float)s->d),
                         s->window, s->softcap};
}

static void problem_fini(struct problem *p)
{
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->dout);
    free(p->mask);
}

struct reference {
    double *out, *lse, *dq, *dk, *dv;
};

static bool sees(const struct attn *a, int s, int i, int j)
{
    int pos = a->n_k[s] - a->n_q[s] + i;
    if (j > pos || (a->window && j <= pos - a->window))
        return false;
    return !a->key_mask || a->key_mask[a->k_start[s] + j];
}

static double score(const struct attn *a, const double *q, const double *k, double *slope)
{
    double x = 0;
    for (int c = 0; c < a->head_dim; c++)
        x += q[c] * k[c];
    x *= a->scale;
    *slope = 1;
    if (a->softcap == 0)
        return x;
    double t = tanh(x / a->softcap);
    *slope = 1 - t * t;
    return a->softcap * t;
}

/* One query row of one head: out, lse and, if dout, the derivatives of dout . out. */
static void ref_row(const struct attn *a, int s, int i, int h, const double *q, const double *k,
                    const double *v, const float *dout, struct reference *r)
{
    const int d = a->head_dim, n = a->n_k[s];
    const size_t row = (size_t)(a->q_start[s] + i) * a->heads + h;
    const size_t ldk = (size_t)a->kv_heads * d;
    const size_t k_at = a->k_start[s] * ldk + (size_t)(h / (a->heads / a->kv_heads)) * d;
    double sum = 0, p[300], slope[300], dp[300], delta = 0;

    for (int j = 0; j < n; j++) {
        p[j] = sees(a, s, i, j) ? exp(score(a, q + row * d, k + k_at + j * ldk, &slope[j])) : 0;
        sum += p[j];
    }
    r->lse[row] = log(sum);
    for (int j = 0; j < n; j++) {
        p[j] = sum > 0 ? p[j] / sum : 0;
        dp[j] = 0;
        for (int c = 0; c < d; c++) {
            r->out[row * d + c] += p[j] * v[k_at + j * ldk + c];
            dp[j] += dout[row * d + c] * v[k_at + j * ldk + c];
        }
        delta += p[j] * dp[j];
    }
    for (int j = 0; j < n; j++) {
        double ds = p[j] > 0 ? p[j] * (dp[j] - delta) * slope[j] * a->scale : 0;
        for (int c = 0; c < d; c++) {
            r->dq[row * d + c] += ds * k[k_at + j * ldk + c];
            r->dk[k_at + j * ldk + c] += ds * q[row * d + c];
            r->dv[k_at + j * ldk + c] += p[j] * dout[row * d + c];
        }
    }
}

static void reference_run(struct reference *r, const struct problem *p, const double *q,
                          const double *k, const double *v)
{
    const struct attn *a = &p->a;
    *r = (struct reference){doubles(NULL, p->q_size), doubles(NULL, (size_t)p->n_q * a->heads),
                            doubles(NULL, p->q_size), doubles(NULL, p->k_size),
                            doubles(NULL, p->k_size)};
    for (int s = 0; s < a->n_seqs; s++)
        for (int i = 0; i < a->n_q[s]; i++)
            for (int h = 0; h < a->heads; h++)
                ref_row(a, s, i, h, q, k, v, p->dout, r);
}

static void reference_fini(struct reference *r)
{
    free(r->out);
    free(r->lse);
    free(r->dq);
    free(r->dk);
    free(r->dv);
}

static void check_shape(const struct ops *o, const struct shape *s, struct rng *rng)
{
    struct problem p;
    struct reference r;
    problem_init(&p, s, rng);
    double *q = doubles(p.q, p.q_size), *k = doubles(p.k, p.k_size), *v = doubles(p.v, p.k_size);
    reference_run(&r, &p, q, k, v);

    size_t n_lse = (size_t)p.n_q * s->heads;
    float *out = filled(p.q_size, NAN), *lse = filled(n_lse, NAN);
    float *dq = filled(p.q_size, NAN), *dk = filled(p.k_size, NAN), *dv = filled(p.k_size, NAN);
    o->attention(out, lse, p.q, p.k, p.v, &p.a);
    o->attention_back(dq, dk, dv, p.dout, out, lse, p.q, p.k, p.v, &p.a);
    double worst[] = {distance(out, r.out, p.q_size), distance(lse, r.lse, n_lse),
                      distance(dq, r.dq, p.q_size), distance(dk, r.dk, p.k_size),
                      distance(dv, r.dv, p.k_size)};
    bool pass = true;
    for (int i = 0; i < 5; i++)
        pass = pass && worst[i] < 5e-6;
    ok(pass, "%s attention, %s: off by out %.1e lse %.1e dq %.1e dk %.1e dv %.1e", o->name, s->what,
       worst[0], worst[1], worst[2], worst[3], worst[4]);
    float *const arrays[] = {out, lse, dq, dk, dv};
    for (int i = 0; i < 5; i++)
        free(arrays[i]);
    free(q);
    free(k);
    free(v);
    reference_fini(&r);
    problem_fini(&p);
}

static void check_shapes(const struct ops *o)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(o, &shapes[i], &rng);
}

/* dout . out of the reference as a function of its inputs. */
static double ref_loss(const struct problem *p, const double *q, const double *k, const double *v)
{
    struct reference r;
    double sum = 0;
    reference_run(&r, p, q, k, v);
    for (size_t i = 0; i < p->q_size; i++)
        sum += r.out[i] * p->dout[i];
    reference_fini(&r);
    return sum;
}

static double worst_difference(const struct problem *p, double *x, size_t n, const double *dx,
                               double *const qkv[3])
{
    const double h = 1e-5;
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double was = x[i];
        x[i] = was + h;
        double up = ref_loss(p, qkv[0], qkv[1], qkv[2]);
        x[i] = was - h;
        double down = ref_loss(p, qkv[0], qkv[1], qkv[2]);
        x[i] = was;
        worst = fmax(worst, fabs((up - down) / (2 * h) - dx[i]));
    }
    return worst;
}

static void check_reference(void)
{
    const struct shape s = {"", 2, {3, 5}, {3, 7}, 4, 2, 8, 3, 2, 1};
    struct rng rng;
    struct problem p;
    struct reference r;
    rng_seed(&rng, 2);
    problem_init(&p, &s, &rng);
    double *qkv[] = {doubles(p.q, p.q_size), doubles(p.k, p.k_size), doubles(p.v, p.k_size)};
    reference_run(&r, &p, qkv[0], qkv[1], qkv[2]);
    double worst[] = {worst_difference(&p, qkv[0], p.q_size, r.dq, qkv),
                      worst_difference(&p, qkv[1], p.k_size, r.dk, qkv),
                      worst_difference(&p, qkv[2], p.k_size, r.dv, qkv)};
    ok(worst[0] < 1e-8 && worst[1] < 1e-8 && worst[2] < 1e-8,
       "reference gradients are central differences: off by dq %.1e dk %.1e dv %.1e", worst[0],
       worst[1], worst[2]);
    for (int i = 0; i < 3; i++)
        free(qkv[i]);
    reference_fini(&r);
    problem_fini(&p);
}

int main(void)
{
    check_reference();
    each_isa(check_shapes);
    return done();
}
