/* The suite robust: one budgeted pass over the main attacks. The attacks give each row's figure
 * before and after; from there on they are metrics of an evaluation log like any other, which
 * report and rescore read. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "cli/command.h"
#include "cli/eval.h"
#include "cli/results.h"
#include "report/cost.h"
#include "report/table.h"

/* The budget. ATTACK_PARAMETER sets the parameter of that attack. */
const struct param robust_params[] = {
    STRING_PARAM(struct robust_options, target, NULL, "MODEL",
                 "the model before unlearning: attacked likewise, its log goes to OUT/target"),
    STRING_PARAM(struct robust_options, attacks, "relearn,quantise,prune,prompt,sample", "LIST",
                 "attacks of the pass"),
    REAL_PARAM(struct robust_options, utility_loss, 0, 1, 0.1,
               "settings that lose more than this share of the retain probability do not count"),
    STRING_PARAM(struct robust_options, relearn_rates, "5e-5", "LIST", "learning rates"),
    INT_PARAM(struct robust_options, relearn_steps, 1, 1 << 20, 20, "optimiser steps"),
    STRING_PARAM(struct robust_options, relearn_eval_at, "0,1,2,5,10,20,50", "LIST",
                 "steps after which relearning is scored"),
    STRING_PARAM(struct robust_options, relearn_entity_key, "entity", "KEY",
                 "field by which forget rows belong together"),
    STRING_PARAM(struct robust_options, quantise_types, "int8 nf4 int4", "LIST", "roundings"),
    STRING_PARAM(struct robust_options, prune_ratio, "0.1,0.3", "LIST",
                 "shares of weights that become zero"),
    STRING_PARAM(struct robust_options, prompt_templates, "all", "LIST", "settings of prompts"),
    INT_PARAM(struct robust_options, prompt_max_new_tokens, 0, 1 << 20, 0,
              "tokens of an answer to each prompt; 0: its probability alone"),
    INT_PARAM(struct robust_options, sample_n, 1, 100000, 16, "answers of each prompt"),
    INT_PARAM(struct robust_options, sample_max_new_tokens, 1, 1 << 20, 40,
              "tokens of such an answer"),
    {0}};

/* --- figures of one setting of an attack, from its JSON --- */

/* A setting, at evaluation `step` of a curve; step < 0: it is no curve. */
struct attack_point {
    const char *setting;
    int step;
};

static const json_t *block_of(const json_t *attack, enum attack_model which)
{
    return json_object_get(attack, attack_model_name[which]);
}

/* What stands before the attack: the settings of that name, the beginning of a curve. */
static struct attack_point start_of(const json_t *block, struct attack_point p)
{
    if (p.step >= 0)
        return (struct attack_point){p.setting, 0};
    return (struct attack_point){json_object_get(block, "before") ? "before" : "plain", -1};
}

/* The figure of each row at a point, borrowed; NULL: there is none. */
static const json_t *rows_at(const json_t *block, struct attack_point p)
{
    const json_t *at = json_object_get(block, p.setting);
    if (json_is_array(at)) /* of sampled answers */
        return at;
    return p.step < 0 ? json_object_get(json_object_get(at, "forget"), "row_prob")
                      : json_array_get(json_object_get(json_object_get(at, "rest"), "row_prob"),
                                       (size_t)p.step);
}

/* Mean probability of the retain answers; NaN: not known. */
static double utility_at(const json_t *block, struct attack_point p)
{
    const json_t *v =
        json_object_get(json_object_get(json_object_get(block, p.setting), "retain"), "prob");
    if (p.step >= 0)
        v = json_array_get(v, (size_t)p.step);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static double mean_of(const json_t *rows)
{
    double sum = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        sum += json_number_value(json_array_get(rows, i));
    return json_array_size(rows) ? sum / (double)json_array_size(rows) : NAN;
}

/* --- the worst setting --- */

struct picked {
    struct attack_point at, start;
    double gain;    /* mean of the rows minus the control's, which is largest here */
    double utility; /* retain probability after / before; NaN: the attack does not change it */
    bool any;
    bool outside; /* no setting is within the limit of utility: it is the strongest of all */
};

static void consider(struct picked *best, const json_t *attack, struct attack_point p, double most)
{
    const json_t *own = block_of(attack, ATTACK_UNLEARNED);
    const json_t *control = block_of(attack, ATTACK_RETRAINED);
    const struct attack_point start = start_of(own, p);
    const double utility = utility_at(own, p) / utility_at(own, start);
    const double gain = mean_of(rows_at(own, p)) - (control ? mean_of(rows_at(control, p)) : 0);
    if (isnan(gain) || utility < 1 - most || (best->any && gain <= best->gain))
        return;
    *best = (struct picked){p, start, gain, utility, .any = true};
}

/* Of all settings of an attack the one that shows most beyond the control. */
static struct picked pick(const json_t *attack, double most)
{
    struct picked best = {.any = false};
    json_t *own = (json_t *)block_of(attack, ATTACK_UNLEARNED), *v;
    const char *setting;
    if (json_object_get(own, "row_max")) {
        consider(&best, attack, (struct attack_point){"row_max", -1}, most);
        best.start.setting = "row_mean";
        return best;
    }
    if (json_object_get(own, "worst")) {
        consider(&best, attack, (struct attack_point){"worst", -1}, most);
        return best;
    }
    json_object_foreach(own, setting, v)
    {
        const json_t *steps = json_object_get(v, "steps");
        for (int k = 1; k < (int)json_array_size(steps); k++)
            consider(&best, attack, (struct attack_point){setting, k}, most);
        if (!steps && strcmp(setting, "before"))
            consider(&best, attack, (struct attack_point){setting, -1}, most);
    }
    return best;
}

/* --- the log --- */

/* log[NAME] = the rows of a point, numbered as in the data. */
static void put_rows(json_t *log, const char *name, const char *end, const json_t *block,
                     struct attack_point p)
{
    char key[80];
    const json_t *rows = rows_at(block, p);
    const json_t *number =
        p.step < 0
            ? NULL
            : json_object_get(json_object_get(json_object_get(block, p.setting), "rest"), "row");
    json_t *by_index = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char index[24];
        snprintf(index, sizeof index, "%lld",
                 number ? (long long)json_integer_value(json_array_get(number, i)) : (long long)i);
        json_object_set_new(by_index, index, json_pack("{s:O}", "score", json_array_get(rows, i)));
    }
    snprintf(key, sizeof key, "robust_%s%s", name, end);
    if (json_object_size(by_index))
        json_object_set_new(log, key, json_pack("{s:O}", "value_by_index", by_index));
    json_decref(by_index);
}

static void put_attack(json_t *log, const char *name, const json_t *attack, enum attack_model which,
                       const struct picked *p)
{
    const json_t *own = block_of(attack, which), *control = block_of(attack, ATTACK_RETRAINED);
    put_rows(log, name, "_before", own, p->start);
    put_rows(log, name, "", own, p->at);
    if (which == ATTACK_RETRAINED)
        return;
    put_rows(log, name, "_control_before", control, p->start);
    put_rows(log, name, "_control", control, p->at);
}

/* What a reader of one attack wants to know. */
static json_t *line_of(const json_t *attack, const struct picked *p, const json_t *table,
                       const char *name)
{
    char key[80];
    json_t *line = json_object();
    const json_t *own = block_of(attack, ATTACK_UNLEARNED);
    const json_t *control = block_of(attack, ATTACK_RETRAINED);
    const json_t *budget = json_object_get(attack, "budget");
    snprintf(key, sizeof key, "robust_%s_advantage", name);
    const json_t *advantage = json_object_get(table, key);
    json_put_real(line, "before", mean_of(rows_at(own, p->start)));
    json_put_real(line, "after", mean_of(rows_at(own, p->at)));
    json_put_real(line, "control", mean_of(rows_at(control, p->at)));
    json_put_real(line, "utility", p->utility);
    json_object_set(line, "advantage", json_object_get(advantage, "value"));
    json_object_set(line, "low", json_object_get(advantage, "low"));
    json_object_set(line, "high", json_object_get(advantage, "high"));
    json_object_set(line, "forward_tokens", json_object_get(budget, "forward_tokens"));
    json_object_set(line, "backward_tokens", json_object_get(budget, "backward_tokens"));
    json_object_set_new(line, "setting", json_string(p->at.setting));
    if (p->at.step >= 0)
        json_object_set(
            line, "steps",
            json_array_get(json_object_get(json_object_get(own, p->at.setting), "steps"),
                           (size_t)p->at.step));
    return line;
}

/* --- running them --- */

struct robust {
    struct eval *v;
    json_t *attacks;         /* owned {name: attack.json} */
    json_t *held;            /* owned: texts that parameters borrow */
    struct picked *picked;   /* owned, by attack */
    struct suite suite;      /* of the unlearned model */
    json_t *lines, *summary; /* owned {attack: line} */
    double start;
};

/* The parameters of an attack: its defaults, and the suite's budget. */
static int take_budget(struct robust *r, struct choice *c, struct err *e)
{
    const size_t n = strlen(choice_name(c));
    for (const struct param *p = robust_params; p->name; p++) {
        if (strncmp(p->name, choice_name(c), n) || p->name[n] != '_')
            continue;
        const struct param *own = param_find(choice_params(c), p->name + n + 1);
        json_t *value = param_get_json(p, &r->v->robust);
        json_array_append_new(r->held, value);
        if (own && !json_is_null(value) && param_set_json(own, c->params, value, e))
            return -1;
    }
    return 0;
}

static int run_attack(struct robust *r, const char *name, struct err *e)
{
    const struct eval *v = r->v;
    struct choice c = {0};
    struct outdir dir = {0};
    json_t *j = NULL;
    char *parent = v->to.out ? file_join(v->to.out, "attacks", e) : NULL;
    char *out = parent ? file_join(parent, name, e) : NULL;
    struct attack_options how = {.setup = v->setup,
                                 .retrained = v->o.retrained,
                                 .target = v->robust.target,
                                 .set = {v->files[0], v->files[1]},
                                 .question_key = v->o.question_key,
                                 .answer_key = v->o.answer_key,
                                 .out = out,
                                 .resume = v->to.resume};
    const struct attack *a = table_find(attacks, "attack", name, e);
    int rc = !a || (v->to.out && !out) || choice_init(&c, a, NULL, e) || take_budget(r, &c, e) ||
             (out && outdir_open(&dir, out,
                                 v->to.resume      ? OUTDIR_CONTINUE
                                 : v->to.overwrite ? OUTDIR_REPLACE
                                                   : OUTDIR_EMPTY,
                                 e)) ||
             attack_all(a, c.params, &how, v->kept.interrupt, &j, e);
    if (!rc)
        json_object_set(r->attacks, name, j);
    json_decref(j);
    if (out)
        outdir_close(&dir, rc != 0);
    choice_fini(&c);
    free(out);
    free(parent);
    return rc;
}

static int run_attacks(struct robust *r, struct err *e)
{
    for (const char *at = r->v->robust.attacks; *at; at += strcspn(at, ","), at += *at == ',') {
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        if (run_attack(r, name, e))
            return -1;
    }
    return 0;
}

/* --- results --- */

/* The log of one model; the worst of its attacks on probabilities is that of the unlearned one. */
static json_t *log_of(struct robust *r, enum attack_model which)
{
    json_t *log = json_object(), *attack;
    const char *name;
    const struct picked *worst = NULL;
    const json_t *of = NULL;
    int i = 0;
    json_object_foreach(r->attacks, name, attack)
    {
        const struct picked *p = &r->picked[i++];
        if (!p->any || !block_of(attack, which))
            continue;
        put_attack(log, name, attack, which, p);
        if (strcmp(name, "sample") && !p->outside && (!worst || p->gain > worst->gain)) {
            worst = p;
            of = attack;
        }
    }
    if (!worst)
        return log;
    put_rows(log, "worst", "", block_of(of, which), worst->at);
    if (which != ATTACK_RETRAINED)
        put_rows(log, "worst", "_control", block_of(of, ATTACK_RETRAINED), worst->at);
    return log;
}

static const char *model_of(const struct eval *v, enum attack_model which)
{
    return which == ATTACK_UNLEARNED   ? v->setup.model
           : which == ATTACK_RETRAINED ? v->o.retrained
                                       : v->robust.target;
}

/* Writes one model's files, into --out or the folder of its name there. */
static int write_model(struct robust *r, const struct suite *s, enum attack_model which,
                       struct err *e)
{
    const struct eval *v = r->v;
    const struct model_effort effort = {0};
    char *dir = file_join(v->to.out, which == ATTACK_UNLEARNED ? "" : attack_model_name[which], e);
    json_t *cost =
        dir ? cost_collect(model_of(v, which), v->o.retrained, log_seconds() - r->start, &effort, e)
            : NULL;
    const int rc = !cost || eval_tell(v, cost, NULL, e) ||
                   results_write(&s->log, s->table, dir, v->recipe.log, e) ||
                   peer_write(cost, dir, v->recipe.log, "COST", 0, e);
    json_decref(cost);
    free(dir);
    return rc;
}

/* A line for each attack, also in the table of its metric. */
static void make_lines(struct robust *r, json_t *table)
{
    const char *name;
    json_t *attack;
    const struct picked *p = r->picked;
    json_object_foreach(r->attacks, name, attack)
    {
        char key[80];
        snprintf(key, sizeof key, "robust_%s", name);
        json_t *metric = json_object_get(table, key);
        if (p->any && metric) {
            json_t *line = line_of(attack, p, table, name);
            json_object_set(metric, "attack", line);
            json_object_set_new(r->lines, name, line);
        }
        p++;
    }
}

static int evaluate_model(struct robust *r, enum attack_model which, struct err *e)
{
    struct suite s = {.recipe = &r->v->recipe};
    json_t *log = model_of(r->v, which) ? log_of(r, which) : NULL;
    int rc = log && suite_rescore(&s, log, e);
    if (!rc && which == ATTACK_UNLEARNED) {
        make_lines(r, s.table);
        r->summary = json_incref(s.log.summary);
    }
    if (!rc && log && r->v->to.out)
        rc = write_model(r, &s, which, e);
    suite_fini(&s);
    json_decref(log);
    return rc;
}

/* "relearn 5e-05, 20 steps" */
static int put_name(struct table *t, int row, const char *name, const json_t *line, struct err *e)
{
    const char *setting = json_string_value(json_object_get(line, "setting"));
    const json_t *steps = json_object_get(line, "steps");
    if (steps)
        return table_set(t, row, 0, e, "%s %s, %g steps", name, setting, json_number_value(steps));
    return table_set(t, row, 0, e, strncmp(setting, "row_", 4) ? "%s %s" : "%s", name, setting);
}

static int print_table(const struct robust *r, struct err *e)
{
    static const struct column columns[] = {{"before", "before", NULL, NULL},
                                            {"after attack", "after", NULL, NULL},
                                            {"control after attack", "control", NULL, NULL},
                                            {"advantage", "advantage", "low", "high"},
                                            {"utility", "utility", NULL, NULL},
                                            {"forward tokens", "forward_tokens", NULL, NULL},
                                            {"backward", "backward_tokens", NULL, NULL}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    static const char *const figures[] = {"robust_R", "robust_Q", "robust_RQ"};
    struct table t;
    struct buf out = {0};
    const char *name;
    json_t *line;
    int row = 1;
    if (table_init(&t, (int)json_object_size(r->lines) + 1, COLUMNS + 1, e))
        return -1;
    t.width = command_width();
    int rc = table_set(&t, 0, 0, e, "attack") || columns_head(&t, columns, COLUMNS, e);
    json_object_foreach(r->lines, name, line)
    {
        rc = rc || put_name(&t, row, name, line, e) ||
             columns_fill(&t, row, columns, COLUMNS, line, e);
        row++;
    }
    rc = rc || table_write(&t, TABLE_PLAIN, &out, e);
    for (int i = 0; !rc && i < 3; i++) {
        char digits[DIGITS_MOST];
        rc = buf_printf(&out, e, "%s%s %s", i ? ", " : "\n", figures[i] + strlen("robust_"),
                        digits_of(peer_aggregate(r->summary, figures[i]), digits));
    }
    if (!rc)
        printf("%s\n", out.data);
    buf_fini(&out);
    table_fini(&t);
    return rc;
}

static int print(const struct robust *r, struct err *e)
{
    if (!r->v->to.json)
        return print_table(r, e);
    json_t *all = json_pack("{s:O, s:O}", "summary", r->summary, "attacks", r->lines);
    const int rc = all ? command_print_json(all, JSON_LIKE_PYTHON, e) : err_no_memory(e, "results");
    json_decref(all);
    return rc;
}

/* Of every attack the setting that shows most. */
static int pick_all(struct robust *r, struct err *e)
{
    const double most = r->v->robust.utility_loss;
    const char *name;
    json_t *attack;
    struct picked *p = r->picked =
        mem_alloc(json_object_size(r->attacks) + 1, sizeof *r->picked, e);
    if (!p)
        return -1;
    json_object_foreach(r->attacks, name, attack)
    {
        *p = pick(attack, most);
        if (!p->any) {
            *p = pick(attack, INFINITY);
            p->outside = true;
            log_warn("%s: every setting loses more than %g of the retain probability; the "
                     "strongest is shown, and does not count as the worst attack",
                     name, most);
        }
        p++;
    }
    return 0;
}

int eval_robust(struct eval *v, struct err *e)
{
    struct robust r = {.v = v,
                       .attacks = json_object(),
                       .held = json_array(),
                       .lines = json_object(),
                       .start = log_seconds()};
    int rc = !v->files[0] ? err_about(e, "forget", "an attack needs forget data")
                          : run_attacks(&r, e) || pick_all(&r, e);
    for (int which = 0; which < ATTACK_MODELS && !rc; which++)
        rc = evaluate_model(&r, (enum attack_model)which, e);
    rc = rc || print(&r, e);
    free(r.picked);
    json_decref(r.attacks);
    json_decref(r.held);
    json_decref(r.lines);
    json_decref(r.summary);
    return rc;
}
