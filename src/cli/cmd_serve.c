/* unlearn serve: models as a server with OpenAI's API, and a page to compare them. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/start.h"
#include "serve/server.h"

struct options {
    struct setup_options setup;
    const char *versus, *host, *token, *forget, *question_key, *answer_key, *ledger;
    int64_t port, slots, context, queue, max_new_tokens, max_body, connections;
    double time_limit, receive_limit, grace;
};

static const struct param params[] = {
    STRING_PARAM(struct options, versus, NULL, "MODEL", "a second model, to compare with"),
    STRING_PARAM(struct options, host, "127.0.0.1", "ADDRESS", "where to listen"),
    INT_PARAM(struct options, port, 0, 65535, 8000, "port; 0: a free one"),
    STRING_PARAM(struct options, token, NULL, "FILE",
                 "file with the token that clients show; needed where other machines can connect"),
    INT_PARAM(struct options, slots, 0, 1024, 0,
              "answers at once; 0: as many as a cache of 1 GiB holds, at most 16"),
    INT_PARAM(struct options, context, 0, 1 << 20, 0,
              "tokens of a prompt and its answer; 0: as the model, at most 2048"),
    INT_PARAM(struct options, queue, 0, 1 << 16, 256,
              "answers that may wait for a slot; more are refused with status 429"),
    INT_PARAM(struct options, max_new_tokens, 1, 1 << 20, 512,
              "maximum length of a chat's answer that names none"),
    INT_PARAM(struct options, max_body, 1, 1 << 30, 1048576, "bytes that a request may have"),
    INT_PARAM(struct options, connections, 4, 1 << 16, 256, "connections at once"),
    REAL_PARAM(struct options, time_limit, 0.001, 1e6, 600, "seconds that an answer may take"),
    REAL_PARAM(struct options, receive_limit, 0.1, 1e6, 30,
               "seconds within which a request must arrive"),
    REAL_PARAM(struct options, grace, 0, 1e6, 10, "seconds that answers have to end at the stop"),
    STRING_PARAM(struct options, forget, NULL, "FILE",
                 "forget set, whose questions the page offers; FILE[a:b] takes a part"),
    STRING_PARAM(struct options, question_key, "question", "KEY", "field of the question"),
    STRING_PARAM(struct options, answer_key, "answer", "KEY", "field of the answer"),
    STRING_PARAM(struct options, ledger, "unlearn.db", "FILE", "ledger whose runs the page lists"),
    {0}};

static const char about[] =
    "Serves a model, or two, until Ctrl-C or SIGTERM, by the API of OpenAI: /v1/models, "
    "/v1/completions and\n"
    "/v1/chat/completions, with streaming; /health and /metrics (Prometheus). At / is a page that "
    "asks both\n"
    "models the same question, colours the tokens by their probability, offers the questions of "
    "the forget set,\n"
    "and lists the runs of the ledger. The same seed gives the tokens of 'unlearn generate', "
    "whoever else asks.\n"
    "\n"
    "  unlearn serve --model runs/npo --versus default --forget forget.jsonl\n"
    "  curl http://127.0.0.1:8000/v1/chat/completions \\\n"
    "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Who are you?\"}]}'\n";

/* The token that a file holds, without white space around it. Owned by the caller. */
static char *read_token(const char *path, struct err *e)
{
    size_t n;
    char *text = file_read(path, &n, e), *from = text;
    if (!text)
        return NULL;
    while (n && strchr(" \t\r\n", text[n - 1]))
        text[--n] = 0;
    from += strspn(from, " \t\r\n");
    memmove(text, from, strlen(from) + 1);
    return text;
}

static void ready(const char *url)
{
    printf("listening on %s\n", url);
    fflush(stdout);
}

/* Opens the model, and the second one if there is one; returns how many are open. */
static int open_models(struct served *served, const struct options *o, struct setup_options *second,
                       struct err *e)
{
    const struct scheduler_options so = {
        .slots = (int)o->slots, .context = (int)o->context, .waiting = INT32_MAX};
    *second = o->setup;
    second->model = o->versus;
    second->adapter = NULL;
    if (o->versus && !strcmp(o->versus, o->setup.model))
        return err_set(e, "both models are '%s'", o->versus), 0;
    if (served_open(&served[0], o->setup.model, &o->setup, &so, e))
        return 0;
    return o->versus && !served_open(&served[1], o->versus, second, &so, e) ? 2 : 1;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct setup_options second;
    struct served served[2];
    char *token = o->token ? read_token(o->token, e) : NULL;
    const bool has_ledger = args_has(a, "ledger") || !access(o->ledger, R_OK);
    const struct server_options so = {.host = o->host,
                                      .port = (int)o->port,
                                      .token = token,
                                      .waiting = (int)o->queue,
                                      .new_tokens = (int)o->max_new_tokens,
                                      .body = (long)o->max_body,
                                      .connections = (int)o->connections,
                                      .receive = o->receive_limit,
                                      .time = o->time_limit,
                                      .grace = o->grace,
                                      .forget = o->forget,
                                      .question_key = o->question_key,
                                      .answer_key = o->answer_key,
                                      .ledger = has_ledger ? o->ledger : NULL};
    if ((o->token && !token) || server_check(&so, e)) {
        free(token);
        return -1;
    }
    const volatile sig_atomic_t *stop = interrupt_catch(
        "\nthe server stops when the answers under way have ended; Ctrl-C again: at once\n");
    const int n = open_models(served, o, &second, e);
    const int rc = n < 1 + (o->versus != NULL) || server_run(&so, served, n, stop, ready, e);
    for (int i = 0; i < n; i++)
        served_close(&served[i]);
    free(token);
    return rc;
}

int cmd_serve(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "serve",
                     .usage = "--model M [--versus M2] [options]",
                     .about = about,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat},
                                {"guards", guard_params, &o.setup.guard}}};
    return args_run(&a, argc, argv, run, &o);
}
