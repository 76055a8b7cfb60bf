/* unlearn tokenize: text to token ids and back, a line each. */
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "run/model_name.h"
#include "run/setup.h"
#include "cli/command.h"
#include "data/rows.h"
#include "methods/method.h"
#include "text/tokenizer.h"

struct options {
    struct chat_options chat_how;
    const char *model, *data, *compat;
    bool chat, json, decode, plain_specials;
};

static const struct param params[] = {
    STRING_PARAM(struct options, model, NULL, "PATH",
                 "HF directory, GGUF file or a tokenizer file; 'default': the cached SmolLM2"),
    STRING_PARAM(struct options, data, NULL, "FILE", "input file; - or no --data: standard input"),
    BOOL_PARAM(struct options, decode, false, "decode ids to text"),
    BOOL_PARAM(struct options, chat, false,
               "a text is a user message, followed by the generation prompt"),
    STRING_PARAM(struct options, compat, "none", "NAMES",
                 "of conversations: ou, system_turn or date, see 'unlearn help compat'"),
    BOOL_PARAM(struct options, plain_specials, false,
               "special tokens in a text are plain text; in decoded text they are left out"),
    BOOL_PARAM(struct options, json, false, "JSON Lines in and out"),
    {0}};

static const char about[] = "Encodes every line of text, without its line break, or one TEXT, and "
                            "prints the ids on a line. With\n"
                            "--json rows are {\"text\"} or {\"messages\": [{\"role\", "
                            "\"content\"}], \"add_generation_prompt\"}, and a line\n"
                            "of the output is {\"ids\"}. --decode is the reverse: lines of ids to "
                            "text, or with --json {\"ids\"} to\n"
                            "{\"text\"}. No begin-of-text token is added.\n";

struct job {
    const struct options *o;
    const struct chat_options *co;
    unsigned compat;     /* bits of enum compat */
    struct tokenizer *t; /* owned */
    struct chat chat;    /* opened when first needed */
    struct ids ids;      /* owned scratch, as the next three */
    struct chat_text rendered;
    struct buf text, line;
};

/* The conversation's ids, into job->ids. */
static int encode_chat(struct job *job, const struct message *m, int n, bool open, struct err *e)
{
    struct chat_text *r = &job->rendered;
    chat_text_clear(r);
    job->ids.n = 0;
    if (chat_render(&job->chat, m, n, open, r, e))
        return -1;
    return tokenizer_encode_around(job->t, r->text.data ? r->text.data : "", r->text.len, r->spans,
                                   r->n, &job->ids, e);
}

static int find_chat(struct job *job, struct err *e)
{
    if (job->chat.name)
        return 0;
    if (chat_options_open(job->co, job->compat, job->t, &job->chat, e))
        return job->co->choice.template ? -1 : err_prefix(e, "'%s': ", job->o->model);
    return job->chat.name ? 0 : err_set(e, "there is no conversation in template 'none'");
}

/* The ids of a text, which with --chat is a user's turn, in job->ids. */
static int encode_text(struct job *job, const char *s, size_t n, struct err *e)
{
    const struct options *o = job->o;
    job->ids.n = 0;
    if (!o->chat)
        return tokenizer_encode(job->t, s, n, !o->plain_specials, &job->ids, e);
    if (memchr(s, 0, n))
        return err_set(e, "a turn of a chat cannot hold the character NUL");
    if (find_chat(job, e))
        return -1;
    const char *system = chat_options_system(job->co, job->compat, &job->chat);
    const struct message m[] = {{"system", system}, {"user", s}};
    return encode_chat(job, system ? m : m + 1, system ? 2 : 1, true, e);
}

static int encode_messages(struct job *job, const json_t *list, bool open, struct err *e)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > INT_MAX)
        return err_set(e, "'messages' must be an array");
    struct message *m = mem_alloc(n, sizeof *m, e);
    int rc = m ? find_chat(job, e) : -1;
    for (size_t i = 0; i < n && !rc; i++) {
        const json_t *one = json_array_get(list, i);
        if (json_need_str(one, "role", &m[i].role, e) ||
            json_need_str(one, "content", &m[i].content, e))
            rc = err_prefix(e, "message %zu: ", i);
        else if (strlen(m[i].content) != json_string_length(json_object_get(one, "content")))
            rc = err_set(e, "message %zu: a turn cannot hold the character NUL", i);
    }
    if (!rc)
        rc = encode_chat(job, m, (int)n, open, e);
    free(m);
    return rc;
}

static int encode_row(struct job *job, const json_t *row, struct err *e)
{
    const json_t *messages = json_object_get(row, "messages");
    const char *text;
    bool open = false;
    if (messages)
        return json_opt_bool(row, "add_generation_prompt", &open, e) ||
                       encode_messages(job, messages, open, e)
                   ? -1
                   : 0;
    if (json_need_str(row, "text", &text, e))
        return -1;
    return encode_text(job, text, json_string_length(json_object_get(row, "text")), e);
}

/* Ids as written on a line, into job->ids. */
static int read_ids(struct job *job, const char *s, struct err *e)
{
    job->ids.n = 0;
    for (char *end; *(s += strspn(s, " \t\r")); s = end) {
        long id = strtol(s, &end, 10);
        if (end == s || !strchr(" \t\r", *end) || id < 0 || id > INT_MAX)
            return err_set(e, "'%.20s' is no token id", s);
        if (ids_add(&job->ids, (int)id, e))
            return -1;
    }
    return 0;
}

static int decode(struct job *job, struct err *e)
{
    int size = tokenizer_vocab_size(job->t);
    for (size_t i = 0; i < job->ids.n; i++)
        if (job->ids.v[i] >= size)
            return err_set(e, "token id %d is outside the vocabulary of %d", job->ids.v[i], size);
    buf_clear(&job->text);
    return tokenizer_decode(job->t, job->ids.v, job->ids.n, job->o->plain_specials, &job->text, e);
}

static int decode_row(struct job *job, const json_t *row, struct err *e)
{
    int *v, n;
    if (json_need_ids(row, "ids", &v, &n, e))
        return -1;
    free(job->ids.v);
    job->ids = (struct ids){v, (size_t)n, (size_t)n};
    return decode(job, e);
}

static void print_line(const struct job *job)
{
    if (job->o->decode)
        fwrite(job->text.data, 1, job->text.len, stdout);
    for (size_t i = 0; !job->o->decode && i < job->ids.n; i++)
        printf(i ? " %d" : "%d", job->ids.v[i]);
    putchar('\n');
}

static int print_json(struct job *job, struct err *e)
{
    json_t *list = json_array(), *row = json_object();
    for (size_t i = 0; !job->o->decode && i < job->ids.n; i++)
        json_array_append_new(list, json_integer(job->ids.v[i]));
    if (job->o->decode)
        json_object_set_new(row, "text", json_stringn(job->text.data, job->text.len));
    else
        json_object_set(row, "ids", list);
    buf_clear(&job->line);
    int rc = json_write_buf(row, &job->line, 0, e);
    if (!rc)
        printf("%s\n", job->line.data);
    json_decref(list);
    json_decref(row);
    return rc;
}

static int work_on_word(struct job *job, const char *word, struct err *e)
{
    int rc = !job->o->decode          ? encode_text(job, word, strlen(word), e)
             : read_ids(job, word, e) ? -1
                                      : decode(job, e);
    if (!rc && job->o->json)
        return print_json(job, e);
    if (!rc)
        print_line(job);
    return rc;
}

static int work_on_rows(struct job *job, const char *path, struct err *e)
{
    struct rows rows;
    if (rows_open(&rows, path, e))
        return -1;
    int rc = 0;
    for (int i = 0; i < rows.n && !rc; i++) {
        struct err why;
        if (job->o->decode ? decode_row(job, rows.v[i], &why) : encode_row(job, rows.v[i], &why))
            rc = rows_err(&rows, i, e, "%s", why.msg);
        else
            rc = print_json(job, e);
    }
    rows_close(&rows);
    return rc;
}

static int work_on_lines(struct job *job, const char *path, struct err *e)
{
    size_t size;
    char *text = file_read(path, &size, e);
    if (!text)
        return -1;
    int rc = 0;
    long number = 1;
    for (char *s = text, *end; s < text + size && !rc; s = end + 1, number++) {
        end = memchr(s, '\n', (size_t)(text + size - s));
        end = end ? end : text + size;
        *end = 0;
        rc = !job->o->decode       ? encode_text(job, s, (size_t)(end - s), e)
             : read_ids(job, s, e) ? -1
                                   : decode(job, e);
        if (rc)
            err_prefix(e, "'%s' line %ld: ", path, number);
        else
            print_line(job);
    }
    free(text);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct job job = {.o = o, .co = &o->chat_how};
    if (a->n_words && o->data)
        return err_set(e, "give either a text or --data FILE");
    if (method_compat(o->compat, &job.compat, e))
        return -1;
    struct model_name name;
    if (model_name_find(&name, o->model, e))
        return -1;
    const char *from = o->data ? o->data : "-";
    int rc = -1;
    if ((job.t = tokenizer_open(name.path, e)))
        rc = a->n_words ? work_on_word(&job, a->words[0], e)
             : o->json  ? work_on_rows(&job, from, e)
                        : work_on_lines(&job, from, e);
    chat_close(&job.chat);
    tokenizer_close(job.t);
    free(job.ids.v);
    chat_text_fini(&job.rendered);
    buf_fini(&job.text);
    buf_fini(&job.line);
    model_name_fini(&name);
    return rc;
}

int cmd_tokenize(int argc, char **argv)
{
    struct options o;
    struct args a = {
        .command = "tokenize",
        .usage = "--model M [\"TEXT\"] [options]",
        .about = about,
        .words_most = 1,
        .tables = {{"options", params, &o}, {"conversations", chat_params, &o.chat_how}}};
    return args_run(&a, argc, argv, run, &o);
}
