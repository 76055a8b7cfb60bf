/* Every kind of adapter that PEFT loads against the logits it computes
 * (tools/make_adapter_golden.py): merged in place and into copies, saved and opened again; what is
 * refused, and under which name. */
#include "adapters.h"
#include "base/json.h"
#include "model/adapter.h"
#include "model/store.h"

struct variant {
    const char *name, *model;
    char *dir;      /* owned */
    struct model m; /* open */
    struct dataset d;
    struct tensor_file figures;
};

static bool variant_open(struct variant *v, const char *name, const char *model, bool writable)
{
    struct err e = {.msg = ""};
    char key[80], *path = model_path(model), *root = test_data("lora/variants"),
                  *figures = joined(root, "variants.safetensors");
    *v = (struct variant){.name = name, .model = model, .dir = joined(root, name)};
    bool fine =
        !tensor_file_open(&v->figures, figures, &e) && !model_open(&v->m, path, writable, &e);
    free(path);
    free(root);
    free(figures);
    if (!fine)
        return ok(false, "%s: %s", name, e.msg);
    snprintf(key, sizeof key, "%s.ids", name);
    const struct tensor *t = tensor_find(&v->figures, key);
    int *ids = tensor_ints(t, &e);
    BUG_ON(dataset_from_matrix(&v->d, ROLE_RETAIN, ids, ids, NULL, 1, (int)t->shape[1], false, &e));
    free(ids);
    return true;
}

static void variant_close(struct variant *v)
{
    model_close(&v->m);
    dataset_fini(&v->d);
    tensor_file_close(&v->figures);
    free(v->dir);
}

static void check_logits(struct variant *v, const char *what)
{
    struct bench b = {.m = v->m, .d = v->d};
    float *got, *want = read_f32(&v->figures, v->name, ".logits");
    pass(&b, &got);
    v->m = b.m; /* its position tables may have grown */
    size_t n = (size_t)v->d.seqs[0].n * (size_t)v->m.cfg.vocab;
    near(max_diff(got, want, n), 0, 0, 1e-5 * (1 + largest(want, n)), "%s: %s", v->name, what);
    free(got);
    free(want);
}

static void test_variant(const char *name, const char *model)
{
    struct err e = {.msg = ""};
    struct variant v;
    char *saved = joined(test_dir(), name);
    const struct save_options options = {.dtype = DT_F32, .shard_bytes = SAVE_SHARD_BYTES};
    for (int writable = 0; writable < 2; writable++) {
        if (variant_open(&v, name, model, writable) &&
            ok(!lora_merge_dir(&v.m, v.dir, &e), "%s: merged %s", name, e.msg)) {
            check_logits(&v, writable ? "merged in place" : "merged into copies");
            ok(!model_save(&v.m, saved, &options, &e), "%s: saved %s", name, e.msg);
            model_close(&v.m);
            if (ok(!model_open(&v.m, saved, false, &e), "%s: opened %s", name, e.msg))
                check_logits(&v, "opened again");
        }
        variant_close(&v);
    }
    free(saved);
}

/* --- refusals --- */

/* An adapter of this text and, unless it is NULL, that file of tensors. */
static int merge_text(const char *model, const char *text, const char *tensors, struct err *e)
{
    struct model m;
    size_t n;
    char *dir = joined(test_dir(), "text"), *config = joined(dir, "adapter_config.json"),
         *file = joined(dir, "adapter_model.safetensors"), *path = model_path(model), *bytes = NULL;
    BUG_ON(file_make_dir(dir, e) || model_open(&m, path, false, e));
    FILE *f = fopen(config, "w");
    fputs(text, f);
    fclose(f);
    if (tensors) {
        char *root = test_data("lora"), *from = joined(root, tensors);
        bytes = file_read(from, &n, e);
        f = fopen(file, "w");
        fwrite(bytes, 1, n, f);
        fclose(f);
        free(root);
        free(from);
    }
    int rc = lora_merge_dir(&m, dir, e);
    model_close(&m);
    free(dir);
    free(config);
    free(file);
    free(path);
    free(bytes);
    return rc;
}

#define LORA                                                                                       \
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 5, \"target_modules\": \"all-linear\""

static void test_refusals(void)
{
    static const char *const rows[][2] = {
        {LORA ", \"init_lora_weights\": \"pissa_niter_4\"}", "'pissa_niter_4'"},
        {LORA ", \"init_lora_weights\": \"corda\"}", "'corda'"},
        {LORA ", \"init_lora_weights\": \"loftq\"}", "'loftq'"},
        {LORA ", \"init_lora_weights\": \"new\"}", "'new', which is not known"},
        {LORA ", \"init_lora_weights\": 3}", "not an integer"},
        {LORA ", \"layer_replication\": [[0, 2], [1, 3]]}", "'layer_replication'"},
        {LORA ", \"megatron_config\": {\"x\": 1}}", "'megatron_config'"},
        {LORA ", \"target_parameters\": [\"experts.down\"]}", "'target_parameters'"},
        {LORA ", \"use_qalora\": true}", "'use_qalora'"},
        {LORA ", \"alora_invocation_tokens\": [1, 2]}", "'alora_invocation_tokens'"},
        {LORA ", \"bias\": \"some\"}", "'some'"},
        {LORA ", \"use_dora\": true}", "no 'lora_magnitude_vector'"},
        {LORA ", \"lora_bias\": true}", "no 'lora_B.bias'"},
        {LORA ", \"lora_bias\": true, \"use_dora\": true}", "cannot go with 'use_dora'"},
        {LORA ", \"lora_alpha\": null}", "'lora_alpha' is null or NaN"},
        {LORA ", \"lora_alpha\": NaN}", "'lora_alpha' is null or NaN"},
        {LORA ", \"lora_alpha\": -4}", "'lora_alpha' is -4"},
        {LORA ", \"lora_alpha\": 1e300}", "'lora_alpha' is 1e+300"},
        {LORA ", \"lora_alpha\": \"8\"}", "'lora_alpha' is a string"},
        {LORA ", \"r\": 0}", "'r'"},
        {LORA ", \"r\": null}", "'r'"},
        {LORA ", \"r\": 2.5}", "'r'"},
        {LORA ", \"rank_pattern\": {\"q_proj\": 2}}", "wrong shape: 3 x 24; wanted 2 x 24"},
        {LORA ", \"rank_pattern\": {\"q_proj\": 0}}", "'q_proj' is 0"},
        {LORA ", \"rank_pattern\": {\"q_(proj\": 3}}", "'rank_pattern': 'q_(proj'"},
        {LORA ", \"rank_pattern\": [3]}", "'rank_pattern' must be an object"},
        {LORA ", \"alpha_pattern\": {\"q_proj\": null}}", "'q_proj' is null or NaN"},
        {LORA ", \"alpha_pattern\": {\"((x|l|.)+)+q\": 1}}", "'alpha_pattern' on 'model.layers"},
        {LORA ", \"modules_to_save\": [\"norm\"]}", "'modules_to_save' names 'model.layers.0"},
        {LORA ", \"modules_to_save\": \"norm\"}", "'modules_to_save' must be an array"},
        {LORA ", \"layers_to_transform\": [1]}", "'layers_to_transform'"},
        {LORA ", \"trainable_token_indices\": [1]}", "'trainable_token_indices'"},
        {LORA ", \"target_modules\": [\"o_project\"]}", "names none of the modules"},
        {LORA ", \"target_modules\": 3}", "'target_modules' must be"},
        {LORA ", \"peft_type\": \"PREFIX_TUNING\"}", "'PREFIX_TUNING'"},
        {LORA ", \"peft_type\": \"ADALORA\"}", "'ADALORA'"},
        {"{\"r\": 3}", "'peft_type'"},
        {"{\"lora_parameters\": {\"rank\": 8}}", "MLX"},
        {"[]", "not an object"},
    };
    struct err e = {.msg = ""};
    ok(!merge_text("m_cur", LORA "}", "all/adapter_model.safetensors", &e), "it is fine %s", e.msg);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e.msg[0] = 0;
        ok(merge_text("m_cur", rows[i][0], NULL, &e) && strstr(e.msg, rows[i][1]), "%s: %s",
           rows[i][1], e.msg);
    }
    ok(merge_text("llama3_tied", LORA "}", "gpt_neox/adapter_model.safetensors", &e) &&
           strstr(e.msg, "belongs to no weight"),
       "another family's: %s", e.msg);
    ok(merge_text("m_cur", LORA ", \"lora_bias\": true}",
                  "variants/lora_bias/adapter_model.safetensors", &e),
       "%s", e.msg);
    char *dir = joined(test_dir(), "pickle"), *bin = joined(dir, "adapter_model.bin"),
         *config = joined(dir, "adapter_config.json"), *path = model_path("m_cur");
    struct model m;
    BUG_ON(file_make_dir(dir, &e) || model_open(&m, path, false, &e));
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(i ? config : bin, "w");
        fputs(LORA "}", f);
        fclose(f);
    }
    ok(lora_merge_dir(&m, dir, &e) && strstr(e.msg, "adapter_model.bin is a Python pickle"), "%s",
       e.msg);
    model_close(&m);
    free(dir);
    free(bin);
    free(config);
    free(path);
}

/* --- names --- */

/* The adapter `all` with the names of its tensors otherwise is the same adapter. */
static void test_names(void)
{
    static const char *const rows[][2] = {
        /* what stands before the module's name, and after lora_A */
        {"base_model.model.", ".default.weight"},
        {"", ".weight"},
        {"base_model.", ".weight"},
        {"module.base_model.model.", ".mine.weight"},
        {"_orig_mod.base_model.model.", ".weight"}};
    static const char tensor[] = "model.layers.1.mlp.up_proj", bare[] = "layers.1.mlp.up_proj";
    struct err e = {.msg = ""};
    struct model m;
    char *path = model_path("m_cur"), *dir = joined(test_dir(), "names"),
         *config = joined(dir, "adapter_config.json"),
         *file = joined(dir, "adapter_model.safetensors"), text[1024];
    BUG_ON(file_make_dir(dir, &e) || model_open_header(&m, path, &e));
    FILE *f = fopen(config, "w");
    fputs("{\"peft_type\": \"LORA\", \"r\": 1, \"lora_alpha\": 1}", f);
    fclose(f);
    for (size_t i = 0; i <= sizeof rows / sizeof *rows; i++) {
        bool last = i == sizeof rows / sizeof *rows;
        const char *module = last ? bare : tensor, *pre = last ? "base_model.model." : rows[i][0],
                   *post = last ? ".weight" : rows[i][1];
        snprintf(
            text, sizeof text,
            "{\"%s%s.lora_A%s\":{\"dtype\":\"F32\",\"shape\":[1,24],\"data_offsets\":[0,96]},"
            "\"%s%s.lora_B%s\":{\"dtype\":\"F32\",\"shape\":[40,1],\"data_offsets\":[96,256]}}",
            pre, module, post, pre, module, post);
        f = fopen(file, "w");
        uint64_t n = strlen(text);
        fwrite(&n, 8, 1, f);
        fwrite(text, 1, n, f);
        fwrite(text, 1, 256, f);
        fclose(f);
        struct lora_facts facts;
        e.msg[0] = 0;
        ok(!lora_look(&m, dir, &facts, &e) && facts.pairs == 1 && facts.numbers == 64,
           "'%s%s.lora_A%s' is read %s", pre, module, post, e.msg);
    }
    model_close(&m);
    free(path);
    free(dir);
    free(config);
    free(file);
}

/* --- memory --- */

static int use(const char *dir, const char *path, bool writable, struct err *e)
{
    struct model m;
    if (model_open(&m, path, writable, e))
        return -1;
    int rc = lora_merge_dir(&m, dir, e);
    model_close(&m);
    return rc;
}

static void test_memory(const char *name, const char *model)
{
    struct err e = {.msg = ""};
    char *root = test_data("lora/variants"), *dir = joined(root, name), *path = model_path(model);
    for (int writable = 0; writable < 2; writable++) {
        mem_fail_at(-1);
        int rc = use(dir, path, writable, &e);
        long n = mem_fail_at(-1), told = 0;
        for (long i = 0; i < n; i++) {
            e.msg[0] = 0;
            mem_fail_at(i);
            told += use(dir, path, writable, &e) && e.msg[0];
        }
        mem_fail_at(-1);
        ok(!rc && n > 20 && told == n, "%s: %ld of %ld failing allocations are told", name, told,
           n);
    }
    free(root);
    free(dir);
    free(path);
}

int main(void)
{
    struct err e = {.msg = ""};
    char *path = test_data("lora/variants/variants.json");
    json_t *all = json_read_file(path, &e), *model;
    const char *name;
    ok(json_object_size(all) > 25, "variants %s", e.msg);
    json_object_foreach(all, name, model) test_variant(name, json_string_value(model));
    test_refusals();
    test_names();
    test_memory("pissa_tied", "llama3_tied");
    test_memory("saved", "llama3_tied");
    test_memory("dora_embedding", "llama3_tied");
    test_memory("patterns", "m_cur");
    json_decref(all);
    free(path);
    return done();
}
