/* unlearn info: what a model is, and the memory that work with it takes. Only headers are read. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/info.h"
#include "model/lora.h"
#include "model/store.h"

#define OPT(field) offsetof(struct info_options, field)
static const struct param params[] = {
    {"batch", PARAM_INT, OPT(batch), 1, 1 << 16, NULL, "8", NULL,
     "sequences at once, for the plan"},
    {"length", PARAM_INT, OPT(length), 1, 1 << 20, NULL, "256", NULL, "tokens of each"},
    {"lora_rank", PARAM_INT, OPT(lora_rank), 1, 4096, NULL, "8", NULL, "of adapters, for the plan"},
    {"adapter", PARAM_STRING, OPT(adapter), 0, 0, NULL, NULL, "DIR",
     "LoRA adapter in PEFT's files, to be looked at with the model"},
    {"all", PARAM_BOOL, OPT(all), 0, 0, NULL, NULL, NULL,
     "list every weight, not one line for those that all layers have"},
    {"json", PARAM_BOOL, OPT(json), 0, 0, NULL, NULL, NULL, "print one JSON object"},
    {0}};

static const char about[] =
    "Tells what a model is: family, sizes, storage types, tokenizer, chat template and end "
    "tokens,\n"
    "and how much memory scoring (eval), training and unlearning (forget) will take for batches "
    "of\n"
    "that many sequences. forget counts two roles at once and a frozen reference, which methods\n"
    "that need only its log-probabilities do without; lora is forget with adapters on all\n"
    "linear layers (--locate lora). MODEL is a directory, a GGUF or llama2.c file, or 'default'.\n"
    "Only headers are read.\n";

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

static int gather(struct info *in, const char *name, const char *adapter, struct err *e)
{
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
    if (gather_groups(in, e))
        return -1;
    if (setup_has_tokenizer(&in->s))
        in->chat = chat_name_of(in->s.tokenizer);
    return 0;
}

static int print(const struct info *in, const struct info_options *o, struct err *e)
{
    if (!o->json) {
        info_print(in, o);
        return 0;
    }
    json_t *j = info_json(in, o);
    int rc = command_print_json(j, JSON_INDENT(2), e);
    json_decref(j);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct info_options *o = options;
    struct info in = {0};
    if (o->batch * o->length > 1 << 26)
        return err_set(e, "a batch of %lld tokens is too large", (long long)(o->batch * o->length));
    int rc = gather(&in, a->words[0], o->adapter, e) || print(&in, o, e) ? -1 : STATUS_DONE;
    free(in.groups);
    setup_close(&in.s);
    return rc;
}

int cmd_info(int argc, char **argv)
{
    struct info_options o;
    struct args a = {.command = "info",
                     .usage = "MODEL [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 1,
                     .words_most = 1};
    return args_run(&a, argc, argv, run, &o);
}
