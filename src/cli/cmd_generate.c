/* unlearn generate: continue prompts. */
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "run/answer.h"
#include "data/rows.h"
#include "eval/answers.h"

struct options {
    struct setup_options setup;
    const char *data, *prompt, *question_key, *field, *stop;
    int64_t max_new_tokens, batch, n, seed;
    double temperature, top_p;
    bool json;
};

static const struct param params[] = {
    STRING_PARAM(struct options, data, NULL, "FILE",
                 "rows as JSON Lines, JSON or CSV; FILE[a:b] takes a part, '-' is standard input"),
    STRING_PARAM(struct options, prompt, NULL, "TEXT",
                 "one question instead; --prompt may be left out"),
    STRING_PARAM(struct options, question_key, "question", "KEY", "field of the prompt"),
    STRING_PARAM(struct options, field, NULL, "KEY",
                 "print the rows as JSON Lines, with the model's answer in this field"),
    INT_PARAM(struct options, max_new_tokens, 1, 1 << 20, 200, "maximum length of an answer"),
    STRING_PARAM(struct options, stop, NULL, "TEXT",
                 "an answer ends before this text; separate several by bars: '\\n\\n|Question:'"),
    INT_PARAM(struct options, batch, 0, 1 << 16, 0, "batch size in prompts; 0: automatic"),
    INT_PARAM(struct options, n, 1, 1 << 16, 1,
              "independent samples per prompt; needs a temperature above 0"),
    REAL_PARAM(struct options, temperature, 0, 1e6, 0, "sampling temperature; 0: greedy"),
    REAL_PARAM(struct options, top_p, 1e-9, 1, 1,
               "nucleus sampling: the most likely tokens up to this total probability"),
    INT_PARAM(struct options, seed, 0, UINT32_MAX, 0, "seed of sampling"),
    BOOL_PARAM(struct options, json, false, "print one JSON object a row"),
    {0}};

static const char about[] = "Continues each row's prompt, or one TEXT, and prints the model's "
                            "answers. Rows are {\"question\"},\n"
                            "rendered as a chat whose answer is generated, or {\"prompt_ids\"}, a "
                            "list of token ids. An answer ends\n"
                            "with the model's end token, or before a text of --stop, where \\n is "
                            "a new line and \\| a bar. With\n"
                            "--json a line is {\"new_ids\", \"text\"}: the new ids, including the "
                            "end token or those of the stop, and\n"
                            "their text, without the stop, if the checkpoint has a tokenizer. With "
                            "--field alternate the output is\n"
                            "data for AltPO: the rows with the model's answer as their alternate. "
                            "With --n each row has that many\n"
                            "lines, with --json as \"sample\": 0, 1, ... of \"row\". The same seed "
                            "gives the same answers, whatever\n"
                            "the batch size.\n";

static int read_rows(struct rows *rows, const struct args *a, const struct options *o,
                     struct err *e)
{
    const char *prompt = a->n_words ? a->words[0] : o->prompt;
    if (!o->data + !o->prompt + !a->n_words != 2)
        return err_set(e, "give the prompts by one of \"TEXT\", --prompt TEXT and --data FILE");
    return o->data ? rows_open(rows, o->data, e) ||
                         rows_split_messages(rows, o->question_key, "answer", e)
                   : command_row(rows, &o->question_key, &prompt, 1, e);
}

static json_t *ids_json(const struct generation *g)
{
    json_t *list = json_array();
    for (int i = 0; i < g->n; i++)
        json_array_append_new(list, json_integer(g->ids[i]));
    return list;
}

/* Answer number `answer` of all; n to each row. */
static int print_answer(const struct generation *g, int answer, int n, const struct buf *text,
                        struct err *e)
{
    json_t *j = json_pack("{s:o}", "new_ids", ids_json(g));
    if (n > 1) {
        json_object_set_new(j, "row", json_integer(answer / n));
        json_object_set_new(j, "sample", json_integer(answer % n));
    }
    if (text)
        json_object_set_new(j, "text", json_stringn(text->data ? text->data : "", text->len));
    int rc = command_print_json(j, 0, e);
    json_decref(j);
    return rc;
}

/* An answer of several lines stays one block: what follows it is set off by an empty line. */
static void print_text(const struct generation *g, const struct buf *text, bool more)
{
    if (text)
        fwrite(text->data ? text->data : "", 1, text->len, stdout);
    for (int i = 0; !text && i < g->n; i++)
        printf("%s%d", i ? " " : "", g->ids[i]);
    printf(more ? "\n\n" : "\n");
}

/* The row with the text in one of its fields: data for 'unlearn forget'. */
static int print_row(json_t *row, const char *field, const struct buf *text, struct err *e)
{
    json_object_set_new(row, field, json_stringn(text->data ? text->data : "", text->len));
    return command_print_json(row, 0, e);
}

static int print(const struct generation *g, const struct rows *rows, struct setup *s,
                 const char *const *stops, const struct options *o, struct err *e)
{
    int each = (int)o->n, n = rows->n * each;
    bool has_text = setup_has_tokenizer(s);
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        buf_clear(&text);
        if (has_text)
            rc = answer_text(s, &g[i], stops, &text, e);
        if (!rc && o->field)
            rc = has_text ? print_row(rows->v[i / each], o->field, &text, e)
                          : err_set(e, "--field needs a model with a tokenizer");
        else if (!rc && o->json)
            rc = print_answer(&g[i], i, each, has_text ? &text : NULL, e);
        else if (!rc)
            print_text(&g[i], has_text ? &text : NULL, i + 1 < n);
    }
    buf_fini(&text);
    return rc;
}

static int generate(struct setup *s, const struct dataset *p, const struct rows *rows,
                    const char *const *stops, const struct options *o, struct err *e)
{
    const struct generate_options how = {.max_new_tokens = (int)o->max_new_tokens,
                                         .batch = (int)o->batch,
                                         .samples = (int)o->n,
                                         .temperature = o->temperature,
                                         .top_p = o->top_p,
                                         .seed = (unsigned)o->seed};
    struct generation *g;
    const int rc = answer_generate(s, p, stops, &how, &g, e) || print(g, rows, s, stops, o, e);
    answer_free(g, (size_t)p->n * (size_t)o->n);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct setup s = {0};
    struct rows rows = {0};
    struct dataset p = {0};
    struct stop_list stops = {0};
    int rc = -1;
    if (o->n > 1 && o->temperature == 0)
        return err_set(e, "%d greedy answers would be the same: give a temperature above 0",
                       (int)o->n);
    if (!(o->stop && stop_list_parse(&stops, o->stop, e)) && !read_rows(&rows, a, o, e) &&
        !setup_open_ensemble(&s, &o->setup, e) && !(o->stop && setup_tokenizer(&s, e)) &&
        !answer_prompts(&s, &rows, o->question_key, (int)o->max_new_tokens, &p, e)) {
        setup_has_tokenizer(&s); /* if there is one, ids without a token are not chosen */
        rc = generate(&s, &p, &rows, (const char *const *)stops.v, o, e);
    }
    dataset_fini(&p);
    rows_close(&rows);
    setup_close(&s);
    stop_list_fini(&stops);
    return rc;
}

int cmd_generate(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "generate",
                     .usage = "--model M \"TEXT\" | --data FILE [options]",
                     .about = about,
                     .words_most = 1,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat},
                                {"guards", guard_params, &o.setup.guard}}};
    return args_run(&a, argc, argv, run, &o);
}
