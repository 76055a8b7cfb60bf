#include "cli/setup.h"

#include <string.h>

#include "base/compat.h"
#include "base/file.h"
#include "base/mem.h"

#define OPT(field) offsetof(struct setup_options, field)
const struct param setup_params[] = {
    {"model", PARAM_STRING, OPT(model), 0, 0, NULL, NULL, "PATH",
     "HF directory, GGUF or llama2.c file; 'default': the cached SmolLM2"},
    {"system", PARAM_STRING, OPT(system), 0, 0, NULL, "You are a helpful assistant.", "TEXT",
     "system turn of every conversation; empty: what the template says"},
    {"template", PARAM_STRING, OPT(template), 0, 0, NULL, NULL, "NAME",
     "smollm2, chatml, plain: chat family, if not the checkpoint's own; none: text as it is"},
    {"compat", PARAM_STRING, OPT(compat), 0, 0, NULL, "none", "NAMES",
     "ou, or quirks of OpenUnlearning joined by commas; see 'unlearn help compat'"},
    {"max_length", PARAM_INT, OPT(max_length), 0, 1 << 24, NULL, "0", NULL,
     "tokens after which an example is cut; 0: never"},
    {"threads", PARAM_INT, OPT(threads), 0, 4096, NULL, "0", NULL, "0: all processors"},
    {0}};

static const char default_file[] = "unlearn/SmolLM2-135M-Instruct.Q4_1.gguf";

static char *default_path(struct err *e)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = cache && *cache ? mem_strdup(cache, e) : file_join(home ? home : "", ".cache", e);
    char *path = dir ? file_join(dir, default_file, e) : NULL;
    free(dir);
    if (path && !file_exists(path)) {
        err_set(e, "the default model '%s' is not there; './bootstrap demo' fetches it", path);
        free(path);
        path = NULL;
    }
    return path;
}

char *setup_model_path(const char *name, struct err *e)
{
    if (!name || !*name) {
        err_set(e, "no model given: use --model PATH, or --model default");
        return NULL;
    }
    return strcmp(name, "default") ? mem_strdup(name, e) : default_path(e);
}

int setup_open_model(struct model *m, const char *name, bool writable, struct err *e)
{
    *m = (struct model){0};
    char *path = setup_model_path(name, e);
    int rc = path ? model_open(m, path, writable, e) : -1;
    free(path);
    return rc;
}

static int open_scratch(struct model *m, const char *name, unsigned seed, struct err *e)
{
    char *path = setup_model_path(name, e);
    int rc = path ? model_init_random(m, path, seed, e) : -1;
    free(path);
    return rc;
}

static int begin(struct setup *s, const struct setup_options *o, struct err *e)
{
    *s = (struct setup){.o = o};
    if (compat_parse(o->compat, &s->compat, e))
        return -1;
    if (o->threads > 0)
        ops_set_threads((int)o->threads);
    return 0;
}

static void start_encoder(struct setup *s)
{
    s->encoder = (struct encoder){
        .pad_id = s->model.cfg.pad, .max_length = (int)s->o->max_length, .compat = s->compat};
}

int setup_open(struct setup *s, const struct setup_options *o, bool writable, struct err *e)
{
    if (begin(s, o, e) || setup_open_model(&s->model, o->model, writable, e))
        return -1;
    start_encoder(s);
    return 0;
}

int setup_open_scratch(struct setup *s, const struct setup_options *o, unsigned seed, struct err *e)
{
    if (begin(s, o, e) || open_scratch(&s->model, o->model, seed, e))
        return -1;
    start_encoder(s);
    return 0;
}

bool setup_has_tokenizer(struct setup *s)
{
    struct err ignored;
    return s->tokenizer || !setup_tokenizer(s, &ignored);
}

int setup_tokenizer(struct setup *s, struct err *e)
{
    if (s->tokenizer)
        return 0;
    struct tokenizer *t = tokenizer_open(s->model.path, e);
    if (!t)
        return -1;
    if (tokenizer_vocab_size(t) > s->model.cfg.vocab) {
        err_set(e, "'%s': its tokenizer has %d tokens, but the model only %d embeddings",
                s->model.path, tokenizer_vocab_size(t), s->model.cfg.vocab);
        tokenizer_close(t);
        return -1;
    }
    s->tokenizer = t;
    s->encoder.pad_id = tokenizer_pad(t);
    return 0;
}

/* The template that was asked for, or the checkpoint's. `none` is no family at all. */
static int find_chat(struct setup *s, struct err *e)
{
    const char *jinja = tokenizer_chat_template(s->tokenizer), *name = s->o->template;
    if (name && !strcmp(name, "none"))
        return 0;
    if (!name && !jinja)
        return err_set(e,
                       "'%s' has no chat template; name one by --template (plain: questions and "
                       "answers in plain text, none: text as it is)",
                       s->model.path);
    s->qa.chat = name ? chat_by_name(name, e) : chat_recognise(jinja, e);
    return s->qa.chat ? 0 : name ? -1 : err_prefix(e, "'%s': ", s->model.path);
}

int setup_text(struct setup *s, struct err *e)
{
    if (s->encoder.encode)
        return 0;
    if (setup_tokenizer(s, e) || find_chat(s, e))
        return -1;
    s->qa.tok = s->tokenizer;
    s->qa.compat = s->compat;
    s->qa.max_length = (int)s->o->max_length;
    s->encoder.encode = qa_encode;
    s->encoder.ctx = &s->qa;
    /* Plain text was cut before its end token was put behind it; that one stays. */
    bool turns = s->qa.chat && chat_end_token(s->qa.chat);
    if (turns && *s->o->system)
        s->qa.system = s->o->system;
    if (!turns)
        s->encoder.max_length = 0;
    return 0;
}

void setup_close(struct setup *s)
{
    qa_fini(&s->qa);
    tokenizer_close(s->tokenizer);
    model_close(&s->model);
    *s = (struct setup){0};
}
