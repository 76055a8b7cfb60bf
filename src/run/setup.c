#include "run/setup.h"

#include <limits.h>
#include <string.h>

#include "base/compat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "guard/guard.h"
#include "methods/method.h"
#include "model/head.h"
#include "model/lora.h"
#include "model/store.h"
#include "model/ensemble.h"
#include "run/model_name.h"
#include "run/sharding.h"

#define OPT(field) offsetof(struct setup_options, field)
const struct param setup_params[] = {
    {"model", PARAM_STRING, OPT(model), 0, 0, NULL, NULL, "PATH",
     "HF directory, GGUF or llama2.c file; 'default': the cached SmolLM2"},
    {"adapter", PARAM_STRING, OPT(adapter), 0, 0, NULL, NULL, "DIR",
     "LoRA adapter in PEFT's files, merged into the model"},
    {"compat", PARAM_STRING, OPT(compat), 0, 0, NULL, "none", "NAMES",
     "ou, or quirks of OpenUnlearning joined by commas; see 'unlearn help compat'"},
    {"max_length", PARAM_INT, OPT(max_length), 0, 1 << 24, NULL, "0", NULL,
     "maximum length of an example in tokens; 0: unlimited"},
    {"threads", PARAM_INT, OPT(threads), 0, 4096, NULL, "0", NULL, "0: all processors"},
    {0}};

#define CHAT(field) offsetof(struct chat_options, field)
#define TAG(name, field, role, help)                                                               \
    {                                                                                              \
        name, PARAM_STRING, CHAT(choice.field[role]), 0, 0, NULL, NULL, "TEXT", help               \
    }
const struct param chat_params[] = {
    {"template", PARAM_STRING, CHAT(choice.template), 0, 0, NULL, NULL, "NAME",
     "chat template, if not the checkpoint's own: llama-3, chatml ... (a wrong name lists all); "
     "plain: questions and answers; none: text as it is"},
    {"system", PARAM_STRING, CHAT(system), 0, 0, NULL, NULL, "TEXT",
     "system message of every conversation; without it the template decides, as in "
     "apply_chat_template"},
    {"date", PARAM_STRING, CHAT(choice.date), 0, 0, NULL, NULL, "TEXT",
     "today's date in templates that have one (default 26 Jul 2024, so that runs are "
     "reproducible)"},
    TAG("user_tag", tags, CHAT_USER, "text before a question; {bos} and {eos} are replaced"),
    TAG("user_end", ends, CHAT_USER, "text after a question"),
    TAG("assistant_tag", tags, CHAT_ASSISTANT, "text before an answer"),
    TAG("assistant_end", ends, CHAT_ASSISTANT, "text after an answer, unless it is the last"),
    TAG("system_tag", tags, CHAT_SYSTEM, "text before the system message"),
    TAG("system_end", ends, CHAT_SYSTEM, "text after the system message"),
    {0}};

#define GUARD(field) offsetof(struct guard_options, field)
const struct param guard_params[] = {
    {"guard", PARAM_STRING, GUARD(guard), 0, 0, NULL, NULL, "NAMES|FILE",
     "guards in front of the model, NAME:PARAMETER=VALUE,... joined by +; see 'unlearn guard'"},
    {"assist", PARAM_STRING, GUARD(assist), 0, 0, NULL, NULL, "MODEL[,MODEL]",
     "models whose logits are joined with the model's own, by a rule"},
    {"rule", PARAM_STRING, GUARD(rule), 0, 0, NULL, NULL, "NAME",
     "how: whp:alpha=1, uld:w=-0.8,r=0.01, offset:w=1, divergence:alpha=1"},
    {0}};

int chat_options_open(const struct chat_options *o, unsigned compat, const struct tokenizer *t,
                      struct chat *c, struct err *e)
{
    struct chat_choice choice = o->choice;
    if (!choice.date && compat & COMPAT_DATE)
        choice.date = "10 Apr 2025";
    return chat_open(c, t, &choice, e);
}

const char *chat_options_system(const struct chat_options *o, unsigned compat, const struct chat *c)
{
    const char *s = o->system;
    if (!s && compat & COMPAT_SYSTEM_TURN && chat_has_system_turn(c))
        s = "You are a helpful assistant.";
    return s && *s ? s : NULL;
}

int setup_add_input(struct inputs *in, const char *name, struct err *e)
{
    struct model_name m = {0};
    if (name && model_name_find(&m, name, e))
        return -1;
    int rc = inputs_add_model(in, m.path, e) || inputs_add_model(in, m.adapter, e);
    model_name_fini(&m);
    return rc;
}

char *setup_made_by(const struct setup_options *o, struct err *e)
{
    struct model_name m;
    if (o->adapter)
        return mem_strdup(o->adapter, e);
    if (model_name_find(&m, o->model, e))
        return NULL;
    char *path = mem_strdup(m.adapter ? m.adapter : m.path, e);
    model_name_fini(&m);
    return path;
}

/* The shards of a directory whose model is an ensemble; none: of one that holds a model. */
static int find_members(const struct model_name *n, char ***members, int *count, struct err *e)
{
    return sharding_members(n->adapter ? n->adapter : n->path, members, count, e);
}

static void free_members(char **members, int n)
{
    for (int i = 0; i < n; i++)
        free(members[i]);
    free(members);
}

static int refuse_ensemble(const struct model_name *n, struct err *e)
{
    char **members;
    int count, rc = find_members(n, &members, &count, e);
    if (!rc && count)
        rc = err_set(e,
                     "'%s' is an ensemble of %d models, which only evaluation, scoring and "
                     "generation take",
                     n->path, count);
    free_members(members, count);
    return rc;
}

int setup_open_model(struct model *m, const char *name, const char *adapter,
                     enum model_access access, struct err *e)
{
    struct model_name n;
    *m = (struct model){0};
    if (model_name_find(&n, name, e))
        return -1;
    int rc = refuse_ensemble(&n, e);
    rc = rc ? rc : model_open(m, n.path, access, e);
    if (!rc && ((n.adapter && lora_merge_dir(m, n.adapter, e)) ||
                (adapter && lora_merge_dir(m, adapter, e)))) {
        model_close(m);
        rc = -1;
    }
    model_name_fini(&n);
    return rc;
}

int setup_open_frozen(struct model *m, const char *what, const char *name, const char *adapter,
                      enum model_access access, const struct model *like, struct err *e)
{
    if (setup_open_model(m, name, adapter, access, e))
        return err_prefix(e, "%s: ", what);
    return m->cfg.vocab == like->cfg.vocab
               ? 0
               : err_set(e, "%s '%s' has a vocabulary of %d, the model %d", what, m->path,
                         m->cfg.vocab, like->cfg.vocab);
}

static int open_scratch(struct model *m, const char *name, unsigned seed, struct err *e)
{
    struct model_name n;
    if (model_name_find(&n, name, e))
        return -1;
    int rc = model_init_random(m, n.path, seed, e);
    model_name_fini(&n);
    return rc;
}

static int begin(struct setup *s, const struct setup_options *o, struct err *e)
{
    *s = (struct setup){.o = o};
    if (method_compat(o->compat, &s->compat, e))
        return -1;
    if (o->threads > 0)
        ops_set_threads((int)o->threads);
    return 0;
}

/* What follows from options once the model is open. */
static void adapt(struct setup *s)
{
    if (s->compat & COMPAT_DECAY_NORMS)
        weight_table_decay_norms(&s->model.table, &s->model.cfg);
    s->encoder = (struct encoder){.pad_id = s->model.cfg.pad,
                                  .max_length = (int)s->o->max_length,
                                  .positions = s->model.cfg.positions,
                                  .compat = s->compat};
}

int setup_open(struct setup *s, const struct setup_options *o, enum model_access access,
               struct err *e)
{
    if (begin(s, o, e) || setup_open_model(&s->model, o->model, o->adapter, access, e))
        return -1;
    adapt(s);
    return 0;
}

/* Members 1 .. count - 1 join the model, member 0. */
static int open_others(struct model *m, char *const *members, int count, const char *adapter,
                       struct err *e)
{
    struct model *others = mem_alloc((size_t)count, sizeof *others, e);
    int n = 0;
    if (!others)
        return -1;
    for (; n + 1 < count; n++)
        if (setup_open_model(&others[n], members[n + 1], adapter, MODEL_STORED, e)) {
            while (n-- > 0)
                model_close(&others[n]);
            free(others);
            return -1;
        }
    return ensemble_add(m, others, n, e);
}

static int open_members(struct setup *s, const struct setup_options *o, struct err *e)
{
    struct model_name name;
    char **members;
    int count;
    if (model_name_find(&name, o->model, e))
        return -1;
    int rc = find_members(&name, &members, &count, e);
    if (!rc && !count)
        rc = setup_open(s, o, MODEL_STORED, e);
    else if (!rc && !begin(s, o, e)) {
        rc = setup_open_model(&s->model, members[0], o->adapter, MODEL_STORED, e);
        if (!rc && open_others(&s->model, members, count, o->adapter, e)) {
            model_close(&s->model);
            rc = -1;
        }
        if (!rc)
            adapt(s);
    } else {
        rc = -1;
    }
    free_members(members, count);
    model_name_fini(&name);
    return rc;
}

static int open_assistant(void *ctx, struct model *m, const char *name, struct err *e)
{
    const struct setup *s = ctx;
    return setup_open_frozen(m, "assistant", name, NULL, MODEL_STORED, &s->model, e);
}

/* The guards as one text: a rule is one, whose assistants stand in it. */
static int join_guards(const struct guard_options *o, struct buf *text, struct err *e)
{
    if (!o->assist != !o->rule)
        return err_about(e, "rule", "an assistant and a rule belong together: one is missing");
    int rc = buf_str(text, o->guard ? o->guard : "", e);
    if (!o->rule || rc)
        return rc;
    const size_t name = strcspn(o->rule, ":");
    rc = (o->guard && buf_str(text, "+", e)) || buf_add(text, o->rule, name, e) ||
         buf_str(text, ":assist=", e);
    for (const char *s = o->assist; *s && !rc; s++)
        rc = ((*s == ',' || *s == '+') && buf_str(text, "\\", e)) || buf_add(text, s, 1, e);
    return rc || (o->rule[name] && buf_printf(text, e, ",%s", o->rule + name + 1)) ? -1 : 0;
}

int setup_guard(struct setup *s, struct err *e)
{
    struct buf text = {0};
    struct guard_host host = {.model = &s->model, .open_model = open_assistant, .ctx = s};
    if (!s->o->guard.guard && !s->o->guard.rule && !s->o->guard.assist)
        return 0;
    if (setup_has_tokenizer(s)) {
        if (setup_text(s, e))
            return -1;
        host.tok = s->tokenizer;
        host.qa = &s->qa;
    }
    if (!join_guards(&s->o->guard, &text, e))
        s->guards = guards_open(text.data, &host, e);
    buf_fini(&text);
    if (!s->guards)
        return -1;
    s->model.guard = guards_hook(s->guards);
    return 0;
}

int setup_open_ensemble(struct setup *s, const struct setup_options *o, struct err *e)
{
    if (open_members(s, o, e))
        return -1;
    if (!setup_guard(s, e))
        return 0;
    setup_close(s);
    return -1;
}

int setup_open_scratch(struct setup *s, const struct setup_options *o, unsigned seed, struct err *e)
{
    if (begin(s, o, e) || open_scratch(&s->model, o->model, seed, e))
        return -1;
    adapt(s);
    return 0;
}

int setup_open_header(struct setup *s, const struct setup_options *o, struct err *e)
{
    if (begin(s, o, e))
        return -1;
    struct model_name n;
    if (model_name_find(&n, o->model, e))
        return -1;
    int rc = model_open_header(&s->model, n.path, e);
    model_name_fini(&n);
    if (!rc)
        adapt(s);
    return rc;
}

bool setup_has_tokenizer(struct setup *s)
{
    struct err ignored;
    return s->tokenizer || !setup_tokenizer(s, &ignored);
}

/* Rows of the embedding that stand for no token, which padding leaves: a model may still favour
 * them. */
static int ban_ids(struct setup *s, struct err *e)
{
    struct model *m = &s->model;
    if (m->banned || !(m->banned = mem_alloc((size_t)m->cfg.vocab, sizeof *m->banned, e)))
        return m->banned ? 0 : -1;
    for (int id = 0; id < m->cfg.vocab; id++)
        if (!tokenizer_has_text(s->tokenizer, id))
            m->banned[m->n_banned++] = id;
    return 0;
}

/* Where no file of the model names an end token, the tokenizer's ends what is generated. */
static void use_end(struct model_config *c, const struct tokenizer *t)
{
    if (!c->n_eos && tokenizer_eos(t) >= 0)
        c->eos[c->n_eos++] = tokenizer_eos(t);
}

int setup_tokenizer(struct setup *s, struct err *e)
{
    if (s->tokenizer)
        return 0;
    struct tokenizer *t = tokenizer_open(s->model.path, e);
    if (!t)
        return -1;
    const int rows = s->model.cfg.vocab, n = tokenizer_vocab_size(t);
    if (n > rows)
        log_note(
            "'%s': its tokenizer has %d tokens, the model %d embeddings; a text with one of the "
            "others is refused",
            s->model.path, n, rows);
    tokenizer_limit(t, rows);
    s->tokenizer = t;
    s->encoder.pad_id = tokenizer_pad(t) < rows ? tokenizer_pad(t) : -1;
    use_end(&s->model.cfg, t);
    return ban_ids(s, e);
}

int setup_text(struct setup *s, struct err *e)
{
    if (s->encoder.encode)
        return 0;
    if (setup_tokenizer(s, e))
        return -1;
    if (chat_options_open(&s->o->chat, s->compat, s->tokenizer, &s->chat, e))
        return s->o->chat.choice.template ? -1 : err_prefix(e, "'%s': ", s->model.path);
    s->qa.tok = s->tokenizer;
    s->qa.chat = s->chat.name ? &s->chat : NULL;
    s->qa.compat = s->compat;
    s->qa.max_length = (int)s->o->max_length;
    s->qa.system = chat_options_system(&s->o->chat, s->compat, &s->chat);
    s->encoder.encode = qa_encode;
    s->encoder.encode_turns = qa_encode_turns;
    s->encoder.ctx = &s->qa;
    s->encoder.left_out = &s->qa.left_out;
    /* Plain text was cut before its end token was appended; that token stays. */
    if (!chat_end_token(&s->chat))
        s->encoder.max_length = 0;
    return 0;
}

int setup_check_rows(const struct rows *rows, const char *key, const char *forms, struct err *e)
{
    char keys[200];
    if (json_object_get(rows->v[0], key))
        return 0;
    rows_keys(rows, 0, keys, sizeof keys);
    rows_err(rows, 0, e, "the row has no field '%s'; it has %s; %s", key, keys, forms);
    return err_subject(e, "question_key");
}

int setup_ids(struct setup *s, enum role role, const struct rows *rows, struct dataset *set,
              struct err *e)
{
    struct encoder enc = s->encoder; /* ids are cut here, whatever is done with text */
    enc.max_length = (int)s->o->max_length;
    if (s->compat & COMPAT_PAD_EOS_MASK && setup_has_tokenizer(s))
        enc.pad_id = s->encoder.pad_id;
    return (json_object_get(rows->v[0], "prompt_ids") ? dataset_from_prompt_ids : dataset_from_ids)(
        set, role, rows, s->model.cfg.vocab, &enc, e);
}

void setup_close(struct setup *s)
{
    guards_close(s->guards);
    qa_fini(&s->qa);
    chat_close(&s->chat);
    tokenizer_close(s->tokenizer);
    model_close(&s->model);
    *s = (struct setup){0};
}

/* --- how much memory a job takes --- */

enum { PROGRAM = 64 << 20 };

const char *const memory_part_name[MEMORY_PARTS] = {
    "program", "files", "weights", "reference", "gradients", "optimiser", "activations", "logits"};
const char *const memory_job_name[MEMORY_JOBS] = {"eval", "train", "forget", "lora"};

static size_t file_bytes(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->n_files; i++)
        n += m->files[i].map.size;
    return n;
}

bool memory_job_runs(const struct model *m, enum memory_job job)
{
    return !m->cfg.experts || job == MEMORY_EVAL || job == MEMORY_LORA;
}

struct memory_estimate memory_estimate(const struct model *m, enum memory_job job, int tokens,
                                       int rank, bool recompute)
{
    const bool moves = job != MEMORY_EVAL, lora = job == MEMORY_LORA, refers = job == MEMORY_FORGET;
    const int n = refers || lora ? 2 * tokens : tokens;
    const size_t all = m->table.total * sizeof(float), copied = store_copied(m, MODEL_STORED);
    const size_t moving = lora ? lora_floats(m, rank) * sizeof(float) : all;
    struct memory_estimate p = {
        .bytes = {[MEMORY_PROGRAM] = PROGRAM,
                  [MEMORY_FILES] = job == MEMORY_TRAIN ? 0 : file_bytes(m),
                  [MEMORY_WEIGHTS] = lora    ? copied + moving
                                     : moves ? all
                                             : copied,
                  [MEMORY_REFERENCE] = refers ? copied : 0,
                  [MEMORY_GRADIENTS] = moves ? moving : 0,
                  [MEMORY_OPTIMISER] = moves ? 2 * moving : 0,
                  [MEMORY_ACTIVATIONS] = (recompute && moves ? recompute_bytes(&m->cfg, n)
                                                             : forward_bytes(&m->cfg, n, moves)) +
                                         (moves ? backward_bytes(&m->cfg, n) : 0),
                  [MEMORY_LOGITS] = head_bytes(&m->cfg, n, moves)}};
    if (refers || lora) { /* the reference reads the same tokens */
        p.bytes[MEMORY_ACTIVATIONS] += forward_bytes(&m->cfg, n, false);
        p.bytes[MEMORY_LOGITS] += head_bytes(&m->cfg, n, false);
    }
    for (int i = 0; i < MEMORY_PARTS; i++)
        p.total += p.bytes[i];
    return p;
}

int memory_largest_batch(const struct model *m, enum memory_job job, int length, int rank,
                         bool recompute, uint64_t most)
{
    int fits = 0, step = 1;
    while (step <= INT_MAX / 8 / length && step < 1 << 16 &&
           memory_estimate(m, job, step * length, rank, recompute).total <= most)
        step *= 2;
    for (; step; step /= 2)
        if (memory_estimate(m, job, (fits + step) * length, rank, recompute).total <= most)
            fits += step;
    return fits;
}
