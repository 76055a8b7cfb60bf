/* The same answer asked for in other ways: what only the plain question does not bring out is not
 * forgotten. */
#include "attack/prompt.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/texts.h"
#include "model/generate.h"

static const struct param table[] = {
    STRING_PARAM(struct prompt_params, templates, "all", "LIST",
                 "settings: plain, archivist, sure, leet, true_prefix_2, shots_retain, paraphrase "
                 "...; all: those for which the rows have data (doc/attacks.md lists them)"),
    STRING_PARAM(struct prompt_params, file, NULL, "FILE",
                 "templates of your own: rows {name, user, prefix, system, cipher, tells}"),
    STRING_PARAM(struct prompt_params, follow_up, NULL, "FILE",
                 "turns after the model's answers: rows {user}"),
    STRING_PARAM(struct prompt_params, translations, NULL, "FILE",
                 "questions in other languages: rows {language, question, translation}"),
    STRING_PARAM(struct prompt_params, subject_key, "subject", "KEY", "field of whom {s} names"),
    STRING_PARAM(struct prompt_params, wrong_key, "perturbed_answer", "KEY",
                 "field of wrong answers"),
    STRING_PARAM(struct prompt_params, paraphrase_key, "paraphrased_question", "KEY",
                 "field of the reworded question, or of a list of them"),
    STRING_PARAM(struct prompt_params, entity_key, "entity", "KEY",
                 "rows of one entity are not examples for each other"),
    STRING_PARAM(struct prompt_params, shots, "1,3", "LIST", "numbers of solved examples"),
    INT_PARAM(struct prompt_params, max_new_tokens, 0, 1 << 20, 32,
              "most tokens of a greedy answer; 0: none is generated"),
    CHOICE_PARAM(struct prompt_params, sets, "forget|both", "forget",
                 "whose answers are asked for; both: the retain rows', too"),
    {0}};

/* One setting on one set. */
struct asking {
    struct attack_run *a;
    const struct prompt_params *p;
    enum attack_set set;
    json_t *prompts; /* [n] */
    struct rows rows;
    struct dataset d;
    char **texts; /* owned [n]: greedy answers; NULL: none */
};

static void asking_fini(struct asking *k)
{
    for (int i = 0; k->texts && i < k->d.n; i++)
        free(k->texts[i]);
    free(k->texts);
    dataset_fini(&k->d);
    rows_close(&k->rows);
}

/* What is scored: the answer after the prefix, unless the prefix is its beginning. */
static int put_whole(json_t *j, struct err *e)
{
    const char *prefix = json_string_value(json_object_get(j, "prefix"));
    const char *answer = json_string_value(json_object_get(j, "answer"));
    if (!answer)
        return err_code(e, ERR_BAD_FILE, "a prompt has no 'answer'");
    const bool joined = prefix && strncmp(answer, prefix, strlen(prefix));
    return json_object_set_new(j, "whole",
                               joined ? json_sprintf("%s %s", prefix, answer) : json_string(answer))
               ? err_no_memory(e, "prompt")
               : 0;
}

/* Tokens of the prefix are not scored. */
static int skip_prefix(struct asking *k, struct err *e)
{
    struct dataset p = {0};
    if (!json_object_get(k->rows.v[0], "prefix"))
        return 0;
    if (dataset_build(&p, ROLE_FORGET, &k->rows, "question", "prefix", &k->a->s.encoder, e))
        return -1;
    for (int i = 0; i < k->d.n; i++) {
        const struct seq *q = &k->d.seqs[i], *b = &p.seqs[i];
        int *labels = k->d.pool + (q->labels - k->d.pool);
        for (int t = 0; t < q->n - 1 && t < b->n && q->ids[t] == b->ids[t]; t++)
            labels[t] = LABEL_NONE;
    }
    dataset_fini(&p);
    return 0;
}

static int encode(struct asking *k, struct err *e)
{
    struct buf text = {0};
    size_t i;
    json_t *j;
    int rc = 0;
    json_array_foreach(k->prompts, i, j) if (!rc) rc =
        put_whole(j, e) || json_write_buf(j, &text, JSON_COMPACT, e) || buf_str(&text, "\n", e);
    rc = rc || rows_read(&k->rows, "prompts", text.data, text.len, e) ||
         dataset_build(&k->d, ROLE_FORGET, &k->rows, "question", "whole", &k->a->s.encoder, e) ||
         skip_prefix(k, e);
    buf_fini(&text);
    return rc;
}

/* Greedy answers to all prompts. */
static int answer(struct asking *k, struct err *e)
{
    const int n = k->d.n;
    struct seq *prompts = mem_alloc((size_t)n, sizeof *prompts, e);
    struct generation *out = prompts ? mem_alloc((size_t)n, sizeof *out, e) : NULL;
    const struct generate_options how = {.max_new_tokens = (int)k->p->max_new_tokens,
                                         .interrupt = k->a->stop};
    for (int i = 0; out && i < n; i++) {
        prompts[i] = k->d.seqs[i];
        prompts[i].n = seq_prompt(&prompts[i]);
        prompts[i].labels = NULL;
        k->a->spent.forward_tokens += prompts[i].n;
    }
    int rc = !out || !(k->texts = mem_alloc((size_t)n, sizeof *k->texts, e)) ||
             model_generate(out, &k->a->s.model, prompts, n, &how, NULL, e);
    for (int i = 0; out && i < n; i++) {
        struct buf text = {0};
        k->a->spent.forward_tokens += out[i].n;
        rc = rc ||
             tokenizer_decode(k->a->s.tokenizer, out[i].ids, (size_t)out[i].n, true, &text, e) ||
             !(k->texts[i] = mem_strdup(text.data ? text.data : "", e));
        buf_fini(&text);
        generation_fini(&out[i]);
    }
    free(out);
    free(prompts);
    return rc;
}

/* Probability and ROUGE-L recall of the answers, of every row and their means. */
static int measure(struct asking *k, json_t *to, struct err *e)
{
    json_t *recall = json_array();
    double mean = 0;
    int rc = attack_measure_set(k->a, &k->d, false, to, e);
    for (int i = 0; !rc && k->texts && i < k->d.n; i++) {
        const char *truth = rows_text(&k->rows, i, "answer", e);
        struct rouge r;
        rc = !truth || rouge_score(truth, strlen(truth), k->texts[i], strlen(k->texts[i]),
                                   ROUGE_LATIN, &r, e);
        if (!rc) {
            json_array_append_new(recall, json_real(r.recall_l));
            mean += r.recall_l / k->d.n;
        }
    }
    if (!rc && k->texts) {
        json_put_real(to, "rouge_l_recall", mean);
        json_object_set(to, "row_rouge_l_recall", recall);
    }
    json_decref(recall);
    return rc;
}

/* Writes the prompts as they were asked, with what came. */
static int write_prompts(const struct asking *k, const char *setting, const json_t *figures,
                         struct attack_lines *lines, struct err *e)
{
    for (int i = 0; i < k->d.n; i++) {
        json_t *j = json_copy(json_array_get(k->prompts, (size_t)i));
        json_object_del(j, "whole");
        json_object_del(j, "turns");
        json_object_set_new(j, "setting", json_string(setting));
        json_object_set_new(j, "set", json_string(attack_set_name[k->set]));
        json_object_set_new(j, "row", json_integer(k->a->sets[k->set].rows[i]));
        json_object_set(j, "prob", json_array_get(json_object_get(figures, "row_prob"), (size_t)i));
        if (k->texts)
            json_object_set_new(j, "text", json_string(k->texts[i]));
        if (attack_lines_add(lines, j, e))
            return -1;
    }
    return 0;
}

static int ask_set(struct asking *k, const struct prompt_list *l, const struct prompt_setting *s,
                   json_t *to, struct attack_lines *lines, struct err *e)
{
    const int turns = s->source == PROMPT_FOLLOW_UP ? l->turns.n : 0;
    int rc = prompt_rows(l, s, k->set, &k->prompts, e);
    for (int turn = 0; !rc && turn <= turns; turn++) {
        if (turn)
            rc =
                prompt_next_turn(l, turn - 1, k->set, k->prompts, (const char *const *)k->texts, e);
        asking_fini(k);
        *k = (struct asking){.a = k->a, .p = k->p, .set = k->set, .prompts = k->prompts};
        rc = rc || encode(k, e) || (k->p->max_new_tokens && answer(k, e));
    }
    json_t *figures = json_object();
    json_object_set_new(to, attack_set_name[k->set], figures);
    return rc                                                                       ? rc
           : measure(k, figures, e) || write_prompts(k, s->name, figures, lines, e) ? -1
                                                                                    : 0;
}

/* A setting that rows have no data for, or that is too long, is left out where none is named. */
static bool is_left_out(const struct prompt_list *l, const struct prompt_setting *s, int rc,
                        const struct err *e)
{
    const bool is =
        l->all && (rc == SLOT_MISSING || (e->subject && !strcmp(e->subject, "max_length")));
    if (is)
        log_note("prompt: '%s' is left out: %s", s->name, e->msg);
    return is;
}

static int ask(const struct prompt_list *l, const struct prompt_setting *s, json_t *block,
               struct attack_lines *lines, struct err *e)
{
    struct attack_run *a = l->a;
    json_t *to = attack_begin(a, block, s->name);
    int rc = 0;
    if (!to)
        return attack_lines_keep(lines, "setting", s->name, e);
    a->spent.candidates++;
    for (int set = 0; !rc && set <= (strcmp(l->p->sets, "both") ? ATTACK_FORGET : ATTACK_RETAIN);
         set++) {
        struct asking k = {.a = a, .p = l->p, .set = (enum attack_set)set};
        if (a->sets[set].n)
            rc = ask_set(&k, l, s, to, lines, e);
        asking_fini(&k);
        json_decref(k.prompts);
    }
    if (rc && is_left_out(l, s, rc, e)) {
        json_object_del(block, s->name);
        rc = 0;
    }
    if (!rc)
        attack_end(a);
    return rc;
}

/* --- the worst case --- */

/* Whether a setting's prompts hold the answer. */
static bool tells(const struct prompt_list *l, const char *name)
{
    for (int i = 0; i < l->given.n; i++)
        if (!strcmp(json_string_value(json_object_get(l->given.v[i], "setting")), name))
            return json_is_true(json_object_get(l->given.v[i], "tells"));
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->v[i].name, name))
            return l->v[i].t && l->v[i].t->kind != TEMPLATE_PLAIN;
    return true;
}

/* The largest value of each row over all settings, and the mean of these. */
static void put_worst(const struct prompt_list *l, const json_t *block, const char *set,
                      const char *key, json_t *to)
{
    char rows_key[48];
    const char *name;
    json_t *v, *most = NULL;
    double mean = 0;
    snprintf(rows_key, sizeof rows_key, "row_%s", key);
    json_object_foreach((json_t *)block, name, v)
    {
        const json_t *own = json_object_get(json_object_get(v, set), rows_key);
        if (!own || tells(l, name))
            continue;
        if (!most)
            most = json_deep_copy(own);
        for (size_t i = 0; i < json_array_size(most); i++) {
            json_t *x = json_array_get(own, i);
            if (json_number_value(x) > json_number_value(json_array_get(most, i)))
                json_array_set(most, i, x);
        }
    }
    for (size_t i = 0; i < json_array_size(most); i++)
        mean += json_number_value(json_array_get(most, i)) / (double)json_array_size(most);
    if (!most)
        return;
    json_put_real(to, key, mean);
    json_object_set_new(to, rows_key, most);
}

static void put_worst_of_sets(const struct prompt_list *l, json_t *block)
{
    json_t *worst = json_object();
    int attempts = 0;
    const char *name;
    json_t *v;
    json_object_del(block, "worst");
    json_object_foreach(block, name, v) attempts += !tells(l, name);
    for (int set = 0; set < ATTACK_SETS; set++) {
        json_t *to = json_object();
        put_worst(l, block, attack_set_name[set], "prob", to);
        put_worst(l, block, attack_set_name[set], "rouge_l_recall", to);
        if (json_object_size(to))
            json_object_set(worst, attack_set_name[set], to);
        json_decref(to);
    }
    json_object_set_new(worst, "attempts", json_integer(attempts));
    json_object_set_new(block, "worst", worst);
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    struct prompt_list l;
    struct attack_lines lines = {0};
    struct progress bar;
    char file[48];
    if (!a->s.tokenizer)
        return err_about(e, "forget",
                         "prompts are rewritten as texts: rows of token ids have none");
    snprintf(file, sizeof file, "prompts_%s.jsonl", attack_model_name[a->which]);
    int rc = prompt_list_init(&l, a, params, e) || attack_lines_open(&lines, a, file, e);
    progress_start(&bar, "prompt", l.n);
    for (int i = 0; !rc && i < l.n; i++) {
        rc = ask(&l, &l.v[i], block, &lines, e);
        progress_step(&bar, i + 1, a->spent.forward_tokens, NULL);
    }
    progress_end(&bar);
    rc = attack_lines_close(&lines, rc, e);
    if (!rc)
        put_worst_of_sets(&l, block);
    prompt_list_fini(&l);
    return rc;
}

const struct attack attack_prompt = {
    .name = "prompt",
    .params = table,
    .params_size = sizeof(struct prompt_params),
    .help = "ask in other ways: paraphrases, roles, ciphers, prefixes, examples, turns; worst case",
    .paper = "arXiv 2406.10890",
    .touches = "prompt",
    .access = "black",
    .guarded = true,
    .verified = "ciphers and examples in Python; score on the written prompts",
    .run = run,
};
