/* Rows with room for an attack's tokens. */
#include <string.h>

#include "attack/input.h"
#include "base/mem.h"
#include "base/rng.h"

int input_slots_init(struct input_slots *s, const struct seq *rows, int n, const int *at,
                     const int *ids, int width, struct err *e)
{
    size_t tokens = 0;
    for (int i = 0; i < n; i++)
        tokens += (size_t)(rows[i].n + width);
    *s = (struct input_slots){.n = n, .width = width};
    if (!(s->seqs = mem_alloc((size_t)n, sizeof *s->seqs, e)) ||
        !(s->at = mem_alloc((size_t)n, sizeof *s->at, e)) ||
        !(s->pool = mem_alloc(2 * tokens, sizeof *s->pool, e)) ||
        !(s->masks = mem_alloc(tokens, 1, e)))
        return input_slots_fini(s), -1;
    int *pool = s->pool;
    uint8_t *mask = s->masks;
    for (int i = 0; i < n; i++) {
        const struct seq *q = &rows[i];
        const int all = q->n + width;
        int *labels = pool + all;
        for (int t = 0; t < all; t++) {
            const int k = t < at[i] ? t : t - width; /* below at[i]: a token of the attack */
            const bool own = t >= at[i] && k < at[i];
            pool[t] = own ? ids[t - at[i]] : q->ids[k];
            labels[t] = own || !q->labels ? LABEL_NONE : q->labels[k];
            mask[t] = own || !q->mask || q->mask[k];
        }
        s->at[i] = at[i];
        s->seqs[i] =
            (struct seq){.n = all, .ids = pool, .labels = labels, .mask = q->mask ? mask : NULL};
        pool += 2 * all;
        mask += all;
    }
    return 0;
}

void input_slots_fini(struct input_slots *s)
{
    free(s->seqs);
    free(s->at);
    free(s->pool);
    free(s->masks);
    *s = (struct input_slots){0};
}

int input_question_end(struct input *in, int i, int *at, struct err *e)
{
    struct attack_run *a = in->a;
    const struct seq *q = &in->rows[INPUT_TRUE][i];
    const struct rows *rows = &a->rows[ATTACK_FORGET];
    const json_t *question =
        json_object_get(rows->v[a->sets[ATTACK_FORGET].rows[i]], a->o->question_key);
    *at = seq_prompt(q);
    if (!a->s.encoder.encode || !json_is_string(question))
        return 0;
    struct buf longer = {0};
    const int *prompt, *whole;
    int n_prompt, n_whole;
    int rc = buf_str(&longer, json_string_value(question), e) || buf_str(&longer, " x", e) ||
             a->s.encoder.encode(a->s.encoder.ctx, longer.data, NULL, &prompt, &n_prompt, &whole,
                                 &n_whole, e);
    if (!rc) {
        const struct seq other = {.n = n_prompt, .ids = prompt};
        const int common = seq_common(&other, q);
        *at = common < *at ? common : *at;
    }
    buf_fini(&longer);
    return rc;
}

int input_start(struct input *in, const char *text, int tokens, int **ids, int *n, struct err *e)
{
    struct attack_run *a = in->a;
    struct ids out = {0};
    if (!a->s.tokenizer) {
        struct rng rng;
        rng_stream(&rng, (uint32_t)a->o->seed, RNG_INIT, 0);
        *n = tokens;
        if (!(*ids = mem_alloc((size_t)tokens, sizeof **ids, e)))
            return -1;
        for (int i = 0; i < tokens; i++)
            (*ids)[i] = (int)rng_below(&rng, (uint32_t)a->s.model.cfg.vocab);
        return 0;
    }
    if (tokenizer_encode(a->s.tokenizer, text, strlen(text), false, &out, e) || !out.n) {
        free(out.v);
        return out.n ? -1
                     : err_about(e, "init", "the attack needs at least one token to start from");
    }
    *ids = out.v;
    *n = (int)out.n;
    return 0;
}
