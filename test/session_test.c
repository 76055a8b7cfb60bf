/* A session against whole passes: whatever way a slot came to hold a sequence (fed at once or token
 * by token, beside others, cut, forked), its next logits are those of one forward over the
 * sequence. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/session.h"
#include "tap.h"

enum { SLOTS = 4, MOST = 40, ROUNDS = 60 };

/* A sequence as a slot should hold it. */
struct want {
    int ids[MOST], n;
    uint8_t mask[MOST];
};

static struct seq seq_of(const struct want *w)
{
    return (struct seq){.n = w->n, .ids = w->ids, .mask = w->mask};
}

/* Largest distance of the logits after the last token from those of a forward over everything.
 * Masked tokens count as positions, unless `move`. */
static double distance(struct model *m, const struct want *w, const float *z, bool move)
{
    struct arena a;
    struct batch b;
    struct pass p;
    struct head h;
    struct err e;
    struct seq s = seq_of(w);
    int last = w->n - 1, n;
    struct label_rows rows = {.n = 1, .token = &last};
    double worst = 0;
    arena_init(&a);
    BUG_ON(batch_pack(&b, &s, 1, m->cfg.vocab, m->cfg.positions, &a, &e));
    for (int t = 0, seen = 0; move && t < w->n; t++) {
        b.pos[t] = w->mask[t] ? seen : 1;
        seen += w->mask[t];
    }
    BUG_ON(model_forward(m, &b, &(struct forward){.keep = false}, &p, &a, &e) ||
           head_init(&h, &p, &rows, false, &a, &e));
    const float *own = head_logits(&h, 0, &n);
    for (int i = 0; i < m->cfg.vocab; i++)
        worst = fmax(worst, fabs((double)own[i] - (double)z[i]));
    arena_fini(&a);
    return worst;
}

static void grow(struct want *w, struct rng *r, int vocab, bool masked)
{
    w->ids[w->n] = (int)rng_below(r, (uint32_t)vocab);
    w->mask[w->n] = !masked || !w->n || rng_below(r, 4) > 0;
    w->n++;
}

/* Some slots change their sequences in one of four ways, at random, all in one pass. */
static void check_random(struct model *m, bool masked, bool move)
{
    struct session s;
    struct want want[SLOTS] = {0};
    struct rng r;
    struct err e;
    double worst = 0;
    int computed = 0, held = 0;
    rng_seed(&r, 5 + masked + move);
    BUG_ON(session_init(&s, m, SLOTS, MOST, &e));
    s.count_masked = !move;
    for (int round = 0; round < ROUNDS; round++) {
        struct seq seqs[SLOTS];
        int slot[SLOTS], n = 0;
        for (int i = 0; i < SLOTS; i++) {
            struct want *w = &want[i];
            if (rng_below(&r, 3) == 0)
                continue;
            uint32_t way = rng_below(&r, 4);
            if (way == 0)
                w->n = (int)rng_below(&r, (uint32_t)w->n + 1); /* cut */
            if (way == 1) {                                    /* as another slot */
                int from = (int)rng_below(&r, SLOTS);
                int keep = (int)rng_below(&r, (uint32_t)s.len[from] + 1);
                bool busy = false;
                for (int k = 0; k < n; k++)
                    busy |= slot[k] == from;
                if (!busy && from != i) {
                    session_fork(&s, from, i, keep);
                    *w = want[from];
                    w->n = keep;
                }
            }
            for (int k = 1 + (int)rng_below(&r, 6); k > 0 && w->n < MOST; k--)
                grow(w, &r, m->cfg.vocab, masked);
            slot[n] = i;
            seqs[n++] = seq_of(w);
        }
        for (int k = 0; k < n; k++)
            held += seqs[k].n;
        if (!n)
            continue;
        BUG_ON(session_sync(&s, slot, seqs, n, &e));
        computed += s.batch.n_tokens;
        for (int k = 0; k < n; k++)
            worst = fmax(worst, distance(m, &want[slot[k]], session_logits(&s, k), move));
    }
    const char *how = move     ? ", positions counting tokens with mask 1"
                      : masked ? ", with masks"
                               : "";
    near(worst, 0, 0, 2e-4, "logits of a session are those of whole passes%s", how);
    ok(2 * computed < held, "%d tokens computed of %d held%s", computed, held, how);
    session_fini(&s);
}

static void check_steps(struct model *m)
{
    struct session s;
    struct want w[2] = {{.n = 0}, {.n = 0}};
    struct rng r;
    struct err e;
    double worst = 0;
    rng_seed(&r, 9);
    BUG_ON(session_init(&s, m, 2, MOST, &e));
    for (int t = 0; t < 12; t++) {
        const int slot[] = {1, 0};
        int ids[2];
        for (int i = 0; i < 2; i++) {
            grow(&w[i], &r, m->cfg.vocab, false);
            ids[i] = w[i].ids[t];
        }
        BUG_ON(session_step(&s, slot, ids, 2, &e));
        for (int i = 0; i < 2; i++)
            worst = fmax(worst, distance(m, &w[i], session_logits(&s, i), false));
    }
    near(worst, 0, 0, 2e-4, "token by token");
    const struct seq q = seq_of(&w[0]);
    ok(session_match(&s, 1, &q) == 11,
       "of the sequence that a slot holds its last token is computed again");
    session_fini(&s);
}

static void check_refusals(struct model *m)
{
    struct session s;
    struct err e;
    const int ids[MOST + 1] = {1}, slot = 0, wrong = m->cfg.vocab;
    const struct seq q = {.n = MOST + 1, .ids = ids};
    ok(session_init(&s, m, 1 << 20, 1 << 20, &e) && strstr(e.msg, "smaller batch"), "%s", e.msg);
    BUG_ON(session_init(&s, m, 1, MOST, &e));
    ok(session_sync(&s, &slot, &q, 1, &e) && strstr(e.msg, "does not fit its 40"), "%s", e.msg);
    ok(session_step(&s, &slot, &wrong, 1, &e) && strstr(e.msg, "outside the vocabulary"), "%s",
       e.msg);
    ok(s.len[0] == 0, "what is refused is not held");
    session_fini(&s);
    long failed = 0;
    for (bool done = false; !done; failed++) {
        mem_fail_at(failed);
        done = !session_init(&s, m, 2, 8, &e) && !session_step(&s, &slot, ids, 1, &e);
        mem_fail_at(-1);
        session_fini(&s);
    }
    ok(failed > 6, "each of %ld allocations may fail", failed - 1);
}

int main(void)
{
    struct model m;
    struct err e;
    char *path = test_data("models/llama");
    if (ok(!model_open(&m, path, false, &e), "the model")) {
        check_random(&m, false, false);
        check_random(&m, true, false);
        check_random(&m, true, true);
        check_steps(&m);
        check_refusals(&m);
        model_close(&m);
    }
    free(path);
    return done();
}
