#include "attack/attack.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/score.h"

const char *const attack_model_name[ATTACK_MODELS] = {"target", "unlearned", "retrained"};
const char *const attack_set_name[ATTACK_SETS] = {"forget", "retain", "holdout"};

extern const struct attack attack_relearn, attack_quantise, attack_prune, attack_noise,
    attack_interpolate, attack_sample, attack_depth, attack_embed, attack_soft, attack_latent,
    attack_gcg, attack_lens, attack_probe, attack_nearest, attack_prompt, attack_membership,
    attack_difference, attack_canary, attack_extract, attack_beam, attack_ablate;
const struct attack *const attacks[] = {&attack_relearn,     &attack_quantise,
                                        &attack_prune,       &attack_noise,
                                        &attack_interpolate, &attack_ablate,
                                        &attack_sample,      &attack_depth,
                                        &attack_embed,       &attack_soft,
                                        &attack_latent,      &attack_gcg,
                                        &attack_lens,        &attack_probe,
                                        &attack_nearest,     &attack_prompt,
                                        &attack_membership,  &attack_difference,
                                        &attack_canary,      &attack_extract,
                                        &attack_beam,        NULL};

/* --- one model and its data --- */

static const char *model_of(const struct attack_options *o, enum attack_model which)
{
    return which == ATTACK_TARGET      ? o->target
           : which == ATTACK_RETRAINED ? o->retrained
                                       : o->setup.model;
}

/* An empty answer holds nothing that could come back; its end token alone would be scored. */
static int check_answers(const struct rows *rows, const char *key, struct err *e)
{
    for (int i = 0; i < rows->n; i++) {
        const char *answer = json_string_value(json_object_get(rows->v[i], key));
        if (answer && !answer[strspn(answer, " \t\n")])
            return rows_err(rows, i, e, "the answer is empty: nothing can be brought back");
    }
    return 0;
}

/* Rows that are read, as examples. */
static int use_rows(struct attack_run *a, enum role role, struct rows *rows, struct dataset *d,
                    struct err *e)
{
    if (json_object_get(rows->v[0], "ids"))
        return setup_ids(&a->s, role, rows, d, e);
    if (setup_check_rows(rows, a->o->question_key, "rows are a prompt and its answer, or {ids}",
                         e) ||
        setup_text(&a->s, e))
        return -1;
    if (check_answers(rows, a->o->answer_key, e))
        return -1;
    return dataset_build(d, role, rows, a->o->question_key, a->o->answer_key, &a->s.encoder, e);
}

int attack_open_set(struct attack_run *a, const char *file, enum role role, struct rows *rows,
                    struct dataset *d, struct err *e)
{
    return rows_open(rows, file, e) || use_rows(a, role, rows, d, e) ? -1 : 0;
}

/* The forget rows that the attack's parameters hold. */
static int open_own_rows(struct attack_run *a, const struct attack *attack, const void *params,
                         struct err *e)
{
    struct rows *rows = &a->rows[ATTACK_FORGET];
    char *text = NULL;
    int rc = attack->rows && attack->rows(params, &text, e);
    if (!rc && text)
        rc = rows_read(rows, attack->name, text, strlen(text), e) ||
             use_rows(a, ROLE_FORGET, rows, &a->sets[ATTACK_FORGET], e);
    free(text);
    if (!rc && !a->sets[ATTACK_FORGET].n)
        return err_about(e, "forget", "an attack needs forget data");
    return rc;
}

static int open_run(struct attack_run *a, const struct attack *attack, const void *params,
                    const struct setup_options *how, struct err *e)
{
    const bool writes = attack->writes && !(attack->adapts && attack->adapts(params));
    if (setup_open(&a->s, how, writes ? MODEL_WRITE : MODEL_READ, e))
        return err_prefix(e, "%s model: ", attack_model_name[a->which]);
    if (a->which == ATTACK_UNLEARNED && (how->guard.guard || how->guard.rule) && !attack->guarded)
        return err_about(
            e, "guard",
            "attack '%s' uses more of the model than its texts and their scores, which "
            "no guard is in front of: attack the model without it",
            attack->name);
    if (a->which == ATTACK_UNLEARNED && setup_guard(&a->s, e))
        return -1;
    static const enum role roles[ATTACK_SETS] = {ROLE_FORGET, ROLE_RETAIN, ROLE_HOLDOUT};
    for (int set = 0; set < ATTACK_SETS; set++)
        if (a->o->set[set] &&
            attack_open_set(a, a->o->set[set], roles[set], &a->rows[set], &a->sets[set], e))
            return -1;
    if (!a->o->set[ATTACK_FORGET] && open_own_rows(a, attack, params, e))
        return -1;
    a->spent.rows = 0;
    for (int set = 0; set < ATTACK_SETS; set++)
        a->spent.rows += a->sets[set].n;
    if (writes && setup_open_frozen(&a->before, attack_model_name[a->which], how->model,
                                    how->adapter, MODEL_READ, &a->s.model, e))
        return -1;
    a->has_target = attack->compares && a->o->target;
    return a->has_target ? setup_open_frozen(&a->target, "target", a->o->target, NULL, MODEL_READ,
                                             &a->s.model, e)
                         : 0;
}

static void close_run(struct attack_run *a)
{
    for (int set = 0; set < ATTACK_SETS; set++) {
        dataset_fini(&a->sets[set]);
        rows_close(&a->rows[set]);
    }
    model_close(&a->before);
    model_close(&a->target);
    setup_close(&a->s);
}

/* --- figures --- */

/* Sums over the labels of each row: minus log-probabilities, KL to the model before. */
struct row_figures {
    double nll, kl;
    int labels;
};

static int figures_alone(struct attack_run *a, const struct dataset *d, struct row_figures *row,
                         struct err *e)
{
    struct scores scores = {0};
    const struct score_options how = {.interrupt = a->stop};
    const int rc = model_score(&scores, &a->s.model, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++)
        row[i] = (struct row_figures){.nll = scores.v[i].nll, .labels = scores.v[i].n};
    scores_fini(&scores);
    return rc;
}

static int figures_of_pair(struct attack_run *a, const struct dataset *d, struct row_figures *row,
                           struct err *e)
{
    struct divergence *far = mem_alloc((size_t)d->n, sizeof *far, e);
    const struct divergence_options how = {.interrupt = a->stop};
    const int rc =
        !far || model_divergence(far, &a->s.model, &a->before, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++)
        row[i] = (struct row_figures){far[i].nll, far[i].kl, far[i].n};
    free(far);
    return rc;
}

int attack_measure_set(struct attack_run *a, const struct dataset *d, bool moved, json_t *to,
                       struct err *e)
{
    struct row_figures *row = mem_alloc((size_t)d->n, sizeof *row, e);
    double nll = 0, prob = 0, kl = 0, labels = 0;
    const int rc = !row || (moved ? figures_of_pair(a, d, row, e) : figures_alone(a, d, row, e));
    json_t *each = json_array();
    for (int i = 0; !rc && i < d->n; i++) {
        const double own = exp(-row[i].nll / row[i].labels);
        nll += row[i].nll;
        kl += row[i].kl;
        labels += row[i].labels;
        prob += own / d->n;
        json_array_append_new(each, json_finite(own));
        a->spent.forward_tokens += (moved ? 2.0 : 1.0) * d->seqs[i].n;
    }
    json_put_real(to, "nll", nll / labels);
    json_put_real(to, "prob", prob);
    json_object_set_new(to, "row_prob", each);
    if (moved)
        json_put_real(to, "kl", kl / labels);
    free(row);
    return rc;
}

int attack_measure(struct attack_run *a, bool moved, json_t *to, struct err *e)
{
    for (int set = 0; set < ATTACK_SETS; set++) {
        if (!a->sets[set].n)
            continue;
        json_t *figures = json_object();
        json_object_set_new(to, attack_set_name[set], figures);
        if (attack_measure_set(a, &a->sets[set], moved, figures, e))
            return -1;
    }
    return 0;
}

int attack_check_memory(double bytes, const char *what, const char *subject, struct err *e)
{
    const double has = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (!(has > 0) || bytes <= has)
        return 0;
    err_about(e, subject, "%s would take %.3g GiB, the machine has %.3g", what, bytes / 0x1p30,
              has / 0x1p30);
    e->code = ERR_NO_MEMORY;
    return -1;
}

bool attack_same_entity(const struct rows *a, int i, const struct rows *b, int j, const char *key)
{
    const json_t *x = json_object_get(a->v[i], key), *y = json_object_get(b->v[j], key);
    return x && y && json_equal(x, y);
}

int attack_next(const char **at, const char *what, double lo, double hi, double *v, struct err *e)
{
    char *end;
    *v = strtod(*at, &end);
    if (end == *at || (*end && *end != ',') || !(*v >= lo && *v <= hi))
        return err_about(e, what, "'%s' is no list of numbers from %g to %g", *at, lo, hi);
    *at = *end ? end + 1 : end;
    return 0;
}

/* --- settings and files --- */

json_t *attack_begin(struct attack_run *a, json_t *block, const char *name)
{
    if (json_object_get(block, name))
        return NULL;
    json_t *to = json_object();
    snprintf(a->setting, sizeof a->setting, "%s", name);
    json_object_set_new(block, name, to);
    return to;
}

void attack_end(struct attack_run *a)
{
    *a->setting = 0;
}

int attack_replay_file(const struct attack_run *a, const char *name, char **path, struct err *e)
{
    *path = a->o->replay ? file_join(a->o->replay, name, e) : NULL;
    if (a->o->replay && !*path)
        return -1;
    if (*path && !file_exists(*path)) {
        free(*path);
        *path = NULL;
    }
    return 0;
}

char *attack_out_file(const struct attack_run *a, const char *name, struct err *e)
{
    return a->o->out ? file_join(a->o->out, name, e) : NULL;
}

/* --- all models --- */

/* The tokens of all rows, which must be the same for every model: figures of different tokens
 * cannot be compared. */
static uint64_t tokens_of(const struct attack_run *a)
{
    uint64_t h = HASH_START;
    for (int set = 0; set < ATTACK_SETS; set++)
        for (int i = 0; i < a->sets[set].n; i++) {
            const struct seq *q = &a->sets[set].seqs[i];
            h = hash_bytes(h, q->ids, (size_t)q->n * sizeof *q->ids);
        }
    return h;
}

static int check_tokens(const struct attack_run *a, uint64_t *tokens, struct err *e)
{
    const uint64_t own = tokens_of(a);
    if (*tokens && *tokens != own)
        return err_code(e, ERR_ARGUMENT,
                        "its tokenizer or chat template gives other tokens of the same rows than "
                        "the unlearned model's; the models cannot be compared");
    *tokens = own;
    return 0;
}

static int attack_one(const struct attack *attack, const void *params, struct attack_run *a,
                      uint64_t *tokens, json_t *all, struct err *e)
{
    const char *name = attack_model_name[a->which];
    struct setup_options how = a->o->setup;
    if (a->which != ATTACK_UNLEARNED)
        how.adapter = NULL;
    how.model = model_of(a->o, a->which);
    json_t *block = result_block(all, a);
    log_note("%s: the %s model", attack->name, name);
    int rc = open_run(a, attack, params, &how, e);
    if (!rc && check_tokens(a, tokens, e))
        rc = err_prefix(e, "%s model '%s': ", name, how.model);
    rc = rc || attack->run(a, params, block, e);
    result_put(all, a, block, rc);
    json_decref(block);
    close_run(a);
    return rc;
}

int attack_all(const struct attack *attack, const void *params, const struct attack_options *o,
               const volatile sig_atomic_t *stop, json_t **out, struct err *e)
{
    /* the claim first, so that a run that is stopped early has it */
    static const enum attack_model order[] = {ATTACK_UNLEARNED, ATTACK_RETRAINED, ATTACK_TARGET};
    uint64_t tokens = 0;
    struct err write = {.msg = ""};
    int rc = 0;
    *out = NULL;
    if (o->replay && attack->seeded)
        return err_about(e, "replay",
                         "what '%s' draws follows from the seed, and is in no file: give the same "
                         "seed, and nothing to replay",
                         attack->name);
    if (!(*out = result_open(attack, params, o, e)))
        return -1;
    for (int i = 0; !rc && i < ATTACK_MODELS; i++) {
        struct attack_run a = {.o = o, .which = order[i], .stop = stop};
        if (!model_of(o, order[i]) || result_has(*out, order[i]))
            continue;
        rc = attack_one(attack, params, &a, &tokens, *out, e);
        if (!rc && i + 1 < ATTACK_MODELS)
            rc = result_write(*out, o->out, e);
    }
    result_compare(*out);
    if (!rc && attack->summarise)
        rc = attack->summarise(*out, params, e);
    json_object_set_new(*out, "finished", json_boolean(!rc));
    if (result_write(*out, o->out, rc ? &write : e))
        rc = -1;
    return rc;
}
