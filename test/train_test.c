/* Methods and optimiser steps against the peer's own code: golden figures of OpenUnlearning on
 * PyTorch. */
#include "job.h"

static void check_method(const char *file, const char *method, const char *retain, double alpha,
                         bool padded)
{
    struct bench b;
    struct err e;
    struct tensor_file in, want;
    struct micro mb;
    struct norm norm;
    struct micro_result res;
    bench_open(&b, "m_cur", "m_ref", method, retain, alpha, OU);
    BUG_ON(tensor_file_open(&in, path_of("methods/", "batches.safetensors"), &e));
    BUG_ON(tensor_file_open(&want, path_of("methods/", file), &e));
    bench_read(&b, &in, "", ROLE_FORGET, padded);
    bench_read(&b, &in, "", ROLE_RETAIN, padded);
    whole(&b, &mb);
    struct order o = {.micro = &mb, .n = 1, .per_epoch = 1};
    BUG_ON(recipe_bind(&b.r, &b.g, &e) || engine_cache_reference(&b.g, &b.ref, &o, 0, 1, &e));
    engine_count(&b.g, &o, 0, 1, &norm);
    ok(!engine_micro(&b.g, &mb, &norm, &res, &e), "%s: forward and backward", file);
    double loss = 0;
    for (int i = 0; i < b.g.n_obj; i++) {
        double part = res.loss[i];
        const char *name = b.g.obj[i].role[0] == ROLE_FORGET ? "forget_loss" : "retain_loss";
        near(part, read_value(&want, name, 0), 1e-5, 0, "%s: %s", file, name);
        loss += b.g.obj[i].weight * part;
    }
    near(loss, read_value(&want, "loss", 0), 1e-5, 0, "%s: loss", file);
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "grad.%s", w->name);
        float *g = read_f32(&want, name);
        BUG_ON(!g);
        double d = worst_of(b.g.grads + w->offset, g, w->count, &top);
        near(d, 0, 0, 1e-4 * top, "%s: %s", file, name);
        free(g);
    }
    tensor_file_close(&in);
    tensor_file_close(&want);
    bench_close(&b);
}

/* Ten AdamW steps on twenty micro-batches, each with its own tensors. */
static void check_steps(const char *file, const char *method)
{
    struct bench b;
    struct err e;
    struct tensor_file in, want;
    struct train_options o;
    void *adam = mem_alloc(1, optim_adamw.params_size, &e);
    bench_open(&b, "m_cur", "m_ref", method, "NLL", 1, OU);
    BUG_ON(tensor_file_open(&in, path_of("steps/", "batches.safetensors"), &e));
    BUG_ON(tensor_file_open(&want, path_of("steps/", file), &e));
    param_defaults(train_params, &o);
    param_defaults(optim_adamw.params, adam);
    o.lr = 1e-3;
    o.warmup_steps = 2;
    float *state[2] = {mem_alloc(b.m.table.total, sizeof(float), &e),
                       mem_alloc(b.m.table.total, sizeof(float), &e)};
    for (int s = 0; s < 10; s++) {
        engine_zero_grads(&b.g);
        double loss = 0;
        for (int k = 0; k < 2; k++) {
            struct micro mb;
            struct norm norm;
            struct micro_result res;
            char prefix[16];
            snprintf(prefix, sizeof prefix, "%d.", 2 * s + k);
            for (int role = ROLE_FORGET; role <= ROLE_RETAIN; role++)
                bench_read(&b, &in, prefix, (enum role)role, false);
            if (!b.g.n_obj)
                BUG_ON(recipe_bind(&b.r, &b.g, &e));
            whole(&b, &mb);
            struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
            for (int role = 0; role < ROLE_COUNT; role++) {
                scores_fini(&b.g.ref_logp[role].scores);
                free(b.g.ref_logp[role].at);
                b.g.ref_logp[role].at = NULL;
            }
            BUG_ON(engine_cache_reference(&b.g, &b.ref, &order, 0, 1, &e));
            engine_count(&b.g, &order, 0, 1, &norm);
            norm.micros = 2;
            BUG_ON(engine_micro(&b.g, &mb, &norm, &res, &e));
            double micro = 0;
            for (int i = 0; i < b.g.n_obj; i++)
                micro += 2 * b.g.obj[i].weight * res.loss[i];
            near(micro, read_value(&want, "micro_loss", 2 * s + k), 1e-4, 0,
                 "%s: loss of micro-batch %d", file, 2 * s + k);
            loss += micro / 2;
        }
        double norm = sqrt(b.m.ops->dot(b.g.grads, b.g.grads, b.m.table.total));
        double lr = train_lr(&o, s, 10, &(struct order){.per_epoch = 10}),
               scale = 1 / (norm + 1e-6);
        near(norm, read_value(&want, "grad_norm", s), 1e-4, 0, "%s: gradient norm of step %d", file,
             s);
        near(lr, read_value(&want, "lr", s), 1e-6, 0, "%s: learning rate of step %d", file, s);
        struct optim_step step = {.ops = b.m.ops,
                                  .table = &b.m.table,
                                  .w = b.m.own,
                                  .state = state,
                                  .grad = b.g.grads,
                                  .grad_scale = (float)fmin(1, scale),
                                  .lr = lr,
                                  .weight_decay = 0.01,
                                  .step = s + 1};
        optim_apply(&optim_adamw, adam, &step);
    }
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double top;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *f = read_f32(&want, name);
        near(worst_of(b.m.own + w->offset, f, w->count, &top), 0, 0, 2e-5, "%s: %s", file, name);
        free(f);
    }
    free(state[0]);
    free(state[1]);
    free(adam);
    tensor_file_close(&in);
    tensor_file_close(&want);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_method("GradAscent.safetensors", "GradAscent", "NLL", 1, false);
    check_method("GradDiff_NLL.safetensors", "GradDiff", "NLL", 1, false);
    check_method("GradDiff_KL.safetensors", "GradDiff", "KL", 1, true);
    check_method("NPO.safetensors", "NPO", "NLL", 1, false);
    check_method("NPO_KL.safetensors", "NPO", "KL", 0.5, true);
    check_steps("NLL.safetensors", "FT");
    check_steps("GradDiff.safetensors", "GradDiff");
    check_steps("NPO.safetensors", "NPO");
    free(dir);
    return done();
}
