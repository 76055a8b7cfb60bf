/* Rounding weights to few bits. */
#include "attack/weights.h"

#include <string.h>

#include "base/mem.h"
#include "tensor/quantise.h"

static void share(json_t *to, const char *key, const char *part, const char *whole)
{
    const double n = (double)json_integer_value(json_object_get(to, whole));
    if (n > 0)
        json_object_set_new(to, key,
                            json_real((double)json_integer_value(json_object_get(to, part)) / n));
}

struct quantise_params {
    const char *types, *calibration;
};

static const struct param quantise_table[] = {
    STRING_PARAM(
        struct quantise_params, types, "fp4 int8 nf4 int4 q4_0", "LIST",
        "quantisations, separated by spaces: int4:group=32,asym, nf4, fp4, q8_0, q4_k, gptq ..."),
    STRING_PARAM(struct quantise_params, calibration, NULL, "FILE",
                 "rows of text for gptq; without it the retain rows"),
    {0}};

static int quantise_matrix(struct matrix_job *j, struct err *e)
{
    const struct quantise *q = j->setting;
    const size_t n = j->rows * j->cols;
    if (quantise_fits(q, j->cols, e))
        return err_prefix(e, "'%s': ", j->weight->name);
    if (j->target) { /* weights whose code is still the target's: unlearning moved them too little
                      */
        int *own = mem_alloc(n, sizeof *own, e), *was = own ? mem_alloc(n, sizeof *was, e) : NULL;
        size_t same = 0, moved = 0, both = 0;
        if (was) {
            quantise_apply(q, j->w, j->rows, j->cols, own, NULL, NULL, NULL);
            quantise_apply(q, j->target, j->rows, j->cols, was, NULL, NULL, NULL);
        }
        for (size_t i = 0; was && i < n; i++) {
            const bool is_same = own[i] == was[i], has_moved = j->w[i] != j->target[i];
            same += is_same;
            moved += has_moved;
            both += is_same && has_moved;
        }
        free(own);
        free(was);
        if (!was)
            return -1;
        attack_count(j->counts, "weights", n);
        attack_count(j->counts, "same_code", same);
        attack_count(j->counts, "moved", moved);
        attack_count(j->counts, "moved_and_same_code", both);
    }
    quantise_apply(q, j->w, j->rows, j->cols, NULL, NULL, NULL, j->w);
    return 0;
}

/* The rows of --calibration, or the retain rows. */
struct calibration {
    struct rows rows;
    struct dataset own;
    const struct dataset *text;
};

static int open_calibration(struct calibration *c, const struct quantise_params *p,
                            struct attack_run *a, struct err *e)
{
    c->text = p->calibration ? &c->own : &a->sets[ATTACK_RETAIN];
    if (p->calibration)
        return attack_open_set(a, p->calibration, ROLE_GENERIC, &c->rows, &c->own, e);
    return c->text->n
               ? 0
               : err_about(e, "retain", "gptq needs calibration text, its own or the retain rows");
}

/* Codes by GPTQ depend on the inputs, too: there is no share of those that are still the target's.
 */
struct gptq_setting {
    const struct quantise *q;
    const struct quantise_params *p;
    struct calibration *c;
};

static int apply_gptq(struct attack_run *a, const void *setting, json_t *to, struct err *e)
{
    const struct gptq_setting *s = setting;
    (void)to;
    return (!s->c->text && open_calibration(s->c, s->p, a, e)) ||
           attack_gptq(a, s->q, s->c->text, e);
}

static int run_quantise(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct quantise_params *p = params;
    struct calibration c = {.text = NULL};
    int rc = attack_measure_before(a, block, e);
    for (const char *at = p->types + strspn(p->types, " "); !rc && *at; at += strspn(at, " ")) {
        char word[40];
        struct quantise q;
        const struct gptq_setting gptq = {&q, p, &c};
        const size_t n = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), at);
        at += n;
        rc = quantise_parse(&q, word, e) ||
             (q.kind == QUANTISE_GPTQ ? attack_setting_by(a, word, &gptq, apply_gptq, block, e)
                                      : attack_setting(a, word, &q, quantise_matrix, block, e));
        if (!rc && q.kind != QUANTISE_GPTQ) {
            share(json_object_get(block, word), "stuck", "same_code", "weights");
            share(json_object_get(block, word), "stuck_among_moved", "moved_and_same_code",
                  "moved");
        }
    }
    dataset_fini(&c.own);
    rows_close(&c.rows);
    return rc;
}

const struct attack attack_quantise = {
    .name = "quantise",
    .params = quantise_table,
    .params_size = sizeof(struct quantise_params),
    .help = "round weights to few bits: what unlearning moved by less than a step comes back",
    .paper = "arXiv 2410.16454",
    .touches = "weights",
    .access = "white",
    .verified = "torch.fake_quantize, bitsandbytes, gguf-py, ggml (K-types), AutoGPTQ",
    .writes = true,
    .compares = true,
    .run = run_quantise,
};
