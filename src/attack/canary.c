/* Canary exposure (arXiv 1802.08232): how far up a secret's loss stands among others that were as
 * likely before training. Forget rows are the canaries; `unlearn canaries` makes and inserts them.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/splice.h"
#include "eval/robustness.h"
#include "model/score.h"

struct canary_params {
    const char *space;
    int64_t candidates;
};

static const struct param table[] = {
    CHOICE_PARAM(
        struct canary_params, space, "digits|tokens", "digits",
        "the alternatives: the answer with other digits, or with all of its tokens others"),
    INT_PARAM(struct canary_params, candidates, 8, 1 << 20, 256, "alternatives of each canary"),
    {0}};

/* --- alternatives --- */

/* The answer with each digit drawn again; the number of digits. */
static int draw_digits(char *text, struct rng *r)
{
    int digits = 0;
    for (char *c = text; *c; c++)
        if (isdigit((unsigned char)*c)) {
            *c = (char)('0' + rng_below(r, 10));
            digits++;
        }
    return digits;
}

/* Row i with `n` other answers, as rows of text. */
static int digit_rows(struct attack_run *a, int i, int n, struct rng *r, struct rows *out,
                      int *digits, struct err *e)
{
    const struct rows *rows = &a->rows[ATTACK_FORGET];
    const int row = a->sets[ATTACK_FORGET].rows[i];
    const char *answer = rows_text(rows, row, a->o->answer_key, e);
    char *text = answer ? mem_strdup(answer, e) : NULL;
    struct buf lines = {0};
    int rc = !text;
    for (int k = 0; !rc && k < n; k++) {
        json_t *other = json_copy(rows->v[row]);
        if (!(*digits = draw_digits(text, r)))
            rc = rows_err(rows, row, e, "the answer has no digit: there is no other as likely");
        json_object_set_new(other, a->o->answer_key, json_string(text));
        rc = rc || json_write_buf(other, &lines, JSON_COMPACT, e) || buf_str(&lines, "\n", e);
        json_decref(other);
    }
    rc = rc || rows_read(out, "alternatives", lines.data, lines.len, e);
    buf_fini(&lines);
    free(text);
    return rc ? -1 : 0;
}

/* Alternatives of row i as examples, `d`; of `rows` where they are texts. */
static int draw_digit_answers(struct attack_run *a, int i, int n, struct rng *r, struct rows *rows,
                              struct dataset *d, double *bits, struct err *e)
{
    int digits = 0;
    if (!a->s.tokenizer)
        return err_about(e, "forget", "digits are drawn in texts, not in token ids: use tokens");
    if (digit_rows(a, i, n, r, rows, &digits, e))
        return -1;
    *bits = digits * log2(10);
    return dataset_build(d, ROLE_FORGET, rows, a->o->question_key, a->o->answer_key, &a->s.encoder,
                         e);
}

static int draw_token_answers(struct attack_run *a, int i, int n, struct rng *r, struct dataset *d,
                              double *bits, struct err *e)
{
    const struct dataset *forget = &a->sets[ATTACK_FORGET];
    const int vocab = a->s.model.cfg.vocab;
    struct seq *copies = mem_alloc((size_t)n, sizeof *copies, e);
    if (!copies)
        return -1;
    for (int k = 0; k < n; k++)
        copies[k] = forget->seqs[i];
    const struct dataset same = {.n = n, .seqs = copies};
    const int rc = dataset_random_answers(d, ROLE_FORGET, &same, vocab, rng_u32(r), e);
    free(copies);
    *bits = seq_labels(&forget->seqs[i]) * log2(vocab);
    return rc;
}

/* --- exposure --- */

struct exposures {
    double rank, estimate, most; /* means over canaries, in bits */
    json_t *rows;
};

/* The losses of an example's alternatives, other [n]. */
static int score_others(struct attack_run *a, const struct dataset *d, double *other, struct err *e)
{
    struct scores scores = {0};
    const int rc = model_score(&scores, &a->s.model, d->seqs, d->n,
                               &(struct score_options){.interrupt = a->stop}, NULL, e);
    for (int k = 0; !rc && k < d->n; k++) {
        other[k] = scores.v[k].nll;
        a->spent.forward_tokens += d->seqs[k].n;
    }
    scores_fini(&scores);
    return rc;
}

static void put_row(struct exposures *x, const double *other, int n, double own, double bits)
{
    json_t *row = json_object();
    const double rank = exposure_of_rank(other, n, own),
                 estimate = fmin(exposure_estimate(other, n, own), bits);
    json_put_real(row, "loss", own);
    json_put_real(row, "exposure", rank);
    json_put_real(row, "estimate", estimate);
    json_put_real(row, "most", bits);
    json_array_append_new(x->rows, row);
    x->rank += rank;
    x->estimate += estimate;
    x->most += bits;
}

static int expose_row(struct attack_run *a, const struct canary_params *p, int i, double own,
                      double *other, struct exposures *x, struct err *e)
{
    const bool tokens = !strcmp(p->space, "tokens");
    const int n = (int)p->candidates;
    struct rows rows = {0};
    struct dataset d = {0};
    struct rng r;
    double bits = 0;
    rng_stream(&r, (uint32_t)a->o->seed, RNG_SAMPLE, (uint32_t)i);
    const int rc = (tokens ? draw_token_answers(a, i, n, &r, &d, &bits, e)
                           : draw_digit_answers(a, i, n, &r, &rows, &d, &bits, e)) ||
                   score_others(a, &d, other, e);
    if (!rc)
        put_row(x, other, n, own, bits);
    dataset_fini(&d);
    rows_close(&rows);
    return rc;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct canary_params *p = params;
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    struct exposures x = {.rows = json_array()};
    struct progress bar;
    double *other = mem_alloc((size_t)p->candidates, sizeof *other, e);
    double *own = other ? mem_alloc((size_t)d->n, sizeof *own, e) : NULL;
    int rc = !own || score_others(a, d, own, e);
    progress_start(&bar, "canary", d->n);
    for (int i = 0; !rc && i < d->n; i++) {
        rc = expose_row(a, p, i, own[i], other, &x, e);
        progress_step(&bar, i + 1, a->spent.forward_tokens, NULL);
    }
    progress_end(&bar);
    if (!rc) {
        json_put_real(block, "exposure", x.rank / d->n);
        json_put_real(block, "estimate", x.estimate / d->n);
        json_put_real(block, "most", x.most / d->n);
        json_object_set(block, "rows", x.rows);
        a->spent.candidates = p->candidates * d->n;
    }
    json_decref(x.rows);
    free(other);
    free(own);
    return rc ? -1 : 0;
}

const struct attack attack_canary = {
    .name = "canary",
    .seeded = true,
    .params = table,
    .params_size = sizeof(struct canary_params),
    .help = "exposure of inserted secrets: their rank among others, and its estimate",
    .paper = "arXiv 1802.08232",
    .touches = "nothing",
    .access = "grey",
    .verified = "SciPy's skew normal; a property: 0 to log2 on average of what is not trained on",
    .run = run,
};
