/* unlearn probe --trace: causal tracing of a row with given noise. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/probe.h"
#include "locate/scores.h"
#include "model/score.h"

/* "a:b": tokens a to before b, of n. */
static int read_span(const char *text, int n, int *first, int *end, struct err *e)
{
    char *rest = NULL;
    const long a = text ? strtol(text, &rest, 10) : -1;
    const long b = rest && *rest == ':' ? strtol(rest + 1, &rest, 10) : -1;
    if (!rest || *rest || a < 0 || b <= a || b > n)
        return err_set(e, "--span '%s' is no range A:B within the %d tokens of the row",
                       text ? text : "", n);
    *first = (int)a;
    *end = (int)b;
    return 0;
}

/* The tensor 'noise' [draws, span, C], owned by the caller. */
static float *read_noise(const char *path, int span, int width, int *draws, struct err *e)
{
    struct tensor_file f = {0};
    float *v = NULL;
    if (!path) {
        err_set(e, "no noise given: use --noise FILE");
        return NULL;
    }
    if (tensor_file_open(&f, path, e))
        return NULL;
    const struct tensor *x = tensor_find(&f, "noise");
    if (!x || x->n_dims != 3 || x->shape[0] < 1 || x->shape[0] > 4096 || x->shape[1] != span ||
        x->shape[2] != width)
        err_set(e, "'%s' has no tensor 'noise' of draws x %d tokens x %d", path, span, width);
    else
        v = tensor_f32(x, e);
    *draws = v ? (int)x->shape[0] : 0;
    tensor_file_close(&f);
    return v;
}

/* Where states are restored, and their tensor. */
static const struct {
    const char *name;
    enum place place;
} restored[] = {{"h", PLACE_RESID},
                {"mlp", PLACE_MLP_OUT},
                {"attn", PLACE_ATTN_OUT},
                {"embedding", PLACE_EMBED}};
enum { RESTORED = sizeof restored / sizeof *restored };

/* A row that is traced: with the answer, its only label, after its tokens. */
struct traced_row {
    struct setup *s;
    struct seq seq;    /* [T+1] */
    int *ids, *labels; /* owned */
    struct tracing how;
    float *noise;               /* owned */
    float *effect[RESTORED];    /* owned [L,T]; of the embedding [T] */
    float p_clean, p_corrupted; /* the second is a mean over draws */
};

/* The answer that is asked for, or the likeliest. */
static int choose_answer(struct traced_row *r, int64_t asked, struct err *e)
{
    const int vocab = r->s->model.cfg.vocab, last = r->seq.n - 1;
    struct scores scores = {0};
    if (asked >= vocab)
        return err_set(e, "--answer %d is outside the vocabulary of %d", (int)asked, vocab);
    int answer = (int)asked;
    if (asked < 0) {
        if (model_score(&scores, &r->s->model, &r->seq, 1, NULL, NULL, e))
            return -1;
        answer = scores.v[0].best[0];
        scores_fini(&scores);
    }
    r->ids[last] = r->labels[last] = answer;
    return 0;
}

static int open_row(struct traced_row *r, struct probe_given *g, const struct probe_options *o,
                    struct err *e)
{
    const struct seq *one = &g->d.seqs[0];
    const size_t n = (size_t)one->n + 1;
    r->s = &g->s;
    r->how.trace_to = one->n;
    r->how.window = 1;
    if (read_span(o->span, one->n, &r->how.from, &r->how.to, e) ||
        !(r->noise = read_noise(o->noise, r->how.to - r->how.from, g->s.model.cfg.width,
                                &r->how.samples, e)) ||
        !(r->ids = mem_alloc(n, sizeof(int), e)) || !(r->labels = mem_alloc(n, sizeof(int), e)))
        return -1;
    r->how.noise = r->noise;
    r->seq = (struct seq){.n = (int)n, .ids = r->ids, .labels = r->labels};
    for (int t = 0; t < one->n; t++) {
        r->ids[t] = one->ids[t];
        r->labels[t] = LABEL_NONE;
    }
    return choose_answer(r, o->answer, e);
}

/* The effects of one place, [L,T] from [T,L]. */
static int trace_place(struct traced_row *r, int k, struct err *e)
{
    struct engine engine;
    struct scoring s = {.engine = &engine};
    const int layers = restored[k].place == PLACE_EMBED ? 1 : r->s->model.cfg.layers,
              tokens = r->how.trace_to;
    const size_t cells = (size_t)layers * (size_t)tokens;
    struct traced out = {.restored = mem_alloc(cells, sizeof(double), e)};
    engine_init(&engine, &r->s->model);
    r->how.place = restored[k].place;
    const int rc = !out.restored || !(r->effect[k] = mem_alloc(cells, sizeof(float), e)) ||
                   scores_trace(&s, &r->seq, &r->how, &out, e);
    for (int l = 0; !rc && l < layers; l++)
        for (int t = 0; t < tokens; t++)
            r->effect[k][l * tokens + t] = (float)(out.restored[t * layers + l] - out.corrupted);
    r->p_clean = (float)out.clean;
    r->p_corrupted = (float)out.corrupted;
    engine_fini(&engine);
    free(out.restored);
    return rc;
}

static int write_trace(const struct traced_row *r, const char *path, struct err *e)
{
    const int layers = r->s->model.cfg.layers, tokens = r->how.trace_to;
    struct probe_tensor out[RESTORED + 2] = {{"p_clean", DT_F32, {1}, 1, &r->p_clean},
                                             {"p_corrupted", DT_F32, {1}, 1, &r->p_corrupted}};
    for (int k = 0; k < RESTORED; k++) {
        const bool embedding = restored[k].place == PLACE_EMBED;
        out[2 + k] = (struct probe_tensor){
            "", DT_F32, {embedding ? tokens : layers, tokens}, embedding ? 1 : 2, r->effect[k]};
        snprintf(out[2 + k].name, sizeof out[k].name, "indirect_effect.%s", restored[k].name);
    }
    return probe_write(out, RESTORED + 2, path, e);
}

/* The total effect, and where the largest indirect one of each kind is. */
static void print_trace(const struct traced_row *r)
{
    const int tokens = r->how.trace_to;
    printf("answer %d\np_clean %.6g\np_corrupted %.6g\n", r->ids[tokens], (double)r->p_clean,
           (double)r->p_corrupted);
    for (int k = 0; k < RESTORED; k++) {
        const int layers = restored[k].place == PLACE_EMBED ? 1 : r->s->model.cfg.layers;
        int best = 0;
        for (int i = 1; i < layers * tokens; i++)
            best = r->effect[k][i] > r->effect[k][best] ? i : best;
        printf("%-9s largest indirect effect %.6g at layer %d, token %d\n", restored[k].name,
               (double)r->effect[k][best], best / tokens, best % tokens);
    }
}

int probe_trace(const struct setup_options *so, const struct probe_options *o, struct err *e)
{
    struct probe_given g = {0};
    struct traced_row r = {.p_clean = 0};
    int rc = probe_open(&g, so, o, ROLE_FORGET, false, e) || open_row(&r, &g, o, e);
    for (int k = 0; !rc && k < RESTORED; k++)
        rc = trace_place(&r, k, e);
    rc = rc || write_trace(&r, o->out, e);
    if (!rc)
        print_trace(&r);
    for (int k = 0; k < RESTORED; k++)
        free(r.effect[k]);
    free(r.ids);
    free(r.labels);
    free(r.noise);
    probe_close(&g);
    return rc ? -1 : 0;
}
