/* Adapters against PEFT on PyTorch (tools/make_lora_golden.py): logits, loss, gradients, AdamW
 * steps; its files in, ours out, and what is refused. */
#include "adapters.h"
#include "model/store.h"
#include "optim/optims.h"

static void check_logits(struct bench *b, const char *what)
{
    float *got, *want = read_f32(&b->want, "logits", "");
    double loss = pass(b, &got);
    size_t n = 0;
    for (int s = 0; s < b->d.n; s++)
        n += (size_t)b->d.seqs[s].n;
    n *= (size_t)b->m.cfg.vocab;
    near(max_diff(got, want, n), 0, 0, 1e-5 * (1 + largest(want, n)), "%s: logits", what);
    free(got);
    free(want);
    want = read_f32(&b->want, "loss", "");
    near(loss, (double)want[0], 1e-5, 0, "%s: loss", what);
    free(want);
}

/* Every trainable array against the golden ones of that prefix. */
static void check_arrays(const struct bench *b, const char *prefix, const float *flat, bool grads,
                         double rtol)
{
    const struct weight_table *t = &b->m.table;
    int bad = 0;
    double worst = 0;
    for (int i = t->n_model; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        float *want = read_f32(&b->want, prefix, w->name), room[1000];
        const float *got = flat + (grads ? w->at : w->offset);
        BUG_ON(w->count > 1000);
        if (in_other_order(b, i))
            got = layout_hf(&b->m.cfg, w, got, room);
        /* An expert that no token goes to has no gradient. */
        double top = want && largest(want, w->count) > 0 ? largest(want, w->count) : 1;
        double d = want ? max_diff(got, want, w->count) / top : NAN;
        bad += !(d <= rtol);
        worst = d <= worst ? worst : d;
        free(want);
    }
    ok(!bad, "%s of %d matrices within %g of the largest entry: %.2g", prefix, t->n - t->n_model,
       rtol, worst);
}

static void test_peft(const struct example *x)
{
    struct bench b;
    struct err e;
    if (!bench_open(&b, x, false))
        return;
    if (attach(&b, &x->o)) {
        int moving = 0;
        for (int i = 0; i < b.m.table.n_model; i++)
            moving += b.m.table.v[i].trainable || b.m.table.v[i].wants_grad;
        ok(!moving && b.m.table.grads == b.m.lora->floats && b.m.table.moving == b.m.table.grads,
           "%s: gradients and states are of the adapters alone", x->name);
        check_logits(&b, x->name);
        check_arrays(&b, "grad.", b.grads, true, 1e-4);
        void *adam = mem_alloc(1, optim_adamw.params_size, &e);
        float *state[2];
        for (int k = 0; k < 2; k++)
            state[k] = mem_alloc(b.m.table.moving, sizeof(float), &e);
        float *losses = read_f32(&b.want, "losses", "");
        param_defaults(optim_adamw.params, adam);
        for (int s = 0; s < 3; s++) {
            near(pass(&b, NULL), (double)losses[s], 1e-5, 0, "%s: loss of step %d", x->name, s + 1);
            struct optim_step step = {.ops = b.m.ops,
                                      .table = &b.m.table,
                                      .w = b.m.own,
                                      .state = state,
                                      .grad = b.grads,
                                      .grad_scale = 1,
                                      .lr = 1e-2,
                                      .weight_decay = 0.1,
                                      .step = s + 1};
            optim_apply(&optim_adamw, adam, &step);
        }
        check_arrays(&b, "step3.", b.m.own, false, 2e-4);
        free(losses);
        free(adam);
        free(state[0]);
        free(state[1]);
    }
    bench_close(&b);
}

/* PEFT's files merged into the weights, borrowed or not, and what we write. */
/* Its own weights are not opened for training. */
static bool has_experts(const struct example *x)
{
    struct err e;
    struct model m;
    char *path = model_path(x->model);
    bool yes = !model_open_header(&m, path, &e) && m.cfg.experts;
    model_close(&m);
    if (yes)
        ok(model_open(&m, path, true, &e) && strstr(e.msg, "a model with experts (qwen3_moe)"),
           "%s: %s", x->name, e.msg);
    free(path);
    return yes;
}

static void test_files(const struct example *x)
{
    struct err e = {.msg = ""};
    struct bench b;
    const int ways = has_experts(x) ? 1 : 2;
    for (int writable = 0; writable < ways; writable++) {
        if (!bench_open(&b, x, writable))
            return;
        if (ok(!lora_merge_dir(&b.m, b.adapter, &e), "%s: merged %s", x->name, e.msg))
            check_logits(&b, writable ? "merged in place" : "merged into copies");
        bench_close(&b);
    }
    char *dir = joined(test_dir(), x->name), *whole = joined(dir, "merged");
    if (!bench_open(&b, x, false))
        return;
    if (attach(&b, &x->o)) {
        ok(!lora_save(&b.m, dir, &e) &&
               !model_save(&b.m, whole,
                           &(struct save_options){.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES},
                           &e),
           "%s: adapter and merged model saved %s", x->name, e.msg);
        model_close(&b.m);
        free(b.grads);
        b.grads = NULL;
        ok(!model_open(&b.m, whole, false, &e), "%s: opened again %s", x->name, e.msg);
        check_logits(&b, "merged on saving");
    }
    bench_close(&b);
    if (bench_open(&b, x, false) && ok(!lora_merge_dir(&b.m, dir, &e), "ours is read %s", e.msg))
        check_logits(&b, "an adapter of ours");
    bench_close(&b);
    free(dir);
    free(whole);
}

/* Replaces `from` in a copy of PEFT's adapter_config.json. */
static int merge_changed(const char *from, const char *to, const char *tensors, struct err *e)
{
    struct bench b;
    size_t n;
    if (!bench_open(&b, &examples[0], false))
        return -1;
    char *dir = joined(test_dir(), "bad"), *source = joined(b.adapter, "adapter_config.json"),
         *target = joined(dir, "adapter_config.json"),
         *model = joined(dir, "adapter_model.safetensors"), *text = file_read(source, &n, e);
    char *at = strstr(text, from), out[2048];
    BUG_ON(!at || n > 1500 || file_make_dir(dir, e));
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    FILE *f = fopen(target, "w");
    fputs(out, f);
    fclose(f);
    char *weights = joined(b.adapter, "../all/adapter_model.safetensors"),
         *bytes = file_read(tensors ? tensors : weights, &n, e);
    f = fopen(model, "w");
    fwrite(bytes, 1, n, f);
    fclose(f);
    int rc = lora_merge_dir(&b.m, dir, e);
    free(dir);
    free(source);
    free(target);
    free(model);
    free(text);
    free(weights);
    free(bytes);
    bench_close(&b);
    return rc;
}

static void test_refusals(void)
{
    static const char *const rows[][3] = {
        {"\"peft_type\": \"LORA\"", "\"peft_type\": \"IA3\"", "'IA3'"},
        {"\"bias\": \"none\"", "\"bias\": \"some\"", "'some'"},
        {"\"use_dora\": false", "\"use_dora\": true", "'use_dora'"},
        {"\"rank_pattern\": {}", "\"rank_pattern\": {\"q_proj\": 2}", "rank 2"},
        {"\"modules_to_save\": null", "\"modules_to_save\": [\"norm\"]", "'modules_to_save'"},
        {"\"r\": 3", "\"r\": 4", "rank 4"},
        {"\"r\": 3", "\"r\": 0", "'r'"},
    };
    struct err e = {.msg = ""};
    ok(!merge_changed("m_cur", "m_cur", NULL, &e), "the copy itself is fine %s", e.msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ok(merge_changed(rows[i][0], rows[i][1], NULL, &e) && strstr(e.msg, rows[i][2]), "%s",
           e.msg);
    char *root = test_data("lora"), *other = joined(root, "gpt_neox/adapter_model.safetensors");
    ok(merge_changed("\"r\": 3", "\"r\": 2", other, &e) && strstr(e.msg, "no weight"), "%s", e.msg);
    free(root);
    free(other);
}

/* Everything that allocates, once through. */
static int use(const char *dir, const char *peft, const char *model, struct err *e)
{
    struct model m, again = {0};
    struct lora_options o = {2, 2, 0.1, "q_proj", false};
    if (model_open(&m, model, false, e))
        return -1;
    int rc = lora_attach(&m, &o, 1, e) || lora_save(&m, dir, e) ||
             model_open(&again, model, false, e) || lora_merge_dir(&again, peft, e);
    model_close(&m);
    model_close(&again);
    return rc ? -1 : 0;
}

static void test_memory(void)
{
    struct err e = {.msg = ""};
    char *dir = joined(test_dir(), "walk"), *root = test_data("."),
         *peft = joined(root, "lora/some"), *model = joined(root, "models/m_cur");
    mem_fail_at(-1);
    int rc = use(dir, peft, model, &e);
    long n = mem_fail_at(-1), told = 0;
    for (long i = 0; i < n; i++) {
        e.msg[0] = 0;
        mem_fail_at(i);
        told += use(dir, peft, model, &e) && e.msg[0];
    }
    mem_fail_at(-1);
    ok(!rc && n > 20 && told == n, "%ld of %ld failing allocations are told", told, n);
    free(dir);
    free(root);
    free(peft);
    free(model);
}

int main(void)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        test_peft(&examples[i]);
        test_files(&examples[i]);
    }
    test_refusals();
    test_memory();
    return done();
}
