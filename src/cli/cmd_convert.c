/* unlearn convert: a checkpoint in another format or another storage type. Weights are read and
 * written one at a time, so that memory for the largest of them is enough.
 */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "cli/args.h"
#include "cli/command.h"
#include "run/model_name.h"
#include "run/setup.h"
#include "model/store.h"
#include "train/inputs.h"

struct options {
    const char *dtype, *format, *shard_size, *adapter;
    bool overwrite;
};

#define DTYPES "auto|f32|bf16|f16|q8_0|q5_1|q5_0|q4_1|q4_0|q6_k|q5_k|q4_k|q3_k|q2_k"
static const struct param params[] = {
    CHOICE_PARAM(struct options, dtype, DTYPES, "auto",
                 "storage type of matrices; auto: unchanged, or f32 if the format lacks it"),
    CHOICE_PARAM(struct options, format, "auto|hf|gguf", "auto",
                 "hf: a directory, gguf: a file; auto: gguf if OUT ends in .gguf"),
    STRING_PARAM(struct options, adapter, NULL, "DIR",
                 "LoRA adapter in PEFT's files, merged into the model"),
    STRING_PARAM(struct options, shard_size, "5GB", "SIZE",
                 "maximum size of a safetensors file (200MB, 5GB, 2GiB; bytes without a unit)"),
    BOOL_PARAM(struct options, overwrite, false,
               "replace OUT, a directory that is not empty or a file; without it both are refused"),
    {0}};

static const char about[] =
    "Writes the model IN as OUT, with its tokenizer and chat template. IN is a directory, a GGUF "
    "or llama2.c\n"
    "file, or 'default'. OUT is a Hugging Face directory (safetensors) or a GGUF file that "
    "llama.cpp loads.\n"
    "OUT can be loaded only once it is complete; a directory that is not empty, or a file, is "
    "refused\n"
    "without --overwrite, and IN itself always. Vectors stay f32 in a GGUF. q8_0 to q2_k are for "
    "GGUF only;\n"
    "where rows are no multiple of 256, a K-type is replaced as llama.cpp does it, and q2_k and "
    "q3_k "
    "by q4_0.\n";

enum format { FORMAT_HF, FORMAT_GGUF };

static enum format choose_format(const struct options *o, const char *out)
{
    const size_t n = strlen(out);
    if (strcmp(o->format, "auto"))
        return strcmp(o->format, "gguf") ? FORMAT_HF : FORMAT_GGUF;
    return n >= 5 && !strcmp(out + n - 5, ".gguf") ? FORMAT_GGUF : FORMAT_HF;
}

/* The type that most of the numbers have now. */
static enum dtype usual_dtype(const struct model *m)
{
    size_t count[DT_COUNT] = {0};
    int most = DT_F32;
    for (int i = 0; i < m->table.n; i++) {
        const struct tensor *t = store_find(m, &m->table.v[i]);
        if (t)
            count[t->dtype] += t->count;
    }
    for (int t = 0; t < DT_COUNT; t++)
        most = count[t] > count[most] ? t : most;
    return (enum dtype)most;
}

static int choose_dtype(const struct options *o, enum format format, const struct model *m,
                        enum dtype *t, struct err *e)
{
    static const enum dtype named[] = {DT_COUNT, DT_F32,  DT_BF16, DT_F16,  DT_Q8_0,
                                       DT_Q5_1,  DT_Q5_0, DT_Q4_1, DT_Q4_0, DT_Q6_K,
                                       DT_Q5_K,  DT_Q4_K, DT_Q3_K, DT_Q2_K};
    *t = named[param_choice(DTYPES, o->dtype)];
    if (*t != DT_COUNT && dtype_info[*t].block > 1 && format != FORMAT_GGUF)
        return err_set(e, "a directory cannot hold %s: give OUT a name that ends in .gguf",
                       o->dtype);
    if (*t != DT_COUNT)
        return 0;
    *t = usual_dtype(m);
    if (*t != DT_F16 && *t != DT_BF16 && !(*t == DT_Q8_0 && format == FORMAT_GGUF))
        *t = DT_F32;
    return 0;
}

static int read_size(const struct options *o, uint64_t *bytes, struct err *e)
{
    return param_size(o->shard_size, bytes, e) ? err_prefix(e, "--shard-size: ") : 0;
}

/* An OUT that must not be written, or not without --overwrite; a directory is checked when it is
 * opened. */
static int check_input(const struct options *o, const char *in, const char *out, bool file,
                       struct err *e)
{
    struct inputs read = {0};
    int rc = setup_add_input(&read, in, e) || inputs_add_model(&read, o->adapter, e) ||
             (file ? inputs_claim_file(&read, out, o->overwrite, e) : inputs_keep(&read, out, e));
    inputs_fini(&read);
    return rc;
}

static int check_out(const struct options *o, const char *in, const char *out, enum format format,
                     struct err *e)
{
    if (check_input(o, in, out, format == FORMAT_GGUF, e))
        return -1;
    if (format == FORMAT_GGUF)
        return file_is_dir(out) ? err_set(e, "'%s' is a directory: use --format hf", out) : 0;
    return file_exists(out) && !file_is_dir(out)
               ? err_set(e, "'%s' is a file, but a directory is to be written", out)
               : 0;
}

/* --- GGUF --- */

/* End tokens of the model that are not the tokenizer's, under the two names that llama.cpp has for
 * such.
 */
static int put_ends(const struct setup *s, struct gguf_pairs *p, struct err *e)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const struct model_config *c = &s->model.cfg;
    int k = 0, left_out = 0;
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] != tokenizer_eos(s->tokenizer)) {
            if (k < 2 && gguf_put_u32(p, keys[k], (uint32_t)c->eos[i], e))
                return -1;
            left_out += k++ >= 2;
        }
    if (left_out)
        log_warn("a GGUF has room for three end tokens: %d of the model's are left out", left_out);
    return 0;
}

/* The ids that generation needs, where there is no tokenizer to tell them. */
static int put_ids(const struct model_config *c, struct gguf_pairs *p, struct err *e)
{
    if (gguf_put_text(p, "tokenizer.ggml.model", "none", e) ||
        (c->bos >= 0 && gguf_put_u32(p, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos, e)) ||
        (c->pad >= 0 && gguf_put_u32(p, "tokenizer.ggml.padding_token_id", (uint32_t)c->pad, e)))
        return -1;
    return c->n_eos ? gguf_put_u32(p, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos[0], e) : 0;
}

static int write_gguf(const struct setup *s, const char *out, const struct save_options *so,
                      struct err *e)
{
    struct gguf_pairs p = {0};
    int rc = s->tokenizer
                 ? tokenizer_to_gguf(s->tokenizer, s->model.cfg.vocab, &p, e) || put_ends(s, &p, e)
                 : put_ids(&s->model.cfg, &p, e);
    if (!rc)
        rc = model_save_gguf(&s->model, out, &p, so, e);
    gguf_pairs_fini(&p);
    return rc;
}

/* --- directory --- */

static int write_dir(const struct setup *s, const char *out, bool overwrite,
                     const struct save_options *so, struct err *e)
{
    struct outdir d;
    if (outdir_open(&d, out, overwrite ? OUTDIR_REPLACE : OUTDIR_EMPTY, e))
        return -1;
    int rc = outdir_stage(&d, e) || model_save(&s->model, d.stage, so, e) ||
                     (s->tokenizer && tokenizer_save(s->tokenizer, d.stage, e)) ||
                     outdir_commit(&d, e)
                 ? -1
                 : 0;
    outdir_close(&d, rc);
    return rc;
}

/* --- */

/* By its header only, unless an adapter must be merged. */
static int open_input(struct setup *s, const char *name, const char *adapter, struct err *e)
{
    struct err why;
    struct model_name n;
    if (model_name_find(&n, name, e))
        return -1;
    int rc = adapter || n.adapter ? setup_open_model(&s->model, name, adapter, MODEL_STORED, e)
                                  : model_open_header(&s->model, n.path, e);
    model_name_fini(&n);
    if (!rc && setup_tokenizer(s, &why))
        log_warn("no tokenizer is written: %s", why.msg);
    return rc;
}

static int convert(struct setup *s, const struct options *o, const char *in, const char *out,
                   struct err *e)
{
    struct progress bar;
    struct save_options so = {.bar = &bar};
    const enum format format = choose_format(o, out);
    if (read_size(o, &so.shard_bytes, e) || open_input(s, in, o->adapter, e) ||
        check_out(o, in, out, format, e) || choose_dtype(o, format, &s->model, &so.dtype, e))
        return -1;
    progress_start(&bar, "convert", s->model.table.n);
    int rc = format == FORMAT_GGUF ? write_gguf(s, out, &so, e)
                                   : write_dir(s, out, o->overwrite, &so, e);
    progress_end(&bar);
    if (!rc)
        printf("%s: %s, %zu parameters in %d tensors, %s -> %s\n", s->model.path,
               s->model.cfg.family->name, model_n_params(&s->model), s->model.table.n,
               dtype_info[so.dtype].name, out);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    struct setup s = {0};
    int rc = convert(&s, options, a->words[0], a->words[1], e);
    setup_close(&s);
    return rc;
}

int cmd_convert(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "convert",
                     .usage = "IN OUT [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 2,
                     .words_most = 2};
    return args_run(&a, argc, argv, run, &o);
}
