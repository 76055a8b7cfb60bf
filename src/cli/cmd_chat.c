/* unlearn chat: a conversation in the terminal, with one model or two. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/args.h"
#include "cli/command.h"
#include "model/generate.h"
#include "run/setup.h"
#include "serve/completion.h"

struct options {
    struct setup_options setup;
    const char *versus;
    int64_t max_new_tokens, seed;
    double temperature, top_p;
};

static const struct param params[] = {
    STRING_PARAM(struct options, versus, NULL, "MODEL", "a second model, which answers too"),
    INT_PARAM(struct options, max_new_tokens, 1, 1 << 20, 512, "maximum length of an answer"),
    REAL_PARAM(struct options, temperature, 0, 1e6, 0, "sampling temperature; 0: greedy"),
    REAL_PARAM(struct options, top_p, 1e-9, 1, 1,
               "nucleus sampling: the most likely tokens up to this total probability"),
    INT_PARAM(struct options, seed, 0, UINT32_MAX, 0, "seed of sampling"),
    {0}};

static const char about[] =
    "Answers what is typed, line by line, in the model's chat template, and remembers the turns "
    "before. With\n"
    "--versus two models answer, each in its own conversation. Answers appear token by token, but "
    "those of a\n"
    "guarded model, which a guard sees whole first. /new begins another conversation, Ctrl-C stops "
    "an answer,\n"
    "Ctrl-D leaves. From a pipe each line is a question.\n"
    "\n"
    "  unlearn chat runs/npo --versus default\n";

/* A model and its conversation. */
struct speaker {
    const char *name;
    struct setup setup;
    json_t *turns; /* owned */
    struct completion said;
    size_t shown; /* bytes of its text that are printed */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void print_new(struct speaker *s, size_t to)
{
    if (to > s->shown)
        fwrite(s->said.text.data + s->shown, 1, to - s->shown, stdout);
    s->shown = to > s->shown ? to : s->shown;
    fflush(stdout);
}

/* A token of an answer that is shown as it comes. */
static bool on_token(void *ctx, int answer, const int *ids, int n)
{
    struct speaker *s = ctx;
    struct err e;
    (void)answer;
    if (completion_add(&s->said, ids[n - 1], &e))
        return true;
    print_new(s, completion_settled(&s->said));
    return false;
}

/* The whole answer, what was shown of it included; an interrupted one as far as it came. */
static int finish(struct speaker *s, const struct generation *g, struct err *e)
{
    if (s->setup.guards)
        for (int i = 0; i < g->n; i++)
            if (completion_add(&s->said, g->ids[i], e))
                return -1;
    if (completion_end(&s->said, e))
        return -1;
    print_new(s, s->said.text.len);
    json_t *text = json_stringn(s->said.text.data ? s->said.text.data : "", s->said.text.len);
    return json_array_append_new(s->turns,
                                 json_pack("{s:s, s:o}", "role", "assistant", "content", text))
               ? err_no_memory(e, "chat")
               : 0;
}

static int answer(struct speaker *s, const struct options *o, struct err *e)
{
    const int *ids, *whole;
    int n, n_whole;
    struct generation g = {0};
    const struct generate_options go = {.max_new_tokens = (int)o->max_new_tokens,
                                        .temperature = o->temperature,
                                        .top_p = o->top_p,
                                        .seed = (unsigned)o->seed,
                                        .token = s->setup.guards ? NULL : on_token,
                                        .token_ctx = s,
                                        .interrupt = &interrupted};
    if (qa_encode_turns(&s->setup.qa, s->turns, NULL, &ids, &n, &whole, &n_whole, e))
        return -1;
    int *own = mem_alloc((size_t)n, sizeof *own, e); /* guards encode texts of their own */
    if (!own)
        return -1;
    memcpy(own, ids, (size_t)n * sizeof *own);
    const struct seq prompt = {.n = n, .ids = own};
    completion_fini(&s->said);
    completion_init(&s->said, s->setup.tokenizer, NULL);
    s->shown = 0;
    int rc = model_generate(&g, &s->setup.model, &prompt, 1, &go, NULL, e);
    if (rc && e->code == ERR_INTERRUPTED)
        rc = 0;
    rc = rc || finish(s, &g, e);
    generation_fini(&g);
    free(own);
    return rc;
}

/* One question to all; a model that fails forgets it. */
static void ask(struct speaker *all, int n, const char *question, const struct options *o)
{
    for (int i = 0; i < n; i++) {
        struct speaker *s = &all[i];
        struct err e = {.msg = ""};
        interrupted = 0;
        if (n > 1)
            printf("%s: ", s->name);
        json_t *turn = json_pack("{s:s, s:s}", "role", "user", "content", question);
        if (json_array_append_new(s->turns, turn))
            err_no_memory(&e, "chat");
        else if (answer(s, o, &e))
            json_array_remove(s->turns, json_array_size(s->turns) - 1);
        if (e.msg[0] && e.code != ERR_INTERRUPTED)
            fprintf(stderr, "unlearn chat: %s\n", e.msg);
        printf("\n");
        fflush(stdout);
    }
}

static void converse(struct speaker *all, int n, const struct options *o)
{
    const bool typed = isatty(STDIN_FILENO);
    char *line = NULL;
    size_t room = 0;
    for (;;) {
        if (typed) {
            printf("> ");
            fflush(stdout);
        }
        ssize_t got = getline(&line, &room, stdin);
        if (got < 0 && interrupted && !feof(stdin)) { /* Ctrl-C at the prompt */
            interrupted = 0;
            clearerr(stdin);
            printf("\n(Ctrl-D leaves)\n");
            continue;
        }
        if (got < 0)
            break;
        while (got && strchr("\r\n", line[got - 1]))
            line[--got] = 0;
        if (!strcmp(line, "/new"))
            for (int i = 0; i < n; i++)
                json_array_clear(all[i].turns);
        else if (!utf8_valid(line, (size_t)got, NULL) || strlen(line) != (size_t)got)
            fprintf(stderr, "unlearn chat: the line is no text in UTF-8\n");
        else if (line[strspn(line, " \t")])
            ask(all, n, line, o);
    }
    if (typed)
        printf("\n");
    free(line);
}

static int open_speaker(struct speaker *s, const struct setup_options *o, struct err *e)
{
    s->name = o->model;
    if (!(s->turns = json_array()))
        return err_no_memory(e, "chat");
    if (setup_open_ensemble(&s->setup, o, e) || setup_text(&s->setup, e))
        return -1;
    s->setup.qa.max_length = 0;
    return s->setup.qa.chat ? 0 : err_about(e, "template", "a conversation needs a chat template");
}

static void close_speaker(struct speaker *s)
{
    completion_fini(&s->said);
    json_decref(s->turns);
    setup_close(&s->setup);
}

static int run(const struct args *a, void *options, struct err *e)
{
    struct options *o = options;
    struct speaker all[2] = {{.name = NULL}};
    if (a->n_words && args_has(a, "model"))
        return err_set(e, "give the model once: as a word or by --model");
    if (a->n_words)
        o->setup.model = a->words[0];
    struct setup_options second = o->setup;
    second.model = o->versus;
    second.adapter = NULL;
    second.guard = (struct guard_options){.guard = NULL};
    const int n = o->versus ? 2 : 1;
    int rc = open_speaker(&all[0], &o->setup, e) || (n > 1 && open_speaker(&all[1], &second, e));
    if (!rc) {
        const struct sigaction stop = {.sa_handler = on_interrupt}; /* getline returns */
        sigaction(SIGINT, &stop, NULL);
        converse(all, n, o);
    }
    for (int i = 0; i < n; i++)
        close_speaker(&all[i]);
    return rc;
}

int cmd_chat(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "chat",
                     .usage = "MODEL [--versus MODEL2] [options]",
                     .about = about,
                     .words_most = 1,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat},
                                {"guards", guard_params, &o.setup.guard}}};
    return args_run(&a, argc, argv, run, &o);
}
