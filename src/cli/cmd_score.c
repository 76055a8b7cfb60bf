/* unlearn score: log-probabilities of answers, or of chosen labels, row by row. */
#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/args.h"
#include "cli/command.h"
#include "run/answer.h"
#include "data/rows.h"
#include "model/score.h"

struct options {
    struct setup_options setup;
    const char *data, *question_key, *answer_key;
    int64_t tokens;
    bool json;
};

static const struct param params[] = {
    STRING_PARAM(struct options, data, NULL, "FILE",
                 "rows as JSON Lines, JSON or CSV; FILE[a:b] takes a part, '-' is standard input"),
    STRING_PARAM(struct options, question_key, "question", "KEY", "field of the prompt"),
    STRING_PARAM(struct options, answer_key, "answer", "KEY",
                 "field of the answer, or of a list of answers"),
    INT_PARAM(struct options, tokens, 0, 1 << 24, 0, "batch size in tokens; 0: automatic"),
    BOOL_PARAM(struct options, json, false, "print one JSON object a row"),
    {0}};

static const char about[] = "Scores each row, or one question and its answer, and prints the "
                            "natural log-probability of the answer.\n"
                            "Rows are {\"question\", \"answer\"}, rendered as a chat, whose answer "
                            "and end of turn are scored, or\n"
                            "{\"ids\", \"labels\"}: token ids, and for each the same id where it "
                            "is scored and -100 where it is not\n"
                            "(without \"labels\" all but the first are scored). A list of answers "
                            "gives a line for each. With --json\n"
                            "a line is {\"ids\", \"logprobs\", \"sum\", \"mean\"}: the whole "
                            "sequence, one number for each scored token,\n"
                            "their sum and their mean.\n";

static int print_json(const struct seq *q, const struct score *c, struct buf *line, struct err *e)
{
    buf_clear(line);
    int rc = buf_str(line, "{\"ids\": [", e);
    for (int t = 0; !rc && t < q->n; t++)
        rc = buf_printf(line, e, "%s%d", t ? ", " : "", q->ids[t]);
    if (!rc)
        rc = buf_str(line, "], \"logprobs\": [", e);
    /* 9 digits distinguish floats */
    for (int k = 0; !rc && k < c->n; k++)
        rc = buf_printf(line, e, "%s%.9g", k ? ", " : "", (double)c->logp[k]);
    char sum[JSON_REAL_TEXT], mean[JSON_REAL_TEXT];
    json_real_text(-c->nll, sum);
    json_real_text(-c->nll / c->n, mean);
    if (!rc)
        rc = buf_printf(line, e, "], \"sum\": %s, \"mean\": %s}", sum, mean);
    if (!rc)
        printf("%s\n", line->data);
    return rc;
}

static int print(const struct dataset *d, const struct scores *scores, const struct rows *rows,
                 bool json, struct err *e)
{
    struct buf line = {0};
    double total = 0;
    int rc = 0;
    for (int i = 0; i < d->n && !rc; i++) {
        const struct score *c = &scores->v[i];
        double mean = -c->nll / c->n;
        if (!isfinite(mean))
            rc = rows_err(rows, d->rows[i], e, "the model gives no finite log-probability");
        else if (json)
            rc = print_json(&d->seqs[i], c, &line, e);
        else
            printf("row %d: mean %.4f  sum %.3f  of %d tokens\n", d->rows[i], mean, -c->nll, c->n);
        total += mean;
    }
    if (!rc && !json)
        printf("mean over %d rows: %.4f\n", d->n, total / d->n);
    buf_fini(&line);
    return rc;
}

static int read_rows(struct rows *rows, const struct args *a, const struct options *o,
                     struct err *e)
{
    const char *const keys[] = {o->question_key, o->answer_key};
    if (a->n_words == 1 || !o->data == !a->n_words)
        return err_set(e, "no rows given: use either \"QUESTION\" \"ANSWER\" or --data FILE");
    return o->data ? rows_open(rows, o->data, e) ||
                         rows_split_messages(rows, o->question_key, o->answer_key, e)
                   : command_row(rows, keys, a->words, 2, e);
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct setup s = {0};
    struct rows rows = {0};
    struct dataset d = {0};
    struct scores scores = {0};
    struct progress bar;
    int rc = -1;
    if (!read_rows(&rows, a, o, e) && !setup_open_ensemble(&s, &o->setup, e) &&
        !answer_examples(&s, &rows, o->question_key, o->answer_key, &d, e)) {
        struct score_options how = {.tokens = (int)o->tokens};
        progress_start(&bar, "score", d.n);
        rc = model_score(&scores, &s.model, d.seqs, d.n, &how, &bar, e);
        progress_end(&bar);
        if (!rc)
            rc = print(&d, &scores, &rows, o->json, e);
    }
    scores_fini(&scores);
    dataset_fini(&d);
    rows_close(&rows);
    setup_close(&s);
    return rc;
}

int cmd_score(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "score",
                     .usage = "--model M \"QUESTION\" \"ANSWER\" | --data FILE [options]",
                     .about = about,
                     .words_most = 2,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.setup},
                                {"conversations", chat_params, &o.setup.chat},
                                {"guards", guard_params, &o.setup.guard}}};
    return args_run(&a, argc, argv, run, &o);
}
