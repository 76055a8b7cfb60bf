/* Greedy coordinate gradient (arXiv 2307.15043), with the defaults of nanoGCG 0.3.0. */
#include "attack/gcg.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define INIT_20 "x x x x x x x x x x x x x x x x x x x x"

static const struct param table[] = {
    STRING_PARAM(struct gcg_params, message, NULL, "TEXT",
                 "one prompt to attack instead of forget rows; '{}': the suffix's place"),
    STRING_PARAM(struct gcg_params, answer, NULL, "TEXT", "what the message is to elicit"),
    STRING_PARAM(struct gcg_params, control, NULL, "TEXT", "a wrong answer to the message"),
    STRING_PARAM(struct gcg_params, init, INIT_20, "TEXT", "the suffix to start from"),
    INT_PARAM(struct gcg_params, tokens, 1, 100000, 20,
              "random tokens to start from, of a model without a tokenizer"),
    INT_PARAM(struct gcg_params, steps, 0, 1000000, 250, "steps"),
    INT_PARAM(struct gcg_params, width, 1, 1000000, 512, "candidates of a step"),
    INT_PARAM(struct gcg_params, topk, 1, 1000000, 256, "tokens that are tried at a place"),
    INT_PARAM(struct gcg_params, replace, 1, 100000, 1, "tokens that a candidate replaces"),
    INT_PARAM(struct gcg_params, buffer, 0, 10000, 0,
              "suffixes that are kept; 0: each step's best, even if it is worse"),
    CHOICE_PARAM(struct gcg_params, filter, gcg_filters, "whole",
                 "candidates must keep their tokens when the prompt is tokenised as a whole, or "
                 "the suffix alone"),
    BOOL_PARAM(struct gcg_params, ascii, true, "printable ASCII only"),
    BOOL_PARAM(struct gcg_params, early_stop, false, "stop where the greedy answer is the target"),
    BOOL_PARAM(struct gcg_params, universal, false, "one suffix for all rows"),
    REAL_PARAM(struct gcg_params, share, 0, 1, 1,
               "share of the rows, the first ones, that it is made for"),
    STRING_PARAM(struct gcg_params, candidates, NULL, "FILE",
                 "candidates to replay, STEP.sampled, for the first row's answer"),
    BOOL_PARAM(struct gcg_params, trace, false, "write all candidates, so that they replay"),
    INPUT_CONTROL_PARAM(struct gcg_params),
    {0}};

static int search_target(struct gcg *g, enum input_target t, json_t *lines, struct err *e)
{
    struct input *in = g->in;
    int *rows = mem_alloc((size_t)in->n, sizeof *rows, e), n = 0, rc = !rows;
    for (int i = 0; rows && g->p->universal && i < in->n; i++)
        if (in->attacked[i])
            rows[n++] = i;
    if (g->p->universal) {
        rc = rc || gcg_search(g, t, rows, n, lines, e);
        in->done[t] = in->n;
    }
    for (int i = 0; !rc && !g->p->universal && i < in->n; i++) {
        rc = gcg_search(g, t, &i, 1, lines, e);
        in->done[t] = i + 1;
    }
    free(rows);
    return rc;
}

/* --- the attack --- */

/* Shares of searches whose greedy answer is the target. */
static void put_elicited(const json_t *lines, json_t *to)
{
    static const char *const targets[] = {"forget", "control"};
    for (int t = 0; t < INPUT_TARGETS; t++) {
        double found = 0, all = 0;
        size_t i;
        json_t *line;
        json_array_foreach(
            lines, i,
            line) if (!strcmp(json_string_value(json_object_get(line, "target")), targets[t]))
        {
            found += json_is_true(json_object_get(line, "elicited"));
            all++;
        }
        json_t *figures = json_object_get(to, targets[t]);
        if (figures && all > 0)
            json_put_real(figures, "elicited", found / all);
    }
}

static int write_lines(const struct input *in, const json_t *lines, struct err *e)
{
    char *path = in->a->o->out ? input_file(in, "gcg", "json", e) : NULL;
    const int rc = in->a->o->out && (!path || json_write_file(lines, path, JSON_INDENT(1), e));
    free(path);
    return rc;
}

static int search_all(struct gcg *g, json_t *to, struct err *e)
{
    struct err write = {.msg = ""};
    json_t *lines = json_array();
    int rc = 0;
    input_restart(g->in, "gcg", g->p->universal, 1);
    for (int t = 0; !rc && t < INPUT_TARGETS; t++)
        rc = g->in->rows[t] && search_target(g, (enum input_target)t, lines, e);
    progress_end(&g->in->bar);
    input_put(g->in, to);
    put_elicited(lines, to);
    if (write_lines(g->in, lines, rc ? &write : e))
        rc = -1;
    json_decref(lines);
    return rc;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    struct input in;
    struct gcg g = {.p = params, .in = &in};
    const struct gcg_params *p = params;
    g.filter = (enum gcg_filter)param_choice(gcg_filters, p->filter);
    if (input_init(&in, a, p->control_key, p->universal ? p->share : 1, (long)p->steps, e))
        return -1;
    int rc = gcg_prompts(&g, e) || gcg_ban(&g, e) || input_score(&in, e);
    if (!rc)
        input_put_before(&in, block);
    json_t *to = rc ? NULL : attack_begin(a, block, "gcg");
    if (to && !(rc = search_all(&g, to, e)))
        attack_end(a);
    for (int t = 0; t < INPUT_TARGETS; t++)
        input_slots_fini(&g.slots[t]);
    free(g.start);
    free(g.banned);
    arena_fini(&g.texts);
    input_fini(&in);
    return rc;
}

/* A message is a row. */
static int message_row(const void *params, char **text, struct err *e)
{
    const struct gcg_params *p = params;
    struct buf line = {0};
    if (!p->message)
        return 0;
    if (!p->answer)
        return err_about(e, "answer", "a message needs the answer that it is to elicit");
    json_t *j = json_pack("{s:s, s:s}", "question", p->message, "answer", p->answer);
    if (p->control)
        json_object_set_new(j, p->control_key, json_string(p->control));
    const int rc = json_write_buf(j, &line, JSON_COMPACT, e);
    json_decref(j);
    *text = line.data;
    return rc;
}

const struct attack attack_gcg = {
    .name = "gcg",
    .params = table,
    .params_size = sizeof(struct gcg_params),
    .help = "search for a suffix of the prompt by the derivative with respect to its tokens",
    .paper = "arXiv 2307.15043",
    .touches = "prompt",
    .access = "white",
    .verified = "nanoGCG, candidate by candidate",
    .rows = message_row,
    .run = run,
};
