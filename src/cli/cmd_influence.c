/* unlearn influence: which training rows an answer comes from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "cli/start.h"
#include "run/influence.h"
#include "text/rendered.h"
#include "train/inputs.h"

struct options {
    struct setup_options setup;
    struct influence_options how;
    const char *out, *rank;
    int64_t top;
    bool json;
    struct recording_options record;
};

static const struct param params[] = {
    STRING_PARAM(struct options, out, NULL, "FILE", "JSON Lines to write, one a pair"),
    {"overwrite", PARAM_BOOL, offsetof(struct options, how.data.overwrite), 0, 0, NULL, NULL, NULL,
     "replace a file --out that is not empty"},
    INT_PARAM(struct options, top, 0, 1000000, 10, "rows that are printed"),
    CHOICE_PARAM(struct options, rank, "sum|max", "sum",
                 "of the queries' scores: the order of the rows that are printed"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    {0},
};

static const char about[] =
    "Scores every training row for every query by influence functions: a positive score is that of "
    "a row which\n"
    "lowers the loss of the query; without it that loss would rise by about score / rows. The rows "
    "with the\n"
    "highest scores are what an answer comes from, and what to forget: paraphrases and "
    "near-duplicates too.\n"
    "Writes {\"query\", \"train\", \"score\"} for every pair, with --per-module \"modules\", and "
    "{\"train\", \"self\"} with\n"
    "--self. The losses are sums over the scored tokens of a row (doc/influence.md).\n"
    "\n"
    "    unlearn influence --model M --query forget.jsonl --train all.jsonl --out scores.jsonl\n";

/* --- the ranking --- */

struct ranked {
    double score;
    int row;
};

static int better(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : (x->row > y->row) - (x->row < y->row);
}

/* All rows, the highest first; owned by the caller. */
static struct ranked *rank_rows(const struct influence *r, bool sum, struct err *e)
{
    const size_t n = (size_t)r->train.n;
    struct ranked *all = mem_alloc(n, sizeof *all, e);
    for (size_t t = 0; all && t < n; t++) {
        all[t] = (struct ranked){sum ? 0 : -INFINITY, (int)t};
        for (size_t q = 0; q < (size_t)r->query.n; q++)
            all[t].score =
                sum ? all[t].score + r->score[q * n + t] : fmax(all[t].score, r->score[q * n + t]);
    }
    if (all)
        qsort(all, n, sizeof *all, better);
    return all;
}

/* --- output --- */

static int write_pair(struct file_out *f, struct buf *line, const struct influence *r, size_t at,
                      struct err *e)
{
    const size_t n = (size_t)r->train.n, pairs = n * (size_t)r->query.n;
    char number[JSON_REAL_TEXT];
    buf_clear(line);
    json_real_text(r->score[at], number);
    int rc = buf_printf(line, e, "{\"query\": %d, \"train\": %d, \"score\": %s",
                        r->query.rows[at / n], r->train.rows[at % n], number);
    for (int i = 0; r->by_map && i < r->n_maps && !rc; i++) {
        json_real_text(r->by_map[(size_t)i * pairs + at], number);
        rc = buf_printf(line, e, "%s\"%s\": %s", i ? ", " : ", \"modules\": {", r->map[i], number);
    }
    rc = rc || buf_str(line, r->by_map ? "}}\n" : "}\n", e);
    return rc || file_out_write(f, line->data, line->len, e);
}

static int write_all(const struct influence *r, const char *path, struct err *e)
{
    struct file_out f;
    struct buf line = {0};
    if (file_out_open(&f, path, e))
        return -1;
    int rc = 0;
    for (size_t at = 0; at < (size_t)r->query.n * (size_t)r->train.n && !rc; at++)
        rc = write_pair(&f, &line, r, at, e);
    for (int t = 0; r->self && t < r->train.n && !rc; t++) {
        char number[JSON_REAL_TEXT];
        buf_clear(&line);
        json_real_text(r->self[t], number);
        rc = buf_printf(&line, e, "{\"train\": %d, \"self\": %s}\n", r->train.rows[t], number) ||
             file_out_write(&f, line.data, line.len, e);
    }
    rc = rc ? -1 : file_out_commit(&f, e);
    file_out_abort(&f);
    buf_fini(&line);
    return rc;
}

/* {"tokens", "scored", "prompt", "answer"}, without a tokenizer the ids. */
static json_t *text_of(const struct influence *r, int row, struct err *e)
{
    const struct seq *q = &r->train.seqs[row];
    if (r->s.tokenizer)
        return rendered_row(r->s.tokenizer, q, e);
    json_t *ids = json_array();
    for (int t = 0; t < q->n; t++)
        json_array_append_new(ids, json_integer(q->ids[t]));
    return json_pack("{s:o}", "ids", ids);
}

/* What is scored of it, in a line. */
static void print_row(const struct ranked *at, int number, const json_t *text)
{
    const char *answer = json_string_value(json_object_get(text, "answer"));
    char line[240];
    size_t n = 0;
    if (answer) /* prompts begin alike */
        n = (size_t)snprintf(line, sizeof line, "%s", answer);
    else
        n = json_dumpb(json_object_get(text, "ids"), line, sizeof line, JSON_COMPACT);
    n = n < sizeof line ? n : sizeof line - 1;
    for (size_t i = 0; i < n; i++)
        line[i] = line[i] == '\n' ? ' ' : line[i];
    const int room = command_width() - 22;
    while (n > (size_t)room || (n && ((unsigned char)line[n] & 0xC0) == 0x80))
        n--; /* not within a character */
    printf("%12.5g  %6d  %.*s\n", at->score, number, (int)n, line);
}

static int print_top(const struct influence *r, const struct options *o, struct err *e)
{
    struct ranked *all = rank_rows(r, !strcmp(o->rank, "sum"), e);
    json_t *top = json_array();
    int rc = all && top ? 0 : -1;
    if (!rc && !o->json)
        printf("%12s  %6s  %s\n", "score", "row", "text");
    for (int i = 0; i < r->train.n && i < o->top && !rc; i++) {
        json_t *text = text_of(r, all[i].row, e);
        const int number = r->train.rows[all[i].row];
        rc = text ? 0 : -1;
        if (text && !o->json)
            print_row(&all[i], number, text);
        if (text)
            json_array_append_new(top, json_pack("{s:i, s:f, s:O}", "train", number, "score",
                                                 all[i].score, "text", text));
        json_decref(text);
    }
    if (!rc && o->json) {
        json_t *j =
            json_pack("{s:i, s:i, s:s, s:i, s:i, s:b, s:f, s:f, s:s?, s:O}", "queries", r->query.n,
                      "rows", r->train.n, "strategy", o->how.strategy, "modules", r->n_maps,
                      "blocks", r->blocks, "factors_read", r->read_factors, "seconds", r->seconds,
                      "tokens", r->tokens, "out", o->out, "top", top);
        rc = j ? command_print_json(j, JSON_INDENT(1), e) : err_no_memory(e, "result");
        json_decref(j);
    } else if (!rc) {
        printf("%d rows, %d queries, %d linear maps in %d blocks, %.1f s%s%s\n", r->train.n,
               r->query.n, r->n_maps, r->blocks, r->seconds, o->out ? " -> " : "",
               o->out ? o->out : "");
    }
    json_decref(top);
    free(all);
    return rc;
}

/* --- the command --- */

static int check_out(const struct options *o, struct recording *record, const struct args *a,
                     struct err *e)
{
    struct inputs in = {0};
    int rc =
        o->out && (setup_add_input(&in, o->setup.model, e) ||
                   inputs_add_rows(&in, o->how.query, e) || inputs_add_rows(&in, o->how.train, e) ||
                   inputs_claim_file(&in, o->out, o->how.data.overwrite, e) ||
                   recording_begin(record, a, &o->record, e) || recording_inputs(record, &in, e));
    inputs_fini(&in);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    struct options *o = options;
    struct influence r = {.models = 0};
    struct recording record = {.why_not = {.msg = ""}};
    if (!o->how.query || !o->how.train)
        return err_set(e, "no %s given: use --query FILE and --train FILE",
                       o->how.query ? "training rows" : "query rows");
    int rc = check_out(o, &record, a, e) ||
             run_influence(&r, &o->setup, &o->how,
                           interrupt_catch("\ninterrupted: no score is written\n"), e) ||
             (o->out && write_all(&r, o->out, e)) || print_top(&r, o, e);
    recording_end(&record, rc ? e : NULL);
    influence_fini(&r);
    return rc;
}

int cmd_influence(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "influence",
                     .usage = "--model M --query FILE --train FILE [options]",
                     .about = about,
                     .tables = {{"options", influence_params, &o.how},
                                {"output", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat},
                                {"ledger", recording_params, &o.record}}};
    o.how.data = (struct run_options){.out = NULL};
    return args_run(&a, argc, argv, run, &o);
}
