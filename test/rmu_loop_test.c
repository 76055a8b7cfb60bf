/* RMU's loop as the peer ran it with two matrices that move. golden/loop has its losses, gradient
 * norms (over all gradients), direction and final weights. */
#include "rmu.h"

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void check_log(const char *name, const json_t *want)
{
    char path[600], line[4096];
    int steps = 0;
    snprintf(path, sizeof path, "%s/%s/train.jsonl", test_dir(), name);
    FILE *f = fopen(path, "r");
    for (; f && fgets(line, sizeof line, f); steps++) {
        json_t *row = json_loads(line, 0, NULL);
        const json_t *step = json_array_get(json_object_get(want, "steps"), (size_t)steps);
        for (int k = 0; k < 2; k++) {
            size_t i = (size_t)(2 * steps + k);
            near(json_real_value(json_array_get(json_object_get(row, "micro"), (size_t)k)),
                 number(json_array_get(json_object_get(want, "micro"), i), "loss"), 1e-4, 0,
                 "RMU: loss of micro-batch %zu", i);
        }
        near(number(row, "grad_norm"), number(step, "grad_norm"), 1e-4, 0,
             "RMU: norm of all gradients in step %d", steps);
        near(number(row, "lr"), number(step, "lr"), 1e-6, 1e-12, "RMU: learning rate of step %d",
             steps);
        json_decref(row);
    }
    if (f)
        fclose(f);
    ok(steps == (int)json_array_size(json_object_get(want, "steps")), "RMU: %d steps", steps);
}

/* The peer's run, under its switches. */
static void check_loop(void)
{
    struct bench b;
    struct err e = {.msg = "it does"};
    struct train_report rep;
    struct tensor_file want;
    double off = 0;
    int matching;
    rmu_open(&b, OU);
    BUG_ON(tensor_file_open(&want, path_of("loop/", "RMU_final.safetensors"), &e));
    float *u = read_f32(&want, "control_vec");
    for (int i = 0; i < WIDTH; i++)
        off = fmax(off, fabs(2 * (double)b.u[i] - (double)u[i]));
    near(off, 0, 0, 2e-7, "RMU: the direction is the peer's");
    free(u);
    ok(!locate(&b, two_downs, &e) && !train(&b, "peer", &rep, &e), "RMU: runs: %s", e.msg);
    json_t *log = json_read_file(path_of("loop/", "RMU.json"), &e);
    check_log("peer", log);
    json_decref(log);
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        char name[128];
        double worst = 0;
        snprintf(name, sizeof name, "final.%s", w->name);
        float *v = read_f32(&want, name);
        for (size_t k = 0; k < w->count; k++)
            worst = fmax(worst, fabs((double)b.m.own[w->offset + k] - (double)v[k]));
        near(worst, 0, 0, w->trainable ? 2e-5 : 0, "RMU: %s", name);
        free(v);
    }
    ok(moved(&b, &matching) == 2 && matching == 2, "RMU: the two that match moved, no other");
    tensor_file_close(&want);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_loop();
    free(dir);
    return done();
}
