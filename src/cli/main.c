/* The table of commands, what they share, and the choice of one. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/param.h"
#include "base/version.h"
#include "base/waiting.h"
#include "cli/command.h"
#include "cli/openunlearning.h"
#include "cli/start.h"
#include "methods/method.h"

static const struct command commands[] = {
    {"info", "show a model's architecture and estimate its memory use", cmd_info},
    {"run", "do a whole request: unlearn, evaluate, attack, check bounds", cmd_run},
    {"sweep", "many settings of one method: grid, random, halving", cmd_sweep},
    {"train", "fine-tune a model", cmd_train},
    {"forget", "unlearn: make a model forget data, by any method", cmd_forget},
    {"sisa", "exact removal: delete rows, train again what saw them", cmd_sisa},
    {"head", "remove rows from a logistic head, with a certificate", cmd_head},
    {"account", "the privacy that steps of DP-SGD give", cmd_account},
    {"verify", "prove a deletion: compare with a training without the rows", cmd_verify},
    {"influence", "which training rows an answer comes from", cmd_influence},
    {"locate", "find the weights to change, and write a mask of them", cmd_locate},
    {"merge", "add, subtract and average models or adapters (task vectors)", cmd_merge},
    {"edit", "change single facts by a formula (ROME, MEMIT, AlphaEdit)", cmd_edit},
    {"eval", "evaluate a model (TOFU, MUSE, WMDP, MMLU, own suites ...)", cmd_eval},
    {"rescore", "recompute an evaluation log's aggregates from its rows", cmd_rescore},
    {"report", "compare evaluation logs of several models in one table", cmd_report},
    {"runs", "list, show and compare the runs that a ledger holds", cmd_runs},
    {"rerun", "repeat a run of a ledger, and compare the bits", cmd_rerun},
    {"stats", "statistics of attacks and scores of papers from given numbers", cmd_stats},
    {"attack", "try to bring back what a model was made to forget", cmd_attack},
    {"canaries", "make secrets to insert into training data, and insert them", cmd_canaries},
    {"guard", "list the guards, which leave the weights as they are", cmd_guard},
    {"generate", "continue prompts with a model", cmd_generate},
    {"chat", "talk to a model, or to two, in the terminal", cmd_chat},
    {"serve", "a server with OpenAI's API, and a page to compare models", cmd_serve},
    {"score", "log-probabilities of answers under a model", cmd_score},
    {"bench", "measure training, unlearning and inference on this machine", cmd_bench},
    {"convert", "convert a model to another format or storage type", cmd_convert},
    {"tokenize", "convert text to token ids and back", cmd_tokenize},
    {"methods", "list the unlearning methods, or explain one", cmd_methods},
    {"probe", "run one forward and backward pass of a method on given tensors", cmd_probe},
    {"diff", "compare two checkpoints tensor by tensor", cmd_diff},
};

static const struct {
    const char *name;
    void (*print)(FILE *out);
} topics[] = {{"compat", method_compat_help}, {"openunlearning", ou_help}};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

int command_width(void)
{
    const char *given = getenv("COLUMNS");
    const long asked = given ? strtol(given, NULL, 10) : 0;
    struct winsize w;
    if (asked >= 40 && asked <= 10000)
        return (int)asked;
    return isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col >= 40
               ? w.ws_col
               : 80;
}

/* What is collected: one at a time, of the main thread. */
static struct {
    FILE *before, *file;
    char *text;
    size_t n;
} wrapped;

void command_wrap_begin(void)
{
    FILE *file = open_memstream(&wrapped.text, &wrapped.n);
    if (!file)
        return; /* lines stay long */
    wrapped.file = file;
    wrapped.before = stdout;
    stdout = file;
}

/* Where the last column of a line starts: after two spaces or more, in its first half. */
static size_t last_column(const char *line, size_t n)
{
    size_t at = strspn(line, " ");
    for (size_t i = at + 2; i < n && i <= 40; i++)
        if (line[i] != ' ' && line[i - 1] == ' ' && line[i - 2] == ' ')
            at = i;
    return at;
}

static void print_wrapped(const char *line, size_t n)
{
    struct buf out = {0};
    struct err e;
    const size_t column = last_column(line, n);
    char rest[4096];
    snprintf(rest, sizeof rest, "%.*s", (int)(n - column), line + column);
    bool fits = buf_columns(line, n) <= command_width() || n - column >= sizeof rest;
    if (fits || buf_add(&out, line, column, &e) ||
        buf_wrap(&out, rest, column < 40 ? (int)column : 4, command_width(), &e))
        printf("%.*s\n", (int)n, line);
    else
        printf("%s\n", out.data);
    buf_fini(&out);
}

void command_wrap_end(void)
{
    if (!wrapped.file)
        return;
    fclose(wrapped.file);
    stdout = wrapped.before;
    for (const char *line = wrapped.text; line && *line;) {
        const size_t n = strcspn(line, "\n");
        print_wrapped(line, n);
        line += n + (line[n] == '\n');
    }
    free(wrapped.text);
    wrapped.text = NULL;
    wrapped.file = NULL;
}

void command_print_prose(const char *text)
{
    for (; *text; text++) {
        const bool within = *text == '\n' && text[1] && !strchr("\n ", text[1]);
        putchar(within ? ' ' : *text);
        if (*text == '\n' && (text[1] == '\n' || text[1] == ' ')) /* a blank line, indented ones */
            while (text[1] == '\n' || text[1] == ' ') {
                text++;
                putchar(*text);
                if (*text == ' ')
                    while (text[1] && text[1] != '\n')
                        putchar(*++text);
            }
    }
}

int command_print_json(const json_t *j, size_t flags, struct err *e)
{
    struct buf text = {0};
    int rc = json_write_buf(j, &text, flags, e);
    if (!rc)
        printf("%s\n", text.data);
    buf_fini(&text);
    return rc;
}

int command_row(struct rows *rows, const char *const *key, const char *const *word, int n,
                struct err *e)
{
    struct buf text = {0};
    json_t *row = json_object();
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        if (json_object_set_new(row, key[i], json_string(word[i])))
            rc = err_set(e, "the %s on the command line is not valid UTF-8", key[i]);
    if (!rc)
        rc = json_write_buf(row, &text, JSON_COMPACT, e) ||
             rows_read(rows, "command line", text.data, text.len, e);
    buf_fini(&text);
    json_decref(row);
    return rc;
}

static bool take_number(const char **p, long *out)
{
    char *end;
    errno = 0;
    *out = **p >= '0' && **p <= '9' ? strtol(*p, &end, 10) : -1;
    if (*out < 0 || errno || *out > INT32_MAX)
        return false;
    *p = end;
    return true;
}

int command_rows(struct row_list *l, const char *text, struct err *e)
{
    for (const char *p = text; p && *p;) {
        long a, b;
        bool fine = take_number(&p, &a);
        b = a + 1;
        if (fine && *p == ':')
            fine = p++, take_number(&p, &b) && b > a && b - a < 1 << 28;
        if (!fine || (*p && (*p != ',' || !p[1])))
            return err_about(e, "rows", "'%s' is no list of rows such as 4,17,20:25", text);
        p += *p == ',';
        if (mem_reserve(&l->v, &l->cap, l->n + (size_t)(b - a), sizeof *l->v, e))
            return -1;
        for (; a < b; a++)
            l->v[l->n++] = (int)a;
    }
    return 0;
}

static void print_help(FILE *out)
{
    fprintf(out, "usage: unlearn COMMAND [words] [options]\n\n"
                 "Removes chosen data, knowledge or behaviour from a large language model\n"
                 "and measures what was removed.\n\ncommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s  %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\n'unlearn help COMMAND' describes one, 'unlearn help compat' lists the\n"
                 "values of --compat, 'unlearn help openunlearning' its keys and our options.\n"
                 "exit status: 0 done, 1 failed, 2 wrong usage, 3 a required bound did not hold,\n"
                 "130 interrupted by Ctrl-C\n");
}

static int refuse(const char *word)
{
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = param_nearest(word, names, N_COMMANDS);
    fputs("unlearn: unknown command '", stderr);
    escape_line(stderr, word);
    fputc('\'', stderr);
    if (near)
        fprintf(stderr, ": did you mean '%s'?", near);
    fprintf(stderr, "\nsee 'unlearn help'\n");
    return STATUS_USAGE;
}

int command_run(const char *name, int argc, char **argv)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return commands[i].run(argc, argv);
    return -1;
}

static int run(int argc, char **argv)
{
    const int status = command_run(argv[0], argc, argv);
    return status < 0 ? refuse(argv[0]) : status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return STATUS_USAGE;
    }
    bool help = !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
    for (size_t i = 0; help && argc > 2 && i < sizeof topics / sizeof *topics; i++)
        if (!strcmp(argv[2], topics[i].name)) {
            command_wrap_begin();
            topics[i].print(stdout);
            command_wrap_end();
            return STATUS_DONE;
        }
    if (help && argc > 2)
        return run(2, (char *[]){argv[2], "--help", NULL});
    if (help) {
        print_help(stdout);
        return STATUS_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("unlearn %s\n", UNLEARN_VERSION);
        return STATUS_DONE;
    }
    return run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    start_process();
    waiting_start();
    int status = dispatch(argc, argv);
    if (status == STATUS_FAILED)
        status = interrupt_status(status);
    const bool earlier = ferror(stdout), now = fflush(stdout);
    if (status != STATUS_DONE || (!earlier && !now))
        return status;
    if (now)
        perror("unlearn: cannot write standard output");
    else
        fprintf(stderr, "unlearn: cannot write standard output: an earlier write failed\n");
    return STATUS_FAILED;
}
