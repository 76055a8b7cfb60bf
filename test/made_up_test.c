/* Every loss on logits made of sines, against figures in f64: known ones of 2 sequences of 6 tokens
 * with 128 words, to whose rows the compat switches add others, and those of
 * tools/make_npo_golden.py with their derivatives. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "batches.h"
#include "objectives/terms.h"
#include "tap.h"

enum { B = 2, T = 6, V = 128, D = 8, ROWS = B * T };

static const int labels[B][T] = {{-100, -100, 3, 5, 1, 6}, {-100, 2, 4, 0, -100, -100}};
static const int others[B][T] = {{-100, -100, 10, 11, -100, -100}, {-100, 20, 21, 22, 23, -100}};

/* One role's view and its memory. */
struct made {
    struct view v;
    int n, row_seq[ROWS], label[ROWS], n_labels[B], at[ROWS];
    float z[ROWS * V], ref[ROWS * V], logp[ROWS], d[ROWS * V];
    double nll[B], ref_nll[B];
    float hidden[ROWS * D], ref_hidden[ROWS * D], direction[D];
    struct token_view token[ROWS];
};

static double log_p(const float *z, int label)
{
    double sum = 0;
    for (int i = 0; i < V; i++)
        sum += exp((double)z[i]);
    return (double)z[label] - log(sum);
}

static void fill_row(struct made *m, int b, int t, int label)
{
    int r = m->n++;
    float *z = m->z + r * V, *ref = m->ref + r * V;
    for (int i = 0; i < V; i++) {
        z[i] = (float)(2 * sin(0.7 * b + 1.3 * t + 0.9 * i + 0.1));
        ref[i] = (float)(2 * cos(0.5 * b + 1.1 * t + 0.8 * i));
    }
    m->at[r] = b * T + t;
    m->row_seq[r] = b;
    m->label[r] = label;
    if (label == LABEL_NONE)
        return;
    m->n_labels[b]++;
    m->nll[b] -= m->logp[r] = (float)log_p(z, label);
    m->ref_nll[b] -= (double)(float)log_p(ref, label);
}

static bool takes(enum row_set set, const int *lab, int t)
{
    bool next = t + 1 < T;
    return set == ROWS_ALL || (set == ROWS_WITH_NEXT && next) ||
           (set == ROWS_OF_LABELS && lab[t] != LABEL_NONE) ||
           (set == ROWS_SCORED && next && lab[t + 1] != LABEL_NONE);
}

static void fill_hidden(struct made *m)
{
    double length = 0;
    for (int i = 0; i < D; i++)
        length += pow(0.1 * (i + 1), 2);
    for (int i = 0; i < D; i++)
        m->direction[i] = (float)(0.1 * (i + 1) / sqrt(length));
    for (int r = 0; r < ROWS; r++) {
        int b = r / T, t = r % T;
        m->token[r] = (struct token_view){.seq = b, .scored = labels[b][t] != LABEL_NONE};
        for (int i = 0; i < D; i++) {
            m->hidden[r * D + i] = (float)sin(0.3 * b + 0.5 * t + 0.7 * i);
            m->ref_hidden[r * D + i] = (float)cos(0.2 * b + 0.4 * t + 0.6 * i);
        }
    }
}

/* skip: labels that are left out at the start of each sequence. */
static void make(struct made *m, const int lab[B][T], enum view_kind kind, enum row_set set,
                 int skip)
{
    *m = (struct made){.n = 0};
    for (int b = 0; b < B; b++)
        for (int t = 0, seen = 0; t < T; t++)
            if (takes(set, lab[b], t) && seen++ >= skip)
                fill_row(m, b, t, t + 1 < T ? lab[b][t + 1] : LABEL_NONE);
    fill_hidden(m);
    const struct means mean = {.rows = m->n, .seqs = B};
    if (kind == VIEW_LOGP)
        m->v.logp = (struct logp_view){.n_seqs = B,
                                       .n_rows = m->n,
                                       .row_seq = m->row_seq,
                                       .n_labels = m->n_labels,
                                       .mean = mean,
                                       .logp = m->logp,
                                       .nll = m->nll,
                                       .ref_nll = m->ref_nll,
                                       .dlogp = m->d};
    else if (kind == VIEW_LOGITS)
        m->v.logits = (struct logits_view){.n_rows = m->n,
                                           .vocab = V,
                                           .label = m->label,
                                           .at = m->at, /* no term here reads these two */
                                           .of = m->at,
                                           .mean_rows = m->n,
                                           .z = memcpy(m->d, m->z, sizeof m->z),
                                           .ref = m->ref,
                                           .dz = m->d};
    else
        m->v.hidden = (struct hidden_view){.n_seqs = B,
                                           .n_tokens = ROWS,
                                           .width = D,
                                           .mean = mean,
                                           .hidden = m->hidden,
                                           .ref = m->ref_hidden,
                                           .dhidden = m->d,
                                           .token = m->token,
                                           .direction = m->direction};
}

/* Loss of a term with the settings "name=value name=value"; its derivative is left in m->d. */
static double loss_of(struct made *m, const struct term *t, const char *settings)
{
    static struct made other;
    char text[128], *rest = text;
    struct err e = {.msg = ""};
    double loss = 0;
    void *params = mem_alloc(1, t->params_size, &e);
    if (t->params)
        param_defaults(t->params, params);
    snprintf(text, sizeof text, "%s", settings);
    for (char *word; (word = strsep(&rest, " "));) {
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value++ = 0;
        BUG_ON(param_set_text(param_find(t->params, word), params, value, &e));
    }
    make(m, labels, t->kind, term_rows(t, params), term_skip(t, params));
    make(&other, others, t->kind, ROWS_SCORED, 0);
    struct view *views[] = {&m->v, &other.v};
    if (term_loss(t, params, views, &loss, &e)) {
        note("%s: %s", t->name, e.msg);
        loss = NAN;
    }
    free(params);
    return loss;
}

static void check_sums(void)
{
    static const double cur[B] = {26.61708870547818, 17.625569040769854},
                        ref[B] = {25.641652260741992, 19.647735351047064},
                        alternate[B] = {12.95480253875255, 22.471964981680518},
                        alternate_ref[B] = {13.214188965313856, 23.98841131310889};
    static const int n_labels[B] = {4, 3};
    static struct made m, w;
    make(&m, labels, VIEW_LOGP, ROWS_SCORED, 0);
    make(&w, others, VIEW_LOGP, ROWS_SCORED, 0);
    for (int b = 0; b < B; b++) {
        near(m.nll[b], cur[b], 1e-6, 0, "L of sequence %d", b);
        near(m.ref_nll[b], ref[b], 1e-6, 0, "the reference's");
        near(w.nll[b], alternate[b], 1e-6, 0, "of the alternate");
        near(w.ref_nll[b], alternate_ref[b], 1e-6, 0, "the reference's");
        ok(m.n_labels[b] == n_labels[b], "%d labels", n_labels[b]);
    }
}

static void check_losses(void)
{
    static const struct {
        const struct term *term;
        const char *settings;
        double want;
    } rows[] = {
        {&term_nll, "", 6.320379678035435},
        {&term_ascent, "", -6.320379678035435},
        {&term_npo, "", 14.449224889458275},
        {&term_dpo, "", 13.520636480154522},
        {&term_simnpo, "beta=4.5 delta=6", 0.23648836129866282},
        {&term_wga, "beta=1", -0.02081234693076244},
        {&term_wga, "beta=0.5", -0.2885820322328117},
        {&term_satimp, "beta1=0.5 beta2=1", -0.28653290245515023},
        {&term_satimp, "beta1=5 beta2=1", -8.397143358279312e-10},
        {&term_ceu, "", 4.275214878068741},
        {&term_undial, "undial_all_positions=true", 5.6655413017586636},
        {&term_undial, "", 5.672387503023602},
        {&term_kl, "kl_all_positions=true", 1.3767640689681073},
        {&term_kl, "", 1.391064924735798},
        {&term_pdu, "pdu_unshifted=true", 3.9665014569079418},
        {&term_rmu, "rmu_bxb=true", 1.367612848404525},
        {&term_rmu, "", 1.3498357955111668},
        {&term_embed_diff, "rmu_bxb=true", 0.4191996554345924},
        {&term_embed_diff, "", 0.41092171403948585},
    };
    static struct made m;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near(loss_of(&m, rows[i].term, rows[i].settings), rows[i].want, 1e-6, 0, "%s %s",
             rows[i].term->name, rows[i].settings);
}

/* d loss / d z of a term that sees log-probabilities: d loss / d logp (onehot - p). */
static void through_softmax(const struct made *m, float *dz)
{
    for (int i = 0; i < m->n * V; i++) {
        int r = i / V, hit = i % V == m->label[r];
        dz[i] = (float)((double)m->d[r] * (hit - exp(log_p(m->z + r * V, i % V))));
    }
}

static void check_forms(void)
{
    static const struct {
        const char *name;
        const struct term *term;
        const char *settings;
    } rows[] = {
        {"npo_token_mean", &term_npo_token_mean, ""},
        {"npo_raw_logits", &term_npo_raw_logits, ""},
        {"npo_raw_logits_wide", &term_npo_raw_logits, "kl_all_positions=true"},
        {"simnpo_raw_logits", &term_simnpo_raw_logits, "delta=0.5"},
    };
    static struct made m;
    static float dz[ROWS * V];
    struct err e;
    struct tensor_file f;
    char *path = test_data("made_up.safetensors");
    BUG_ON(tensor_file_open(&f, path, &e));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        double off = 0, top = 0;
        int rest = 0;
        snprintf(name, sizeof name, "%s.loss", rows[i].name);
        near(loss_of(&m, rows[i].term, rows[i].settings), read_value(&f, name, 0), 1e-6, 0, "%s",
             name);
        memcpy(dz, m.d, sizeof dz);
        if (rows[i].term->kind == VIEW_LOGP)
            through_softmax(&m, dz);
        snprintf(name, sizeof name, "%s.dz", rows[i].name);
        float *want = read_f32(&f, name);
        for (int k = 0; k < ROWS * V; k++) {
            int r = 0;
            while (r < m.n && m.at[r] != k / V)
                r++;
            double got = r < m.n ? (double)dz[r * V + k % V] : 0;
            rest += r == m.n && want[k] != 0;
            off = fmax(off, fabs(got - (double)want[k]));
            top = fmax(top, fabs((double)want[k]));
        }
        ok(!rest && off <= 1e-6 * top, "%s: the worst entry off by %.1e of the largest", name,
           off / top);
        free(want);
    }
    tensor_file_close(&f);
    free(path);
}

int main(void)
{
    check_sums();
    check_losses();
    check_forms();
    return done();
}
