/* The text output of unlearn info. */
#include "cli/info.h"

#include <string.h>

#include "model/store.h"
#include "text/rendered.h"

const char *const info_format_name[] = {"safetensors", "GGUF", "llama2.c"};
const char *const info_rope_name[] = {"plain", "linear", "llama3", "longrope", "dynamic", "yarn"};
const char *const info_act_name[] = {"silu", "gelu_tanh", "gelu", "relu"};

void info_pattern(const struct weight *w, char name[INFO_NAME])
{
    char number[16], once[sizeof w->name];
    const int numbers[] = {w->layer, slot_of_expert(w->slot) ? w->expert : -1};
    snprintf(name, INFO_NAME, "%s", w->name);
    for (int i = 0; i < 2; i++) {
        snprintf(number, sizeof number, ".%d.", numbers[i]);
        const char *at = numbers[i] < 0 ? NULL : strstr(name, number);
        snprintf(once, sizeof once, "%s", name);
        if (at)
            snprintf(name, INFO_NAME, "%.*s.*.%s", (int)(at - name), once,
                     once + (at - name) + strlen(number));
    }
}

static const char *type_name(enum dtype t)
{
    return t < DT_COUNT ? dtype_info[t].name : "missing";
}

/* How many layers have the flag. */
static const char *which_layers(const struct model_config *c, enum layer_flag flag, char text[48])
{
    int n = 0;
    for (int l = 0; l < c->layers; l++)
        n += (c->layer[l] & flag) != 0;
    if (n == c->layers)
        return "all layers";
    snprintf(text, 48, "%d of %d layers", n, c->layers);
    return text;
}

static void print_decoder(const struct model_config *c)
{
    char text[48];
    printf("  norms, MLP    %s with epsilon %g, %s\n", c->norm == NORM_RMS ? "RMS" : "layer",
           (double)c->norm_eps, info_act_name[c->act]);
    if (c->rope.rot)
        printf("  rope          base %g, %s scaling, %d of %d numbers\n", c->rope.base,
               c->rope.kind == ROPE_PLAIN ? "no" : info_rope_name[c->rope.kind], c->rope.rot,
               c->head_dim);
    else
        printf("  positions     learned\n");
    if (c->rope.local_base > 0)
        printf("  local rope    base %g, no scaling, in layers with a window\n",
               c->rope.local_base);
    if (c->rope.rot && c->no_rope_every)
        printf("  no rope       in %s\n", which_layers(c, LAYER_NO_ROPE, text));
    if (c->window)
        printf("  window        %d tokens in %s\n", c->window, which_layers(c, LAYER_WINDOW, text));
}

static void print_adapter(const struct lora_facts *f)
{
    if (!f->pairs && !f->whole)
        return;
    printf("  adapter       rank %d", f->rank);
    if (f->rank_most > f->rank)
        printf(" to %d", f->rank_most);
    printf(" on %d matrices, scale %g", f->pairs, f->scale);
    if (f->scale_most > f->scale)
        printf(" to %g", f->scale_most);
    if (f->whole)
        printf(", %d whole tensors", f->whole);
    printf("%s, %zu numbers\n", f->dora ? ", DoRA" : "", f->numbers);
}

static void print_sizes(const struct info *in)
{
    const struct model *m = &in->s.model;
    const struct model_config *c = &m->cfg;
    printf("%s\n", m->path);
    printf("  family        %s (%s)\n", c->family->name, c->family->architecture);
    printf("  layers        %d of width %d, feed-forward %d\n", c->layers, c->width, c->ff);
    printf("  heads         %d of %d, %d for keys and values\n", c->heads, c->head_dim,
           c->kv_heads);
    if (c->experts)
        printf("  experts       %d a layer, %d a token%s\n", c->experts, c->experts_used,
               c->experts_norm ? ", weights that sum to 1" : "");
    print_decoder(c);
    printf("  vocabulary    %d, %s\n", c->vocab,
           c->tied_head ? "head tied to the embedding" : "separate head");
    printf("  context       %d tokens\n", c->positions);
    printf("  parameters    %zu in %d tensors\n", model_n_params(m), m->table.n);
    printf("  stored as     %s, %zu bytes:", info_format_name[m->files[0].format], in->file_bytes);
    for (int t = 0; t <= DT_COUNT; t++) {
        int n = 0;
        for (int i = 0; i < in->n_groups; i++)
            n += in->groups[i].dtype == (enum dtype)t ? in->groups[i].n : 0;
        if (n)
            printf(" %d %s", n, type_name((enum dtype)t));
    }
    printf("\n");
    print_adapter(&in->adapter);
}

static void print_text(const struct info *in)
{
    const struct tokenizer *t = in->s.tokenizer;
    const char *chat = in->chat ? in->chat : "none";
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

int info_largest_batch(const struct model *m, const struct info_options *o, enum memory_job job)
{
    return memory_largest_batch(m, job, (int)o->length, (int)o->lora_rank, o->recompute, o->most);
}

static void print_memory(const struct model *m, const struct info_options *o)
{
    struct memory_estimate p[MEMORY_JOBS];
    const double mib = 1 << 20;
    printf("\nMiB for batches of %d x %d tokens", (int)o->batch, (int)o->length);
    for (int job = 0; job < MEMORY_JOBS; job++) {
        if (!memory_job_runs(m, (enum memory_job)job))
            continue;
        p[job] = memory_estimate(m, (enum memory_job)job, (int)(o->batch * o->length),
                                 (int)o->lora_rank, o->recompute);
        printf("%s%9s", job ? "" : "\n               ", memory_job_name[job]);
    }
    for (int i = 0; i <= MEMORY_PARTS; i++) {
        printf("\n  %-13s", i < MEMORY_PARTS ? memory_part_name[i] : "total");
        for (int job = 0; job < MEMORY_JOBS; job++)
            if (memory_job_runs(m, (enum memory_job)job))
                printf("%9.1f", (double)(i < MEMORY_PARTS ? p[job].bytes[i] : p[job].total) / mib);
    }
    if (o->most)
        printf("\n  %-13s", "largest batch");
    for (int job = 0; o->most && job < MEMORY_JOBS; job++)
        if (memory_job_runs(m, (enum memory_job)job))
            printf("%9d", info_largest_batch(m, o, (enum memory_job)job));
    printf("\n");
}

static void print_weight(const struct weight *w, enum dtype t, int n, const char *name)
{
    printf("  %6d %-8s %8lld", n, type_name(t), (long long)w->shape[0]);
    if (w->n_dims > 1)
        printf(" x %-8lld", (long long)w->shape[1]);
    else
        printf("%11s", "");
    printf(" %s\n", name);
}

static void print_weights(const struct info *in, bool all)
{
    const struct model *m = &in->s.model;
    printf("\n  number stored as          shape  name\n");
    for (int i = 0; all && i < m->table.n; i++) {
        const struct tensor *t = store_find(m, &m->table.v[i]);
        print_weight(&m->table.v[i], t ? t->dtype : DT_COUNT, 1, m->table.v[i].name);
    }
    for (int i = 0; !all && i < in->n_groups; i++) {
        const struct weight *w = &m->table.v[in->groups[i].first];
        char name[INFO_NAME];
        info_pattern(w, name);
        print_weight(w, in->groups[i].dtype, in->groups[i].n, name);
    }
}

static int number(const json_t *o, const char *key)
{
    return (int)json_integer_value(json_object_get(o, key));
}

static int print_data(const json_t *data, struct err *e)
{
    const json_t *row = json_object_get(data, "first_row");
    struct buf text = {0};
    if (!data)
        return 0;
    printf("\ndata: %d examples, %d tokens, %d of them scored, the longest %d; %d cut\n",
           number(data, "examples"), number(data, "tokens"), number(data, "scored"),
           number(data, "longest"), number(data, "cut"));
    int rc =
        row ? rendered_text(row, json_string_value(json_object_get(data, "file")), &text, e) : 0;
    if (!rc && row)
        printf("%s\n", text.data);
    buf_fini(&text);
    return rc;
}

int info_print(const struct info *in, const struct info_options *o, struct err *e)
{
    print_sizes(in);
    print_text(in);
    print_weights(in, o->all);
    print_memory(&in->s.model, o);
    return print_data(in->data, e);
}
