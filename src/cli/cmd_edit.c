/* unlearn edit: closed-form changes of MLP weights, fact by fact. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "cli/start.h"
#include "edit/job.h"

struct options {
    struct edit_options edit;
    const char *method;
    struct recording_options record;
    bool list, markdown, json;
};

#define IN_EDIT(f) offsetof(struct options, edit.f)
static const struct param params[] = {
    STRING_PARAM(struct options, method, "memit", "NAME", "rome, memit, alphaedit (--list)"),
    {"forget", PARAM_STRING, IN_EDIT(forget), 0, 0, NULL, NULL, "FILE",
     "rows of facts: question, answer, and the subject where it is known"},
    {"requests", PARAM_STRING, IN_EDIT(requests), 0, 0, NULL, NULL, "FILE",
     "or facts by token ids, as JSON (doc/editing.md)"},
    {"target", PARAM_STRING, IN_EDIT(target), 0, 0, NULL, "refusal", "NAME",
     "the new answer: refusal, empty (its end alone), own (the row's 'target')"},
    {"refusal", PARAM_STRING, IN_EDIT(refusal), 0, 0, NULL, "I do not know.", "TEXT",
     "the answer of --target refusal"},
    {"covariance", PARAM_STRING, IN_EDIT(covariance), 0, 0, NULL, NULL, "FILE",
     "second moments of keys, of --collect-covariance"},
    {"generic", PARAM_STRING, IN_EDIT(generic), 0, 0, NULL, NULL, "FILE",
     "or text to collect them from: rows of text, or of question and answer"},
    {"collect_covariance", PARAM_STRING, IN_EDIT(collect), 0, 0, NULL, NULL, "FILE",
     "collect them from these rows, write them to the file --out, and stop"},
    {"neighbour", PARAM_STRING, IN_EDIT(neighbour), 0, 0, NULL, NULL, "FILE",
     "rows whose answers should stay; measured before and after"},
    {"question_key", PARAM_STRING, IN_EDIT(question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt; {} in it is the subject's place"},
    {"answer_key", PARAM_STRING, IN_EDIT(answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer that is to be forgotten"},
    {"subject_key", PARAM_STRING, IN_EDIT(subject_key), 0, 0, NULL, "subject", "KEY",
     "field of the subject"},
    {"paraphrase_key", PARAM_STRING, IN_EDIT(paraphrase_key), 0, 0, NULL, "paraphrased_question",
     "KEY", "field of another prompt for the same fact; measured before and after"},
    {"contexts", PARAM_STRING, IN_EDIT(contexts), 0, 0, NULL, NULL, "FILE",
     "JSON list of texts that questions are put after; without it the model writes them"},
    {"n_contexts", PARAM_INT, IN_EDIT(n_contexts), 0, 1000, NULL, "5", NULL,
     "contexts that the model writes"},
    {"context_tokens", PARAM_INT, IN_EDIT(context_tokens), 1, 1000, NULL, "10", NULL,
     "length of each"},
    {"batch", PARAM_INT, IN_EDIT(batch), 0, 1000000, NULL, "0", NULL,
     "facts edited together, one batch after another; 0: all"},
    {"save_delta", PARAM_STRING, IN_EDIT(save_delta), 0, 0, NULL, NULL, "DIR",
     "the change as a PEFT adapter: merged with weight -1 it undoes the edit"},
    {"trace", PARAM_STRING, IN_EDIT(trace), 0, 0, NULL, NULL, "FILE",
     "safetensors: keys, values, losses, updates"},
    {"dtype", PARAM_CHOICE, IN_EDIT(dtype), 0, 0, "f32|bf16|f16", "f32", NULL,
     "storage type of the model; bf16 rounds small updates away"},
    {"seed", PARAM_INT, IN_EDIT(seed), 0, UINT32_MAX, NULL, "0", NULL, "of the contexts"},
    {"out", PARAM_STRING, IN_EDIT(out), 0, 0, NULL, NULL, "DIR", "the edited model"},
    {"overwrite", PARAM_BOOL, IN_EDIT(overwrite), 0, 0, NULL, "false", NULL,
     "replace what is in --out"},
    BOOL_PARAM(struct options, json, false, "print the figures as JSON"),
    BOOL_PARAM(struct options, list, false, "print the methods"),
    BOOL_PARAM(struct options, markdown, false, "of --list: the table of doc/editing.md"),
    {0}};

static const char about[] =
    "Edits facts away: at the subject of a question, the MLPs of a few layers are changed by a "
    "closed formula so that the\n"
    "model answers otherwise. No training; the text's other facts are protected by second moments "
    "of keys over generic\n"
    "text.\n"
    "\n"
    "    unlearn edit --model default --forget facts.jsonl --generic text.jsonl --out edited\n"
    "\n"
    "Prints the probability of the new and the old answer before and after, of paraphrases and of "
    "neighbours, and how\n"
    "much each layer's weights grew.\n";

static void print_list(bool markdown)
{
    if (markdown)
        printf("| method | what it does | paper | verified against |\n|---|---|---|---|\n");
    for (int i = 0; edits[i]; i++)
        printf(markdown ? "| %s | %s | %s | %s |\n" : "%-10s  %s; %s; verified against %s\n",
               edits[i]->name, edits[i]->help, edits[i]->paper, edits[i]->verified);
}

static void print_pair(const char *what, const double v[2])
{
    if (!isnan(v[0]))
        printf("  %s %.4f -> %.4f", what, v[0], v[1]);
}

static void print_text(const struct edit_result *r, const struct options *o)
{
    for (int i = 0; i < r->n_sets; i++) {
        const struct edit_figures *f = &r->sets[i];
        printf("%-10s %d rows", f->name, f->n);
        print_pair("P(new)", f->target);
        print_pair("P(old)", f->answer);
        print_pair("new > old", f->success);
        putchar('\n');
    }
    for (int i = 0; i < r->n_layers && !o->edit.collect; i++)
        printf("layer %d: |W - W0| / |W0| = %.4g, rank %d\n", r->layers[i].layer,
               r->layers[i].growth, r->layers[i].rank);
    if (o->edit.collect)
        printf("second moments of %d layers -> %s\n", r->n_layers, o->edit.out);
    else
        printf("%s: %d facts in %.1f s -> %s\n", o->method, r->n, r->seconds, o->edit.out);
}

static int print(const struct edit_result *r, const struct options *o, struct err *e)
{
    if (!o->json) {
        print_text(r, o);
        return 0;
    }
    json_t *j = edit_result_json(r, o->method);
    const int rc = j ? command_print_json(j, JSON_INDENT(1), e) : err_no_memory(e, "result");
    json_decref(j);
    return rc;
}

static int check_out(const struct edit_options *o, struct err *e)
{
    struct inputs in = {0};
    int rc = setup_add_input(&in, o->setup.model, e) || inputs_add_file(&in, o->requests, e) ||
             inputs_add_rows(&in, o->forget, e) || inputs_add_rows(&in, o->neighbour, e) ||
             inputs_add_rows(&in, o->generic, e) || inputs_add_rows(&in, o->collect, e) ||
             inputs_add_file(&in, o->covariance, e) || inputs_add_file(&in, o->contexts, e) ||
             (o->collect ? inputs_claim_file(&in, o->out, o->overwrite, e)
                         : inputs_keep(&in, o->out, e)) ||
             (o->trace && inputs_claim_file(&in, o->trace, o->overwrite, e)) ||
             (o->save_delta && !o->overwrite && outdir_check_empty(o->save_delta, e));
    inputs_fini(&in);
    return rc ? -1 : 0;
}

static int work(const struct args *a, const struct options *o, const struct choice *method,
                struct err *e)
{
    const struct edit_options *q = &o->edit;
    struct edit_result r = {.n = 0};
    struct outdir d = {0};
    struct recording record;
    if (check_out(q, e) || (!q->collect && recording_begin(&record, a, &o->record, e)))
        return -1;
    int rc =
        (!q->collect && outdir_open(&d, q->out, q->overwrite ? OUTDIR_REPLACE : OUTDIR_EMPTY, e)) ||
        run_edit(&r, q, method, q->collect ? NULL : &d,
                 interrupt_catch("\ninterrupted: the current fact is finished; nothing is "
                                 "written\n"),
                 e) ||
        print(&r, o, e);
    outdir_close(&d, rc != 0);
    if (!q->collect)
        recording_end(&record, rc ? e : NULL);
    edit_result_fini(&r);
    return rc ? -1 : 0;
}

/* What the tables cannot tell. */
static int check(const struct edit_options *o, struct err *e)
{
    if (!o->out)
        return err_about(e, "no_out", "no output given");
    if (!o->collect && !o->forget && !o->requests)
        return err_set(e, "no facts given: use --forget FILE or --requests FILE");
    if (o->forget && o->requests)
        return err_set(e, "give --forget or --requests, not both");
    if (o->forget && strcmp(o->target, "refusal") && strcmp(o->target, "empty") &&
        strcmp(o->target, "own"))
        return err_set(e, "--target '%s' is not refusal, empty or own", o->target);
    if (o->requests && o->neighbour)
        return err_set(e, "--neighbour goes with --forget, not with token ids");
    return 0;
}

static int edit(struct args *a, struct options *o)
{
    struct err e = {.msg = ""};
    struct choice method = {0};
    const void *row = table_find(edits, "method", o->method, &e);
    int status = ARGS_GO;
    if (!row || choice_init(&method, row, NULL, &e))
        status = args_usage(a, &e);
    if (status == ARGS_GO)
        status = args_take(a, choice_name(&method), choice_params(&method), method.params);
    if (status == ARGS_GO)
        status = args_finish(a);
    if (status == ARGS_GO && check(&o->edit, &e))
        status = args_usage(a, &e);
    if (status == ARGS_GO)
        status = work(a, o, &method, &e) ? args_fail(a, &e) : STATUS_DONE;
    choice_fini(&method);
    return status;
}

int cmd_edit(int argc, char **argv)
{
    struct options o = {.method = NULL};
    struct args a = {.command = "edit",
                     .usage = "--model MODEL --forget FILE --method NAME --out DIR [options]",
                     .about = about,
                     .tables = {{"options", params, &o},
                                {"model and text", setup_params, &o.edit.setup},
                                {"conversations", chat_params, &o.edit.setup.chat},
                                {"ledger", recording_params, &o.record}},
                     .open = true};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && o.list && !a.help) {
        print_list(o.markdown);
        status = STATUS_DONE;
    } else if (status == ARGS_GO) {
        status = edit(&a, &o);
    }
    args_fini(&a);
    return status;
}
