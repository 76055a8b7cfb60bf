/* unlearn info: a model's architecture and its memory use, from headers only. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/info.h"
#include "model/lora.h"
#include "model/store.h"
#include "text/rendered.h"

#define OPT(field) offsetof(struct info_options, field)
static const struct param params[] = {
    INT_PARAM(struct info_options, batch, 1, 1 << 16, 8,
              "batch size in sequences, for the estimate"),
    INT_PARAM(struct info_options, length, 1, 1 << 20, 256,
              "tokens of a sequence, for the estimate"),
    INT_PARAM(struct info_options, lora_rank, 1, 4096, 8, "rank of the adapters, for the estimate"),
    BOOL_PARAM(struct info_options, recompute, false,
               "layers run again in the backward, for the estimate"),
    STRING_PARAM(struct info_options, memory, NULL, "SIZE",
                 "the largest batch of such sequences that fits into SIZE (20G, 500MB)"),
    {"adapter", PARAM_STRING, OPT(setup.adapter), 0, 0, NULL, NULL, "DIR",
     "LoRA adapter in PEFT's files, shown with the model"},
    STRING_PARAM(struct info_options, data, NULL, "FILE",
                 "data: its number of tokens, and the first row as the model gets it"),
    {"question_key", PARAM_STRING, OPT(run.question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, OPT(run.answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"chunk", PARAM_INT, OPT(run.chunk), 0, 1 << 20, NULL, "0", NULL,
     "join plain texts and cut them into chunks of that many tokens; 0: each row is one"},
    {"compat", PARAM_STRING, OPT(setup.compat), 0, 0, NULL, "none", "NAMES",
     "ou, or quirks of OpenUnlearning joined by commas; see 'unlearn help compat'"},
    {"max_length", PARAM_INT, OPT(setup.max_length), 0, 1 << 24, NULL, "0", NULL,
     "tokens after which an example is cut; 0: never"},
    BOOL_PARAM(struct info_options, all, false,
               "list every weight, instead of one line for a weight of all layers"),
    BOOL_PARAM(struct info_options, json, false, "print one JSON object"),
    {0}};

static const char about[] =
    "Shows a model's family, sizes, storage types, tokenizer, chat template and end tokens, and "
    "estimates\n"
    "the memory that scoring (eval), training and unlearning (forget) need with batches of that "
    "many\n"
    "sequences. forget includes two roles at once and a frozen reference, which methods that need "
    "only\n"
    "its log-probabilities do not load; lora is forget with adapters on all linear layers "
    "(--locate lora).\n"
    "MODEL is a directory, a GGUF or llama2.c file, or 'default'. Only headers are read.\n"
    "--data shows the rows of a file as the model gets them: their tokens, and the first as "
    "text.\n";

/* Weights of one place and type, in the order of their first. */
static int gather_groups(struct info *in, struct err *e)
{
    const struct model *m = &in->s.model;
    in->groups = mem_alloc((size_t)m->table.n, sizeof *in->groups, e);
    if (!in->groups)
        return -1;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const struct tensor *t = store_find(m, w);
        const enum dtype dtype = t ? t->dtype : DT_COUNT;
        int g = 0;
        while (g < in->n_groups &&
               (m->table.v[in->groups[g].first].slot != w->slot || in->groups[g].dtype != dtype))
            g++;
        if (g == in->n_groups)
            in->groups[in->n_groups++] = (struct info_group){.first = i, .dtype = dtype};
        in->groups[g].n++;
    }
    return 0;
}

/* The examples that the rows become. */
static json_t *data_json(const struct dataset *d, const char *file)
{
    json_int_t tokens = 0;
    int longest = 0, cut = 0;
    for (int i = 0; i < d->n; i++) {
        tokens += d->seqs[i].n;
        longest = d->seqs[i].n > longest ? d->seqs[i].n : longest;
        cut += d->left_out && d->left_out[i] > 0;
    }
    return json_pack("{s:s, s:i, s:I, s:i, s:i, s:i}", "file", file, "examples", d->n, "tokens",
                     tokens, "scored", d->n_labels, "longest", longest, "cut", cut);
}

static int gather_data(struct info *in, const struct info_options *o, struct err *e)
{
    struct dataset d = {0};
    json_t *row = NULL;
    int rc = run_data_file(&in->s, &o->run, ROLE_GENERIC, o->data, &d, e);
    if (!rc && !(in->data = data_json(&d, o->data)))
        rc = err_no_memory(e, "data");
    if (!rc && in->s.tokenizer && d.n) {
        row = rendered_row(in->s.tokenizer, &d.seqs[0], e);
        rc = row ? json_object_set_new(in->data, "first_row", row) : -1;
    }
    dataset_fini(&d);
    return rc;
}

static int gather(struct info *in, const struct info_options *o, struct err *e)
{
    struct model *m = &in->s.model;
    char *made_by = NULL;
    int rc = 0;
    if (setup_open_header(&in->s, &o->setup, e) || !(made_by = setup_made_by(&o->setup, e)))
        return -1;
    if (strcmp(made_by, m->path)) /* the adapter of that option, or the one that MODEL names */
        rc = lora_look(m, made_by, &in->adapter, e);
    free(made_by);
    if (rc)
        return -1;
    for (int i = 0; i < m->n_files; i++)
        in->file_bytes += m->files[i].map.size;
    if (gather_groups(in, e))
        return -1;
    if (setup_has_tokenizer(&in->s))
        in->chat = chat_name_of(in->s.tokenizer);
    return o->data ? gather_data(in, o, e) : 0;
}

static json_t *memory_json(const struct model *m, const struct info_options *o)
{
    json_t *all =
        json_pack("{s:I, s:I}", "batch", (json_int_t)o->batch, "length", (json_int_t)o->length);
    for (int job = 0; job < MEMORY_JOBS; job++) {
        if (!memory_job_runs(m, (enum memory_job)job))
            continue;
        struct memory_estimate p = memory_estimate(
            m, (enum memory_job)job, (int)(o->batch * o->length), (int)o->lora_rank, o->recompute);
        json_t *j = json_pack("{s:I}", "total", (json_int_t)p.total);
        for (int i = 0; i < MEMORY_PARTS; i++)
            json_object_set_new(j, memory_part_name[i], json_integer((json_int_t)p.bytes[i]));
        if (o->most)
            json_object_set_new(j, "largest_batch",
                                json_integer(info_largest_batch(m, o, (enum memory_job)job)));
        json_object_set_new(all, memory_job_name[job], j);
    }
    return all;
}

static json_t *dtypes_json(const struct info *in)
{
    json_t *j = json_object();
    for (int i = 0; i < in->n_groups; i++)
        if (in->groups[i].dtype < DT_COUNT) {
            const char *name = dtype_info[in->groups[i].dtype].name;
            const json_int_t n = json_integer_value(json_object_get(j, name));
            json_object_set_new(j, name, json_integer(n + in->groups[i].n));
        }
    return j;
}

static json_t *weight_json(const struct weight *w, const char *name, enum dtype t)
{
    json_t *shape = json_array();
    for (int d = 0; d < w->n_dims; d++)
        json_array_append_new(shape, json_integer(w->shape[d]));
    return json_pack("{s:s, s:o, s:s?, s:b}", "name", name, "shape", shape, "dtype",
                     t < DT_COUNT ? dtype_info[t].name : NULL, "decay", (int)w->decay);
}

static json_t *groups_json(const struct info *in)
{
    json_t *list = json_array();
    for (int i = 0; i < in->n_groups; i++) {
        const struct weight *w = &in->s.model.table.v[in->groups[i].first];
        char name[INFO_NAME];
        info_pattern(w, name);
        json_t *j = weight_json(w, name, in->groups[i].dtype);
        json_object_set_new(j, "count", json_integer(in->groups[i].n));
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *weights_json(const struct model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const struct tensor *t = store_find(m, w);
        json_array_append_new(list, weight_json(w, w->name, t ? t->dtype : DT_COUNT));
    }
    return list;
}

static json_t *info_json(const struct info *in, const struct info_options *o)
{
    const struct model *m = &in->s.model;
    const struct model_config *c = &m->cfg;
    json_t *eos = json_array();
    for (int i = 0; i < c->n_eos; i++)
        json_array_append_new(eos, json_integer(c->eos[i]));
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:s, s:f}", "path",
        m->path, "format", info_format_name[m->files[0].format], "family", c->family->name,
        "architecture", c->family->architecture, "layers", c->layers, "width", c->width, "heads",
        c->heads, "kv_heads", c->kv_heads, "head_dim", c->head_dim, "feed_forward", c->ff,
        "vocabulary", c->vocab, "context", c->positions, "tied_head", (int)c->tied_head,
        "rope_scaling", info_rope_name[c->rope.kind], "rope_base", c->rope.base);
    json_object_set_new(j, "activation", json_string(info_act_name[c->act]));
    json_object_set_new(j, "window", json_integer(c->window));
    json_object_set_new(j, "parameters", json_integer((json_int_t)model_n_params(m)));
    json_object_set_new(j, "file_bytes", json_integer((json_int_t)in->file_bytes));
    json_object_set_new(j, "dtypes", dtypes_json(in));
    json_object_set_new(j, "tokenizer",
                        in->s.tokenizer ? json_string(tokenizer_kind(in->s.tokenizer))
                                        : json_null());
    json_object_set_new(j, "tokens",
                        in->s.tokenizer ? json_integer(tokenizer_vocab_size(in->s.tokenizer))
                                        : json_null());
    json_object_set_new(j, "chat_template", in->chat ? json_string(in->chat) : json_null());
    json_object_set_new(j, "eos", eos);
    const struct lora_facts *f = &in->adapter;
    if (f->pairs || f->whole)
        json_object_set_new(j, "adapter",
                            json_pack("{s:i, s:i, s:i, s:f, s:f, s:i, s:b, s:I}", "rank", f->rank,
                                      "rank_most", f->rank_most, "matrices", f->pairs, "scale",
                                      f->scale, "scale_most", f->scale_most, "whole", f->whole,
                                      "dora", (int)f->dora, "numbers", (json_int_t)f->numbers));
    if (in->data)
        json_object_set(j, "data", in->data);
    json_object_set_new(j, "memory", memory_json(m, o));
    json_object_set_new(j, "groups", groups_json(in));
    if (o->all)
        json_object_set_new(j, "weights", weights_json(m));
    return j;
}

static int print(const struct info *in, const struct info_options *o, struct err *e)
{
    if (!o->json)
        return info_print(in, o, e);
    json_t *j = info_json(in, o);
    int rc = command_print_json(j, JSON_INDENT(2), e);
    json_decref(j);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    struct info_options *o = options;
    struct info in = {0};
    if (o->batch * o->length > 1 << 26)
        return err_set(e, "a batch of %lld tokens is too large", (long long)(o->batch * o->length));
    o->setup.model = a->words[0];
    if (o->memory && param_size(o->memory, &o->most, e))
        return err_prefix(e, "--memory: ");
    int rc = gather(&in, o, e) || print(&in, o, e) ? -1 : STATUS_DONE;
    free(in.groups);
    json_decref(in.data);
    setup_close(&in.s);
    return rc;
}

int cmd_info(int argc, char **argv)
{
    struct info_options o = {.data = NULL};
    struct args a = {
        .command = "info",
        .usage = "MODEL [options]",
        .about = about,
        .tables = {{"options", params, &o}, {"conversations", chat_params, &o.setup.chat}},
        .words_least = 1,
        .words_most = 1};
    return args_run(&a, argc, argv, run, &o);
}
