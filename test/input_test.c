/* Attacks on continuous inputs against the authors' code (test/data/attacks/input, computed in f64:
 * LLM_Embedding_Attack, LAT's GDAdversary, PyTorch's Adam), derivatives of embeddings for seven
 * families, and what must hold of every search. */
#include <math.h>
#include <string.h>

#include "attack/continuous.h"
#include "batches.h"
#include "tap.h"

static char *root; /* test/data, or the shared reference files */

static char *path_of(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

/* An attack on a model and a set of rows. */
struct bench {
    struct attack_options o;
    struct attack_run a;
    struct input in;
};

static void open_model(struct bench *b, const char *model)
{
    struct err e = {.msg = ""};
    *b = (struct bench){0};
    b->o.setup.model = path_of(model);
    b->o.out = test_dir();
    b->a = (struct attack_run){.o = &b->o, .which = ATTACK_UNLEARNED};
    if (setup_open(&b->a.s, &b->o.setup, MODEL_READ, &e))
        note("%s", e.msg);
}

static void close_bench(struct bench *b)
{
    input_fini(&b->in);
    dataset_fini(&b->a.sets[ATTACK_FORGET]);
    setup_close(&b->a.s);
}

static void open_rows(struct bench *b, const int *ids, const int *labels, const int *mask, int n,
                      int t, long steps)
{
    struct err e = {.msg = ""};
    BUG_ON(dataset_from_matrix(&b->a.sets[ATTACK_FORGET], ROLE_FORGET, ids, labels, mask, n, t, 0,
                               &e));
    BUG_ON(input_init(&b->in, &b->a, "none", 1, steps, &e) || input_score(&b->in, &e));
}

/* The batch of a family's forward.safetensors. */
static void open_batch(struct bench *b, const char *model, long steps, int shape[2])
{
    static const char *const names[] = {"input_ids", "labels", "attention_mask"};
    char name[128];
    struct tensor_file f;
    struct err e;
    int *v[3];
    open_model(b, model);
    snprintf(name, sizeof name, "%s/forward.safetensors", model);
    BUG_ON(tensor_file_open(&f, path_of(name), &e));
    for (int i = 0; i < 3; i++) {
        const struct tensor *t = tensor_find(&f, names[i]);
        v[i] = tensor_ints(t, &e);
        shape[0] = (int)t->shape[0];
        shape[1] = (int)t->shape[1];
    }
    open_rows(b, v[0], v[1], v[2], shape[0], shape[1], steps);
    for (int i = 0; i < 3; i++)
        free(v[i]);
    tensor_file_close(&f);
}

/* The largest difference of a tensor from the golden one, as a part of its largest entry. */
static double far(const struct tensor_file *f, const char *name, const float *got, size_t n)
{
    float *want = read_f32(f, name);
    double worst = 0, top = 0;
    for (size_t i = 0; want && i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
        top = fmax(top, fabs((double)want[i]));
    }
    free(want);
    return want ? worst / top : INFINITY;
}

/* d loss / d embedding row, of the mean over the batch's labels. */
static void check_gradient(const char *family, const char *models, const char *golden)
{
    struct bench b;
    struct err e;
    struct tensor_file f;
    char name[128];
    int shape[2];
    snprintf(name, sizeof name, "%s/%s", models, family);
    open_batch(&b, name, 0, shape);
    const size_t width = (size_t)b.a.s.model.cfg.width, row = (size_t)shape[1] * width;
    float *got = calloc((size_t)shape[0] * row, sizeof *got), *zero = calloc(row, sizeof *zero),
          *d = calloc(row, sizeof *d);
    double loss = 0;
    for (int i = 0; i < shape[0]; i++) {
        const struct seq *q = &b.in.rows[INPUT_TRUE][i];
        const struct latent at = {.place = PLACE_EMBED, .n = q->n, .delta = zero, .ddelta = d};
        const double share = (double)seq_labels(q) / b.a.sets[ATTACK_FORGET].n_labels;
        double own;
        BUG_ON(input_loss(&b.in, q, &at, &own, &e));
        loss += share * own;
        for (size_t k = 0; k < (size_t)q->n * width; k++)
            got[(size_t)i * row + k] = (float)share * d[k];
    }
    snprintf(name, sizeof name, "%s/grad_%s.safetensors", golden, family);
    BUG_ON(tensor_file_open(&f, path_of(name), &e));
    near(loss, read_value(&f, "loss", 0), 1e-5, 0, "%s: loss", family);
    const double worst = far(&f, "grad_embed", got, (size_t)shape[0] * row);
    ok(worst < 1e-4, "%s: derivative of embedding rows, %.2g of the largest", family, worst);
    tensor_file_close(&f);
    free(got);
    free(zero);
    free(d);
    close_bench(&b);
}

/* What the attack wrote against the golden file. */
static void compare(const char *name, const char *file, const char *vectors, double bound)
{
    struct tensor_file f, g;
    struct err e;
    char path[512];
    snprintf(path, sizeof path, "%s/%s_unlearned.safetensors", test_dir(), file);
    BUG_ON(tensor_file_open(&g, path, &e));
    snprintf(path, sizeof path, "attacks/input/%s.safetensors", name);
    BUG_ON(tensor_file_open(&f, path_of(path), &e));
    const char *const all[] = {"loss", "loss_sample", "grad_start", "start", vectors};
    for (int i = 0; i < 5; i++) {
        const struct tensor *t = tensor_find(&g, all[i]);
        float *got = t && tensor_find(&f, all[i]) ? tensor_f32(t, &e) : NULL;
        const double worst = got ? far(&f, all[i], got, t->count) : 0;
        ok(worst < (i < 4 ? 1e-4 : bound), "%s: %s, %.2g of the largest%s", name, all[i], worst,
           got ? "" : ": not there");
        free(got);
    }
    tensor_file_close(&f);
    tensor_file_close(&g);
}

static void check_latent(void)
{
    struct bench b;
    struct err e;
    int shape[2];
    open_batch(&b, "models/llama", 8, shape);
    struct continuous c = {
        .name = "latent",
        .at = {.place = PLACE_MLP_OUT, .layer = 1},
        .step = {.lr = 0.05, .decay = 0.01, .radius = 0.5},
        .steps = 8,
        .restarts = 1,
        .tokens = PERTURB_PROMPT,
    };
    json_t *block = json_object();
    BUG_ON(continuous_run(&c, &b.in, block, &e));
    compare("latent_mlp", "latent", "delta", 1e-4);
    json_decref(block);
    close_bench(&b);
}

/* The ids whose rows of the embedding these are. */
static void ids_of(const struct model *m, const float *rows, int n, int *ids)
{
    const size_t width = (size_t)m->cfg.width;
    const float *table = model_weight(m, W_EMBED, -1);
    for (int i = 0; i < n; i++)
        for (ids[i] = 0; memcmp(table + (size_t)ids[i] * width, rows + (size_t)i * width,
                                width * sizeof *rows);)
            BUG_ON(++ids[i] == m->cfg.vocab);
}

/* Their rows: [input][attack][target], padding hidden from attention but counted as positions. */
static void open_embed(struct bench *b, struct input_slots *slots)
{
    enum { N = 2, INPUT = 9, TARGET = 6, WIDTH = 7, ALL = INPUT + TARGET };
    struct tensor_file f;
    struct err e;
    int ids[N * ALL], labels[N * ALL], mask[N * ALL], own[WIDTH], at[N] = {INPUT, INPUT};
    open_model(b, "models/llama");
    BUG_ON(tensor_file_open(&f, path_of("attacks/input/embed_sign_individual.safetensors"), &e));
    int *input = tensor_ints(tensor_find(&f, "input_ids"), &e),
        *target = tensor_ints(tensor_find(&f, "target_ids"), &e);
    float *start = read_f32(&f, "start");
    ids_of(&b->a.s.model, start, WIDTH, own);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < ALL; t++) {
            const int k = i * ALL + t;
            ids[k] = t < INPUT ? input[i * INPUT + t] : target[i * TARGET + t - INPUT];
            mask[k] = ids[k] != 0;
            labels[k] = t < INPUT || !ids[k] ? LABEL_NONE : ids[k];
        }
    open_rows(b, ids, labels, mask, N, ALL, 12);
    BUG_ON(input_slots_init(slots, b->in.rows[INPUT_TRUE], N, at, own, WIDTH, &e));
    free(input);
    free(target);
    free(start);
    tensor_file_close(&f);
    free(b->in.rows[INPUT_CONTROL]); /* the answers of golden files have no control */
    b->in.rows[INPUT_CONTROL] = NULL;
}

static void check_embed(const char *golden, const struct perturb_options *step, bool universal)
{
    struct bench b;
    struct input_slots slots;
    struct err e;
    open_embed(&b, &slots);
    struct continuous c = {.name = "embed",
                           .at = {.place = PLACE_EMBED},
                           .step = *step,
                           .steps = 12,
                           .restarts = 1,
                           .universal = universal,
                           .slots = {&slots}};
    json_t *block = json_object();
    BUG_ON(continuous_run(&c, &b.in, block, &e));
    compare(golden, "embed", "final", 1e-3);
    json_decref(block);
    input_slots_fini(&slots);
    close_bench(&b);
}

/* A loss that rises again, or is not a number, does not undo what was reached; a universal search
 * is judged by the mean over its rows' labels. */
static void check_record(void)
{
    struct bench b;
    int shape[2];
    open_batch(&b, "models/llama", 3, shape);
    struct input *in = &b.in;
    const int both[] = {0, 2}, one[] = {1};
    const double first[] = {9, 3, 5, NAN}, second[] = {9, 4, 2, 3},
                 pair[] = {1, 1, 1, 1, 50, 6, 4, 8};
    input_restart(in, "test", false, 1);
    double *r = in->reached[INPUT_TRUE] + 4;
    ok(input_record(in, INPUT_TRUE, one, 1, first) && r[0] == in->before[INPUT_TRUE][1] &&
           r[1] == 3 && r[2] == 3 && r[3] == 3,
       "the best loss so far, from the row as it is");
    ok(input_record(in, INPUT_TRUE, one, 1, second) && r[1] == 3 && r[2] == 2 && r[3] == 2,
       "a restart counts where it is better");
    ok(!input_record(in, INPUT_TRUE, one, 1, first) && r[3] == 2, "and not where it is worse");
    ok(input_record(in, INPUT_TRUE, both, 2, pair) && in->reached[INPUT_TRUE][3] == 1 &&
           in->reached[INPUT_TRUE][11] == 4 && in->reached[INPUT_TRUE][9] == 6,
       "rows that are searched together have the step with the least mean");
    close_bench(&b);
}

/* The other families of the whole reference, with embeddings that are scaled (gemma). */
static void check_families(void)
{
    static const char *const names[] = {"gemma", "gemma2", "gpt_neox", "phi3", "qwen2"};
    char *shared = test_shared("golden2/input/grad_gemma.safetensors"), *own = root;
    if (!shared) {
        skip("no shared reference files: derivatives of two families are checked, not of seven");
        return;
    }
    free(shared);
    root = test_shared("");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_gradient(names[i], "golden/models", "golden2/input");
    free(root);
    root = own;
}

int main(void)
{
    root = test_data("");
    check_gradient("llama", "models", "attacks/input");
    check_gradient("llama3_tied", "models", "attacks/input");
    check_families();
    check_latent();
    const struct perturb_options sign = {.rule = PERTURB_SIGN, .lr = 0.01, .radius = INFINITY},
                                 adam = {.lr = 0.02, .radius = INFINITY},
                                 ball = {.lr = 0.02, .radius = 0.3};
    check_embed("embed_sign_individual", &sign, false);
    check_embed("embed_sign_universal", &sign, true);
    check_embed("embed_adam", &adam, false);
    check_embed("embed_adam_ball", &ball, false);
    check_record();
    free(root);
    return done();
}
