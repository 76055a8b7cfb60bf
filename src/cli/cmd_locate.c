/* unlearn locate: score the weights of a model, and write the mask of those that may change. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "data/splice.h"
#include "cli/job.h"
#include "cli/start.h"
#include "locate/mask_file.h"
#include "run/data.h"
#include "report/mask_share.h"
#include "run/locate.h"
#include "train/mask.h"

struct options {
    const char *locate, *trainable_params_regex, *batch, *out, *format;
    int64_t seed;
    bool per_tensor, scores, json, list, markdown;
    struct run_options data;
    struct recording_options record;
};

#define DATA(f) offsetof(struct options, data.f)
static const struct param params[] = {
    STRING_PARAM(struct options, locate, NULL, "NAME",
                 "how the weights are scored; --list shows all"),
    {"score", PARAM_STRING, offsetof(struct options, locate), 0, 0, NULL, NULL, "NAME", "the same"},
    {"forget", PARAM_STRING, DATA(files[ROLE_FORGET]), 0, 0, NULL, NULL, "FILE", "what to forget"},
    {"retain", PARAM_STRING, DATA(files[ROLE_RETAIN]), 0, 0, NULL, NULL, "FILE", "what to keep"},
    STRING_PARAM(struct options, batch, NULL, "FILE",
                 "instead: safetensors with ROLE.input_ids, ROLE.attention_mask, ROLE.labels "
                 "[B,T], and 'pair' [forget rows], the retain row of each, if they are not to be "
                 "drawn"),
    {"question_key", PARAM_STRING, DATA(question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, DATA(answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"chunk", PARAM_INT, DATA(chunk), 0, 1 << 20, NULL, "0", NULL,
     "plain texts are joined and cut into pieces of so many tokens; 0: each row is one"},
    STRING_PARAM(struct options, trainable_params_regex, ".*", "REGEX",
                 "parameters to choose from: the whole name must match"),
    BOOL_PARAM(struct options, per_tensor, false, "the same as --scope tensor"),
    INT_PARAM(struct options, seed, 0, UINT32_MAX, 0,
              "of retain rows that are drawn, and of 'random'"),
    STRING_PARAM(struct options, out, NULL, "FILE", "safetensors to write"),
    {"overwrite", PARAM_BOOL, DATA(overwrite), 0, 0, NULL, NULL, NULL,
     "replace a file --out that is not empty"},
    CHOICE_PARAM(struct options, format, "bits|bytes", "bits", "a bit an element, or a byte"),
    BOOL_PARAM(struct options, scores, false, "write score.NAME too, f32"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    BOOL_PARAM(struct options, list, false, "print the table of locators (--json: as one array)"),
    BOOL_PARAM(struct options, markdown, false, "of --list: the table of README.md"),
    {0},
};

static const char about[] =
    "Scores the weights of a model by what they have to do with the data to be forgotten, and "
    "writes a mask of\n"
    "the best: mask.NAME for every parameter (doc/formats.md). 'unlearn forget --mask FILE' then "
    "changes no other.\n"
    "Of equal scores the first are kept, in the order of the parameters. Prints the share that is "
    "kept by layer\n"
    "and kind of parameter. --list shows the locators; the help with --locate NAME has the options "
    "of that one.\n";

struct job {
    struct setup s;
    struct run_data data;
    const struct dataset *sets[ROLE_COUNT];
    int *pair; /* owned; NULL: not given */
    struct located found;
};

/* --- the list --- */

static const char *text_of(const char *s)
{
    return s ? s : "";
}

/* A cell of a Markdown table. */
static void print_cell(const char *s)
{
    for (; *s; s++)
        printf(*s == '|' ? "\\%c" : "%c", *s);
}

static void print_row(const struct locator *l, const char *share, const char *data)
{
    printf("| %s | ", l->name);
    print_cell(l->help);
    printf(": ");
    print_cell(l->formula);
    printf(" | %s | %s | %s | %s |\n", share, data, text_of(l->paper), l->verified);
}

static int print_list(const struct options *o, struct err *e)
{
    json_t *all = json_array();
    if (o->markdown)
        printf("| locator | keeps the largest | share | data | paper | verified against |\n"
               "|---|---|---|---|---|---|\n");
    for (int i = 0; locators[i]; i++) {
        const struct locator *l = locators[i];
        char share[16] = "own";
        if (l->ratio > 0)
            snprintf(share, sizeof share, "%g", l->ratio);
        const char *data = l->roles == ROLE_BIT(ROLE_FORGET) ? "forget"
                           : l->roles                        ? "forget, retain"
                                                             : "none";
        if (!l->score)
            continue;
        if (o->markdown)
            print_row(l, share, data);
        else if (!o->json)
            printf("%-14s  %s\n%-14s  %s; share %s; data: %s%s%s\n", l->name, l->help, "",
                   l->formula, share, data, l->paper ? "; " : "", text_of(l->paper));
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:f, s:s, s:s?, s:s}", "name", l->name,
                                        "help", l->help, "formula", l->formula, "ratio", l->ratio,
                                        "data", data, "paper", l->paper, "verified", l->verified));
    }
    int rc = o->json && !o->markdown ? command_print_json(all, JSON_INDENT(1), e) : 0;
    json_decref(all);
    return rc;
}

/* --- the result --- */

static int print_text(const struct job *j, const struct locator *l, const struct mask_share *s,
                      const char *out, struct err *e)
{
    static const char *const units[] = {"tensors", "elements", "rows", "neurons"};
    const struct selected *r = &j->found.result;
    printf("%s: kept %zu of %zu %s", l->name, r->kept, r->units, units[l->unit]);
    if (l->unit != UNIT_ELEMENT)
        printf(", %.0f of %.0f elements", s->sum.kept, s->sum.all);
    printf(" (%.4g %% of the model) -> %s\n", 100 * s->sum.kept / s->sum.all, out);
    if (r->kept < r->asked)
        printf("asked for %zu: the others have no score\n", r->asked);
    if (!isnan(r->threshold))
        printf("threshold %.9g, next %.9g, %zu within 1e-4 of the threshold\n", r->threshold,
               r->next, r->near);
    struct buf table = {0};
    int rc = mask_share_write(s, false, &table, e);
    if (!rc)
        fputs(table.data, stdout);
    buf_fini(&table);
    return rc;
}

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static int print_object(const struct job *j, const struct locator *l, const struct mask_share *s,
                        const char *out, struct err *e)
{
    const struct selected *r = &j->found.result;
    const struct weight_table *t = &j->s.model.table;
    json_t *tensors = json_object(), *shares = json_object();
    for (int i = 0; i < t->n_model; i++) {
        const size_t kept = s->kept[i];
        json_object_set_new(tensors, t->v[i].name, json_integer((json_int_t)kept));
        json_object_set_new(shares, t->v[i].name, json_real((double)kept / (double)t->v[i].count));
    }
    json_t *all =
        json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:f, s:f, s:o, s:o, s:f, s:f, s:f, s:s}",
                  "locator", l->name, "units", (json_int_t)r->units, "k", (json_int_t)r->asked,
                  "kept", (json_int_t)r->kept, "threshold", real_or_null(r->threshold), "next",
                  real_or_null(r->next), "within_1e_4", (json_int_t)r->near, "elements",
                  s->sum.kept, "share", s->sum.kept / s->sum.all, "kept_per_tensor", tensors,
                  "share_per_tensor", shares, "tokens", j->found.scores.tokens, "seconds",
                  j->found.seconds, "gradient_seconds", j->found.scores.seconds, "out", out);
    int rc = all ? command_print_json(all, JSON_INDENT(1), e) : err_no_memory(e, "result");
    json_decref(all);
    return rc;
}

static int print_result(const struct job *j, const struct locator *l, const struct options *o,
                        struct err *e)
{
    struct mask_share s;
    int rc = mask_share_count(&s, &j->s.model, j->found.bits, e) ||
                     (o->json ? print_object(j, l, &s, o->out, e) : print_text(j, l, &s, o->out, e))
                 ? -1
                 : 0;
    mask_share_fini(&s);
    return rc;
}

/* --- the work --- */

static int read_pair(struct job *j, const struct tensor_file *f, struct err *e)
{
    const struct tensor *t = tensor_find(f, "pair");
    if (!t || !j->sets[ROLE_FORGET] || !j->sets[ROLE_RETAIN])
        return 0;
    if (!(j->pair = tensor_ints(t, e)))
        return -1;
    for (size_t i = 0; i < t->count; i++)
        if (j->pair[i] < 0 || j->pair[i] >= j->sets[ROLE_RETAIN]->n)
            return err_set(e, "'pair' holds %d: it is a retain row, 0 to %d", j->pair[i],
                           j->sets[ROLE_RETAIN]->n - 1);
    return t->count == (size_t)j->sets[ROLE_FORGET]->n
               ? 0
               : err_set(e, "'pair' has %zu rows, but there are %d to forget", t->count,
                         j->sets[ROLE_FORGET]->n);
}

static int read_tensors(struct job *j, const char *path, struct err *e)
{
    struct tensor_file f;
    bool there;
    int rc = 0;
    if (tensor_file_open(&f, path, e))
        return -1;
    for (int r = 0; r < ROLE_COUNT && !rc; r++) {
        rc = dataset_from_tensors(&j->data.sets[r], (enum role)r, &f, 0, &there, e);
        j->sets[r] = there ? &j->data.sets[r] : NULL;
    }
    rc = rc || read_pair(j, &f, e);
    tensor_file_close(&f);
    return rc ? err_prefix(e, "'%s': ", path) : 0;
}

static int read_files(struct job *j, const struct options *o, struct err *e)
{
    struct engine g = {.model = &j->s.model};
    struct recipe none = {0};
    struct alternate_options alternates;
    param_defaults(method_params, &none.p);
    param_defaults(alternate_params, &alternates);
    int rc = run_data_read(&j->data, &j->s, &o->data, &alternates, &none, &g, e);
    for (int r = 0; r < ROLE_COUNT && !rc; r++)
        j->sets[r] = g.sets[r];
    return rc;
}

static int check_out(const struct setup_options *so, const struct options *o,
                     struct recording *record, const struct args *a, struct err *e)
{
    struct inputs in = {0};
    int rc = setup_add_input(&in, so->model, e) || setup_add_input(&in, so->adapter, e) ||
                     inputs_add_file(&in, o->batch, e) ||
                     inputs_add_rows(&in, o->data.files[ROLE_FORGET], e) ||
                     inputs_add_rows(&in, o->data.files[ROLE_RETAIN], e) ||
                     inputs_claim_file(&in, o->out, o->data.overwrite, e) ||
                     recording_begin(record, a, &o->record, e) || recording_inputs(record, &in, e)
                 ? -1
                 : 0;
    inputs_fini(&in);
    return rc;
}

static int work(struct job *j, const struct setup_options *so, const struct options *o,
                const struct choice *locator, const struct mask_options *mo, struct err *e)
{
    const struct locator *l = locator->row;
    struct model *m = &j->s.model;
    struct choice regex = {0};
    if (setup_open(&j->s, so, MODEL_READ, e) || model_refuse_experts(m, e) ||
        choice_init(
            &regex, &locator_regex,
            (struct param_preset[]){{"trainable_params_regex", o->trainable_params_regex}, {0}}, e))
        return -1;
    int rc =
        locate_weights(regex.row, regex.params, 0, m, (unsigned)o->seed, e) ||
                (o->batch ? read_tensors(j, o->batch, e) : read_files(j, o, e)) ||
                run_locate(&j->found, m, locator, mo, j->sets, j->pair, (unsigned)o->seed,
                           interrupt_catch(
                               "\ninterrupted: the current row is finished; no mask is written\n"),
                           e) ||
                mask_save(m, j->found.bits, !strcmp(o->format, "bytes"),
                          o->scores ? &j->found.scores : NULL, l, o->out, e) ||
                print_result(j, l, o, e)
            ? -1
            : 0;
    choice_fini(&regex);
    return rc;
}

static int run(struct job *j, const struct args *a, const struct setup_options *so,
               const struct options *o, const struct choice *locator, const struct mask_options *mo,
               struct err *e)
{
    struct recording record = {.why_not = {.msg = ""}};
    int rc = check_out(so, o, &record, a, e) || work(j, so, o, locator, mo, e) ? -1 : 0;
    recording_end(&record, rc ? e : NULL);
    return rc;
}

static void close_job(struct job *j)
{
    located_fini(&j->found);
    free(j->pair);
    run_data_fini(&j->data);
    setup_close(&j->s);
}

/* What the tables cannot tell. */
static int check(const struct args *a, const struct options *o, const struct choice *locator,
                 struct mask_options *mo)
{
    struct err e = {.msg = ""};
    const struct locator *l = locator->row;
    if (!l->score)
        err_set(&e,
                "locator '%s' chooses whole tensors, and makes no mask: it is for 'unlearn forget'",
                l->name);
    else if (args_has(a, "ratio") && mo->ratio <= 0)
        err_set(&e, "--ratio 0 keeps nothing: give a share above 0, up to 1");
    else if (o->batch && (o->data.files[ROLE_FORGET] || o->data.files[ROLE_RETAIN]))
        err_set(&e, "--batch is instead of --forget and --retain: give one");
    else if (!o->out || !*o->out)
        err_set(&e, "no output given: use --out FILE");
    else
        return ARGS_GO;
    return args_usage(a, &e);
}

static int locate(struct args *a, const struct setup_options *so, struct options *o,
                  struct mask_options *mo)
{
    struct err e = {.msg = ""};
    struct choice locator = {0};
    struct job j = {.pair = NULL};
    int status = ARGS_GO;
    if (o->locate)
        status = locator_args(a, o->locate, &locator);
    if (status == ARGS_GO)
        status = args_finish(a);
    if (status == ARGS_GO && !o->locate) {
        err_set(&e, "no locator given: use --locate NAME; --list shows all");
        status = args_usage(a, &e);
    }
    if (status == ARGS_GO)
        status = check(a, o, &locator, mo);
    if (status == ARGS_GO) {
        if (o->per_tensor)
            mo->scope = "tensor";
        status = run(&j, a, so, o, &locator, mo, &e) ? args_fail(a, &e) : STATUS_DONE;
        close_job(&j);
    }
    choice_fini(&locator);
    return status;
}

int cmd_locate(int argc, char **argv)
{
    struct setup_options so;
    struct options o;
    struct mask_options mo;
    struct err e = {.msg = ""};
    struct args a = {.command = "locate",
                     .usage = "--locate NAME --model M --forget FILE --retain FILE --out FILE "
                              "[options]",
                     .about = about,
                     .tables = {{"options", params, &o},
                                {"what is kept", mask_params, &mo},
                                {"model and text", setup_params, &so},
                                {"conversations", chat_params, &so.chat},
                                {"ledger", recording_params, &o.record}},
                     .open = true};
    o.data = (struct run_options){.out = NULL};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && o.list && !a.help)
        status = print_list(&o, &e) ? args_fail(&a, &e) : STATUS_DONE;
    else if (status == ARGS_GO)
        status = locate(&a, &so, &o, &mo);
    args_fini(&a);
    return status;
}
