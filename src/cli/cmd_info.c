/* unlearn info: what a model is, and the memory that work with it takes. Only headers are read. */
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/plan.h"
#include "cli/setup.h"
#include "model/lora.h"
#include "model/store.h"

struct options {
    int64_t batch, length, lora_rank;
    const char *adapter;
    bool weights, json;
};

#define OPT(field) offsetof(struct options, field)
static const struct param params[] = {
    {"batch", PARAM_INT, OPT(batch), 1, 1 << 16, NULL, "8", NULL,
     "sequences at once, for the plan"},
    {"length", PARAM_INT, OPT(length), 1, 1 << 20, NULL, "256", NULL, "tokens of each"},
    {"lora_rank", PARAM_INT, OPT(lora_rank), 1, 4096, NULL, "8", NULL, "of adapters, for the plan"},
    {"adapter", PARAM_STRING, OPT(adapter), 0, 0, NULL, NULL, "DIR",
     "LoRA adapter in PEFT's files, to be looked at with the model"},
    {"weights", PARAM_BOOL, OPT(weights), 0, 0, NULL, NULL, NULL, "list every weight"},
    {"json", PARAM_BOOL, OPT(json), 0, 0, NULL, NULL, NULL, "print one JSON object"},
    {0}};

static const char about[] =
    "Tells what a model is: family, sizes, storage types, tokenizer, chat template and end "
    "tokens,\n"
    "and how much memory scoring (eval), training and unlearning (forget) will take for batches "
    "of\n"
    "that many sequences. forget counts two roles at once and a frozen reference, which methods\n"
    "that need only its log-probabilities do without; lora is forget with adapters beside all\n"
    "linear layers (--locate lora). MODEL is a directory, a GGUF or llama2.c file, or 'default'.\n"
    "Only headers are read.\n";

static const char *const format_name[] = {"safetensors", "GGUF", "llama2.c"};
static const char *const rope_name[] = {"plain", "linear", "llama3"};

struct info {
    struct setup s;
    const struct chat_family *chat; /* NULL: none, or none that is known */
    struct lora_facts adapter;      /* zeros: none was named */
    size_t file_bytes;
    int tensors[DT_COUNT]; /* weights of each storage type */
    int missing;
};

static int gather(struct info *in, const char *name, const char *adapter, struct err *e)
{
    struct err ignored;
    struct model *m = &in->s.model;
    char *path = setup_model_path(name, e);
    int rc = path ? model_open_header(m, path, e) : -1;
    free(path);
    if (rc)
        return -1;
    if (adapter && lora_look(m, adapter, &in->adapter, e))
        return -1;
    for (int i = 0; i < m->n_files; i++)
        in->file_bytes += m->files[i].map.size;
    for (int i = 0; i < m->table.n; i++) {
        const struct tensor *t = store_find(m, &m->table.v[i]);
        if (t)
            in->tensors[t->dtype]++;
        else
            in->missing++;
    }
    if (setup_has_tokenizer(&in->s) && tokenizer_chat_template(in->s.tokenizer))
        in->chat = chat_recognise(tokenizer_chat_template(in->s.tokenizer), &ignored);
    return 0;
}

/* --- JSON --- */

static json_t *memory_json(const struct model *m, const struct options *o)
{
    json_t *all =
        json_pack("{s:I, s:I}", "batch", (json_int_t)o->batch, "length", (json_int_t)o->length);
    for (int job = 0; job < PLAN_JOBS; job++) {
        struct plan p =
            plan_memory(m, (enum plan_job)job, (int)(o->batch * o->length), (int)o->lora_rank);
        json_t *j = json_pack("{s:I}", "total", (json_int_t)p.total);
        for (int i = 0; i < PLAN_PARTS; i++)
            json_object_set_new(j, plan_part_name[i], json_integer((json_int_t)p.bytes[i]));
        json_object_set_new(all, plan_job_name[job], j);
    }
    return all;
}

static json_t *dtypes_json(const struct info *in)
{
    json_t *j = json_object();
    for (int t = 0; t < DT_COUNT; t++)
        if (in->tensors[t])
            json_object_set_new(j, dtype_info[t].name, json_integer(in->tensors[t]));
    return j;
}

static json_t *weights_json(const struct model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const struct tensor *t = store_find(m, w);
        json_t *shape = json_array();
        for (int d = 0; d < w->n_dims; d++)
            json_array_append_new(shape, json_integer(w->shape[d]));
        json_array_append_new(list, json_pack("{s:s, s:o, s:s?, s:b}", "name", w->name, "shape",
                                              shape, "dtype", t ? dtype_info[t->dtype].name : NULL,
                                              "decay", (int)w->decay));
    }
    return list;
}

static json_t *info_json(const struct info *in, const struct options *o)
{
    const struct model *m = &in->s.model;
    const struct model_config *c = &m->cfg;
    json_t *eos = json_array();
    for (int i = 0; i < c->n_eos; i++)
        json_array_append_new(eos, json_integer(c->eos[i]));
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:f}", "path",
        m->path, "format", format_name[m->files[0].format], "family", c->family->name,
        "architecture", c->family->architecture, "layers", c->layers, "width", c->width, "heads",
        c->heads, "kv_heads", c->kv_heads, "head_dim", c->head_dim, "feed_forward", c->ff,
        "vocabulary", c->vocab, "context", c->positions, "tied_head", (int)c->tied_head,
        "rope_scaling", rope_name[c->rope.kind], "rope_base", c->rope.base);
    json_object_set_new(j, "parameters", json_integer((json_int_t)model_n_params(m)));
    json_object_set_new(j, "file_bytes", json_integer((json_int_t)in->file_bytes));
    json_object_set_new(j, "dtypes", dtypes_json(in));
    json_object_set_new(j, "tokens",
                        in->s.tokenizer ? json_integer(tokenizer_vocab_size(in->s.tokenizer))
                                        : json_null());
    json_object_set_new(j, "chat_template", in->chat ? json_string(in->chat->name) : json_null());
    json_object_set_new(j, "eos", eos);
    if (in->adapter.pairs)
        json_object_set_new(j, "adapter",
                            json_pack("{s:i, s:i, s:f, s:I}", "rank", in->adapter.rank, "matrices",
                                      in->adapter.pairs, "scale", in->adapter.scale, "numbers",
                                      (json_int_t)in->adapter.numbers));
    json_object_set_new(j, "memory", memory_json(m, o));
    if (o->weights)
        json_object_set_new(j, "weights", weights_json(m));
    return j;
}

/* --- text --- */

static void print_sizes(const struct info *in)
{
    const struct model *m = &in->s.model;
    const struct model_config *c = &m->cfg;
    printf("%s\n", m->path);
    printf("  family        %s (%s)\n", c->family->name, c->family->architecture);
    printf("  layers        %d of width %d, feed-forward %d\n", c->layers, c->width, c->ff);
    printf("  heads         %d of %d, %d for keys and values\n", c->heads, c->head_dim,
           c->kv_heads);
    printf("  rope          base %g, %s scaling\n", c->rope.base,
           c->rope.kind == ROPE_PLAIN ? "no" : rope_name[c->rope.kind]);
    printf("  vocabulary    %d, %s\n", c->vocab,
           c->tied_head ? "head tied to the embedding" : "head of its own");
    printf("  context       %d tokens\n", c->positions);
    printf("  parameters    %zu in %d tensors\n", model_n_params(m), m->table.n);
    printf("  stored as     %s, %zu bytes:", format_name[m->files[0].format], in->file_bytes);
    for (int t = 0; t < DT_COUNT; t++)
        if (in->tensors[t])
            printf(" %d %s", in->tensors[t], dtype_info[t].name);
    printf(in->missing ? ", %d missing\n" : "\n", in->missing);
    if (in->adapter.pairs)
        printf("  adapter       rank %d beside %d matrices, times %g, %zu numbers\n",
               in->adapter.rank, in->adapter.pairs, in->adapter.scale, in->adapter.numbers);
}

static void print_text(const struct info *in)
{
    const struct tokenizer *t = in->s.tokenizer;
    const char *chat = in->chat                          ? in->chat->name
                       : t && tokenizer_chat_template(t) ? "of no known family"
                                                         : "none";
    const struct model_config *c = &in->s.model.cfg;
    if (t)
        printf("  tokenizer     %s, %d tokens\n", tokenizer_kind(t), tokenizer_vocab_size(t));
    else
        printf("  tokenizer     none that can be read\n");
    printf("  chat template %s\n", chat);
    printf("  end tokens   ");
    for (int i = 0; i < c->n_eos; i++)
        printf(" %d", c->eos[i]);
    printf(c->n_eos ? "\n" : " none\n");
}

static void print_memory(const struct model *m, const struct options *o)
{
    struct plan p[PLAN_JOBS];
    const double mib = 1 << 20;
    printf("\nMiB for batches of %d x %d tokens", (int)o->batch, (int)o->length);
    for (int job = 0; job < PLAN_JOBS; job++) {
        p[job] = plan_memory(m, (enum plan_job)job, (int)(o->batch * o->length), (int)o->lora_rank);
        printf("%s%9s", job ? "" : "\n               ", plan_job_name[job]);
    }
    for (int i = 0; i <= PLAN_PARTS; i++) {
        printf("\n  %-13s", i < PLAN_PARTS ? plan_part_name[i] : "total");
        for (int job = 0; job < PLAN_JOBS; job++)
            printf("%9.1f", (double)(i < PLAN_PARTS ? p[job].bytes[i] : p[job].total) / mib);
    }
    printf("\n");
}

static void print_weights(const struct model *m)
{
    printf("\n");
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const struct tensor *t = store_find(m, w);
        printf("  %-8s %8lld", t ? dtype_info[t->dtype].name : "missing", (long long)w->shape[0]);
        if (w->n_dims > 1)
            printf(" x %-8lld", (long long)w->shape[1]);
        else
            printf("%11s", "");
        printf(" %s\n", w->name);
    }
}

static int print(const struct info *in, const struct options *o, struct err *e)
{
    if (!o->json) {
        print_sizes(in);
        print_text(in);
        print_memory(&in->s.model, o);
        if (o->weights)
            print_weights(&in->s.model);
        return 0;
    }
    struct buf text = {0};
    json_t *j = info_json(in, o);
    int rc = json_write_buf(j, &text, JSON_INDENT(2), e);
    if (!rc)
        printf("%s\n", text.data);
    buf_fini(&text);
    json_decref(j);
    return rc;
}

int cmd_info(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "info",
                     .usage = "MODEL [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 1,
                     .words_most = 1};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO) {
        struct err e;
        struct info in = {0};
        int rc = o.batch * o.length > 1 << 26 ? err_set(&e, "a batch of %lld tokens is too large",
                                                        (long long)(o.batch * o.length))
                                              : gather(&in, a.words[0], o.adapter, &e);
        if (!rc)
            rc = print(&in, &o, &e);
        setup_close(&in.s);
        status = rc ? args_fail(&a, &e) : STATUS_DONE;
    }
    args_fini(&a);
    return status;
}
