#include "data/splice.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static bool same_answer(const struct seq *a, const struct seq *b)
{
    int i = seq_prompt(a), k = seq_prompt(b);
    return a->n - i == b->n - k &&
           !memcmp(a->ids + i, b->ids + k, (size_t)(a->n - i) * sizeof *a->ids);
}

/* Answer k, or the next that is not the prompt's own; -1: there is none. */
static int other_answer(const struct seq *prompt, const struct dataset *answers, int k)
{
    for (int tries = 0; tries < answers->n; tries++, k = (k + 1) % answers->n)
        if (!same_answer(prompt, &answers->seqs[k]))
            return k;
    return -1;
}

static int start(struct dataset *d, enum role role, size_t n, size_t tokens, struct err *e)
{
    *d = (struct dataset){.role = role, .n = (int)n};
    d->seqs = mem_alloc(n, sizeof *d->seqs, e);
    d->rows = d->seqs ? mem_alloc(n, sizeof *d->rows, e) : NULL;
    d->item = d->rows ? mem_alloc(n, sizeof *d->item, e) : NULL;
    d->pool = d->item ? mem_alloc(2 * tokens, sizeof *d->pool, e) : NULL;
    d->masks = d->pool ? mem_alloc(tokens, 1, e) : NULL;
    return d->masks ? 0 : -1;
}

/* Example `at`: the first `cut` tokens of `prompt`, then those of `answer` from `from` on. *tokens
 * are taken already. */
static void put(struct dataset *d, size_t at, const struct seq *prompt, int cut,
                const struct seq *answer, int from, size_t *tokens)
{
    int n = cut + answer->n - from, *ids = d->pool + 2 * *tokens, *labels = ids + n;
    uint8_t *mask = d->masks + *tokens;
    for (int t = 0; t < n; t++) {
        const struct seq *s = t < cut ? prompt : answer;
        int k = t < cut ? t : from + t - cut;
        ids[t] = s->ids[k];
        labels[t] = t < cut ? LABEL_NONE : s->labels[k];
        mask[t] = !s->mask || s->mask[k];
        d->n_labels += labels[t] != LABEL_NONE;
    }
    d->seqs[at] = (struct seq){
        .n = n, .ids = ids, .labels = labels, .mask = prompt->mask || answer->mask ? mask : NULL};
    *tokens += (size_t)n;
}

int dataset_splice(struct dataset *d, enum role role, const struct dataset *prompts,
                   const struct dataset *answers, const unsigned char *used, int positions,
                   struct err *e)
{
    size_t n = (size_t)prompts->n * (size_t)answers->n, tokens = 0;
    for (size_t at = 0; at < n; at++) {
        const struct seq *p = &prompts->seqs[at / (size_t)answers->n];
        int k = used[at] ? other_answer(p, answers, (int)(at % (size_t)answers->n)) : 0;
        if (k < 0)
            return err_set(e, "example %d has no other answer to draw than its own",
                           (int)(at / (size_t)answers->n));
        const struct seq *a = &answers->seqs[k];
        int both = used[at] ? seq_prompt(p) + a->n - seq_prompt(a) : 0;
        if (both > positions)
            return err_about(
                e, "max_length",
                "the prompt of example %d with the answer of row %d is %d tokens, longer "
                "than the model's %d positions",
                (int)(at / (size_t)answers->n), k, both, positions);
        tokens += (size_t)both;
    }
    if (start(d, role, n, tokens, e)) {
        dataset_fini(d);
        return -1;
    }
    tokens = 0;
    for (size_t at = 0; at < n; at++) {
        int i = (int)(at / (size_t)answers->n), k = (int)(at % (size_t)answers->n);
        const struct seq *p = &prompts->seqs[i];
        d->rows[at] = i;
        d->item[at] = k;
        if (!used[at])
            continue;
        const struct seq *a = &answers->seqs[other_answer(p, answers, k)];
        put(d, at, p, seq_prompt(p), a, seq_prompt(a), &tokens);
    }
    return 0;
}

int dataset_random_answers(struct dataset *d, enum role role, const struct dataset *prompts,
                           int vocab, unsigned seed, struct err *e)
{
    struct rng r;
    size_t tokens = 0;
    for (int i = 0; i < prompts->n; i++)
        tokens += (size_t)prompts->seqs[i].n;
    if (start(d, role, (size_t)prompts->n, tokens, e)) {
        dataset_fini(d);
        return -1;
    }
    rng_stream(&r, seed, RNG_SAMPLE, 0);
    tokens = 0;
    for (int i = 0; i < prompts->n; i++) {
        const struct seq *p = &prompts->seqs[i];
        int *ids = d->pool + 2 * tokens, *labels = ids + p->n;
        put(d, (size_t)i, p, seq_prompt(p), p, seq_prompt(p), &tokens);
        d->rows[i] = i;
        for (int t = 0; t < p->n; t++)
            if (labels[t] != LABEL_NONE)
                ids[t] = labels[t] = (int)rng_below(&r, (uint32_t)vocab);
    }
    return 0;
}

/* Examples of a role from a file of tensors: ROLE.suffix as ints [b,t], or NULL with *missing set.
 * `role` "": the suffix alone.
 */
static int *read_matrix(const struct tensor_file *f, const char *role, const char *suffix, int *b,
                        int *t, bool *missing, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", role, *role ? "." : "", suffix);
    const struct tensor *x = tensor_find(f, name);
    *missing = !x;
    if (!x)
        return NULL;
    if (x->n_dims != 2 || x->shape[0] < 1 || x->shape[1] < 1 || x->count > INT32_MAX) {
        err_set(e, "tensor '%s' is not a matrix [B,T]", name);
        return NULL;
    }
    if (*b && (x->shape[0] != *b || x->shape[1] != *t)) {
        err_set(e, "tensor '%s' has another shape than the role's input_ids", name);
        return NULL;
    }
    *b = (int)x->shape[0];
    *t = (int)x->shape[1];
    return tensor_ints(x, e);
}

int dataset_from_tensors(struct dataset *d, enum role role, const struct tensor_file *f,
                         int keep_padding, bool *there, struct err *e)
{
    int b = 0, t = 0, rc = 0;
    bool absent, no_mask = true, no_labels = true;
    int *mask = NULL, *labels = NULL;
    const bool bare = role == ROLE_FORGET && !tensor_find(f, "forget.input_ids");
    const char *name = bare ? "" : role_name[role];
    int *ids = read_matrix(f, name, "input_ids", &b, &t, &absent, e);
    *there = false;
    if (absent)
        return 0;
    if (!ids ||
        (!(mask = read_matrix(f, name, "attention_mask", &b, &t, &no_mask, e)) && !no_mask) ||
        (!(labels = read_matrix(f, name, "labels", &b, &t, &no_labels, e)) && !no_labels))
        rc = -1;
    if (!rc)
        rc = dataset_from_matrix(d, role, ids, labels, mask, b, t, keep_padding, e);
    *there = !rc;
    free(ids);
    free(mask);
    free(labels);
    return rc;
}
