/* The decoder against PyTorch: logits, hidden states, loss and every gradient of a small model of
 * every family (tools/make_golden.py), in the first tier; of larger ones in the second. Each is
 * saved and opened again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/dataset.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/store.h"
#include "model/generate.h"
#include "logits.h"
#include "tap.h"

static double max_diff(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)a[i] - (double)b[i]);
        if (!(x <= d))
            d = x;
    }
    return d;
}

/* The same for rows of c numbers; rows that the mask hides mean nothing. */
static double rows_diff(const float *a, const float *b, const uint8_t *mask, int n, int c)
{
    double d = 0;
    for (int i = 0; i < n; i++)
        if (!mask || mask[i])
            d = fmax(d, max_diff(a + i * c, b + i * c, (size_t)c));
    return d;
}

static float *golden(const struct tensor_file *f, const char *name, struct err *e)
{
    const struct tensor *t = tensor_find(f, name);
    return t ? tensor_f32(t, e) : NULL;
}

/* The batch of a golden forward file, padding kept, so that every row can be compared. */
static int open_batch(struct dataset *d, const struct tensor_file *f, bool padded, struct err *e)
{
    const struct tensor *t = tensor_find(f, "input_ids");
    const struct tensor *lab = tensor_find(f, "labels");
    int *ids = tensor_ints(t, e);
    int *mask = tensor_ints(tensor_find(f, "attention_mask"), e);
    int *labels = lab ? tensor_ints(lab, e) : NULL;
    int rc = dataset_from_matrix(d, ROLE_RETAIN, ids, labels, mask, (int)t->shape[0],
                                 (int)t->shape[1], padded, e);
    free(ids);
    free(mask);
    free(labels);
    return rc;
}

static void check_forward(const char *name, struct model *m, const struct tensor_file *f)
{
    struct err e;
    struct dataset d;
    struct batch b;
    struct pass p;
    struct head h;
    struct label_rows all = {0};
    struct arena a;
    arena_init(&a);
    if (!ok(!open_batch(&d, f, true, &e) &&
                !batch_pack(&b, d.seqs, d.n, m->cfg.vocab, m->cfg.positions, &a, &e) &&
                !model_forward(m, &b, &(struct forward){.keep = true}, &p, &a, &e),
            "%s: forward", name))
        return note("%s", e.msg);
    int n = b.n_tokens, c = m->cfg.width;
    /* Padding is computed too. But under a window it may see nothing, and OPT counts positions by
     * the mask. */
    const uint8_t *mask = m->cfg.window || m->cfg.position_offset ? b.mask : NULL;
    all.n = n;
    all.token = arena_take(&a, (size_t)n, sizeof(int), &e);
    for (int i = 0; i < n; i++)
        all.token[i] = i;
    for (int l = 0; l <= m->cfg.layers; l++) {
        char key[32];
        snprintf(key, sizeof key, "hidden.%d", l);
        float *want = golden(f, key, &e);
        if (want)
            near(rows_diff(pass_states(&p, l), want, mask, n, c), 0, 0, 5e-5, "%s: %s", name, key);
        free(want);
    }
    head_init(&h, &p, &all, false, &a, &e);
    float *want = golden(f, "final_norm", &e);
    if (want)
        near(rows_diff(h.norm, want, mask, n, c), 0, 0, 5e-5, "%s: final norm", name);
    free(want);
    want = golden(f, "logits", &e);
    float *z = all_logits(&h, &a);
    near(rows_diff(z, want, mask, n, m->cfg.vocab), 0, 0, 5e-5, "%s: logits of %d rows", name, n);
    free(want);
    dataset_fini(&d);
    arena_fini(&a);
}

/* Every gradient, in HF's order. OPT's bias of k does nothing: its gradient is what rounding leaves
 * of a sum that is 0, which depends on the order of the sum, and so on the instruction set; the
 * floor of 2e-8 is a sixth of f32's epsilon. */
static void check_weights(const char *name, const struct model *m, const struct tensor_file *f,
                          const float *grads)
{
    struct err e;
    float *room = mem_alloc(layout_hf_room(&m->cfg, &m->table), sizeof(float), &e);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        char key[128];
        snprintf(key, sizeof key, "grad.%s", w->name);
        float *want = golden(f, key, &e);
        if (!ok(want != NULL, "%s: %s is there", name, key))
            continue;
        double top = 0;
        for (size_t k = 0; k < w->count; k++)
            top = fmax(top, fabs((double)want[k]));
        near(max_diff(layout_hf(&m->cfg, w, grads + w->offset, room), want, w->count), 0, 0,
             1e-4 * top + 2e-8, "%s: %s", name, key);
        free(want);
    }
    free(room);
}

/* loss = -sum logp / R on packed rows, and its gradient, against autograd. */
static void check_gradients(const char *name, struct model *m, const struct tensor_file *f)
{
    struct err e;
    struct dataset d;
    struct batch b;
    struct pass p;
    struct head h;
    struct label_rows rows;
    struct arena a;
    arena_init(&a);
    open_batch(&d, f, false, &e);
    float *grads = mem_alloc(m->table.total, sizeof(float), &e);
    batch_pack(&b, d.seqs, d.n, m->cfg.vocab, m->cfg.positions, &a, &e);
    batch_label_rows(&rows, &b, d.seqs, &a, &e);
    model_forward(m, &b, &(struct forward){.keep = true}, &p, &a, &e);
    head_init(&h, &p, &rows, true, &a, &e);
    float *logp = arena_take(&a, (size_t)rows.n, sizeof(float), &e);
    float *lse = arena_take(&a, (size_t)rows.n, sizeof(float), &e);
    float *g = arena_take(&a, (size_t)rows.n, sizeof(float), &e);
    float *dx = arena_take(&a, (size_t)b.n_tokens * (size_t)m->cfg.width, sizeof(float), &e);
    memset(dx, 0, (size_t)b.n_tokens * (size_t)m->cfg.width * sizeof(float));
    head_logp(&h, logp, lse, NULL);
    double loss = 0;
    for (int r = 0; r < rows.n; r++) {
        loss -= (double)logp[r] / rows.n;
        g[r] = -1.0f / (float)rows.n;
    }
    float *want = golden(f, "loss", &e);
    near(loss, (double)want[0], 1e-5, 0, "%s: loss", name);
    free(want);
    head_logp_back(&h, g, lse, grads);
    head_finish_back(&h, dx, grads, &a, &e);
    pass_backward(&p, dx, grads, &a, &e);
    check_weights(name, m, f, grads);
    free(grads);
    dataset_fini(&d);
    arena_fini(&a);
}

/* Saved and opened again, it is the same model: its configuration, and the bits of its weights. */
static void check_saved(const char *name, const struct model *m)
{
    char path[512];
    struct err e;
    struct model again;
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    const struct save_options o = {.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES};
    if (!ok(!model_save(m, path, &o, &e) && !model_open(&again, path, false, &e),
            "%s: saved and opened", name))
        return note("%s", e.msg);
    json_t *was = config_to_json(&m->cfg, "float32"), *is = config_to_json(&again.cfg, "float32");
    ok(json_equal(was, is) && again.cfg.family == m->cfg.family, "%s: configuration", name);
    bool same = again.table.n == m->table.n;
    for (int i = 0; same && i < m->table.n; i++)
        same = !memcmp(m->w[i], again.w[i], m->table.v[i].count * sizeof(float));
    ok(same, "%s: the same bits in %d weights", name, m->table.n);
    json_decref(was);
    json_decref(is);
    model_close(&again);
}

static void check_model(const char *root, const char *name, const char *forward, bool gradients)
{
    char path[512];
    struct err e;
    struct model m;
    struct tensor_file f;
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (!ok(!model_open(&m, path, false, &e), "%s: open", name))
        return note("%s", e.msg);
    snprintf(path, sizeof path, "%s/%s/%s", root, name, forward);
    if (ok(!tensor_file_open(&f, path, &e), "%s: %s", name, forward)) {
        check_forward(name, &m, &f);
        if (gradients)
            check_gradients(name, &m, &f);
        tensor_file_close(&f);
    }
    check_saved(name, &m);
    model_close(&m);
}

static void check_models(const char *root, const char *const *names)
{
    for (; *names; names++)
        check_model(root, *names, "forward.safetensors", true);
}

int main(void)
{
    const char *const first[] = {
        "llama",    "llama3_tied",     "llama_bias", "mistral", "qwen2",       "qwen3",
        "phi3",     "phi3_longrope",   "phi",        "gemma",   "gemma2",      "olmo2",
        "gpt_neox", "gpt_neox_serial", "gpt2",       "opt",     "gemma3_text", "smollm3",
        "olmo3",    "granite",         "qwen3_moe",  "mixtral", NULL};
    const char *const second[] = {"gemma", "gemma2",        "gpt_neox", "mistral", "mistral_window",
                                  "phi3",  "phi3_longrope", "qwen2",    NULL};
    char *root = test_data("models"), *shared = test_shared("golden/models");
    check_models(root, first);
    check_model(root, "llama", "forward_interior_mask.safetensors", false);
    if (shared)
        check_models(shared, second);
    else
        skip("no golden/models");
    free(root);
    free(shared);
    return done();
}
