/* Errors of commands, on standard error. What the floors below name as the subject of an error is
 * put in terms of options here: which of them mends it.
 */
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "cli/args.h"
#include "cli/command.h"
#include "data/dataset.h"

/* %s: the range that the error names. */
static const struct {
    const char *subject, *advice;
} table[] = {
    {"accumulate", "give --accumulate %s"},
    {"answer_key", "name the field by --answer-key"},
    {"base", "give --base MODEL"},
    {"batch", "give a smaller --batch"},
    {"chunk", "give a smaller --chunk"},
    {"compat", "leave out the --compat switches that average over padding"},
    {"covariance", "give --covariance FILE or --generic FILE, or --method rome --no-moments"},
    {"context", "give a smaller --context"},
    {"damping", "give --damping X or heuristic"},
    {"data", "use --data FILE"},
    {"expert", "give --expert-prompt TEXT, or --concept TEXT"},
    {"files", "restore it, or start over with --overwrite"},
    {"first", "give --first mapping, undo or none"},
    {"folds", "give --folds 2 or more, or 0 for none"},
    {"lambda", "give a larger --lambda"},
    {"lambdas", "give --lambdas LIST"},
    {"lat_layer", "give --lat-layer %s"},
    {"layer", "give --layer %s"},
    {"layers", "give --layers LIST"},
    {"host", "give another --host ADDRESS"},
    {"layout", "name the directory of a run of 'unlearn train' with --shards, --slices or "
               "--keep-every, and its data"},
    {"lissa_scale", "give a larger --lissa-scale"},
    {"mask", "give it or --locate, not both"},
    {"ledger", "give another by --ledger FILE, or --ledger none"},
    {"max_length", "shorten the row, or cut all rows with --max-length"},
    {"max_new_tokens", "give a smaller --max-new-tokens, or shorten the row"},
    {"memory", "give more by --memory GIB"},
    {"memory_adapters", "train adapters: --locate lora"},
    {"memory_adapters_batch", "train adapters: --locate lora --recompute --batch 1"},
    {"memory_batch", "give --batch %s, and a larger --accumulate"},
    {"memory_none", "no option makes it fit; use a smaller model"},
    {"memory_recompute", "give --recompute"},
    {"memory_recompute_batch", "give --recompute --batch 1 --keep-states 0"},
    {"memory_states", "give --keep-states 0"},
    {"model", "use --model PATH, or --model default"},
    {"modules", "give --modules REGEX"},
    {"new", "give --gap NATS"},
    {"no_out", "use --out DIR"},
    {"novice", "give --novice-prompt TEXT, or --concept TEXT"},
    {"out", "choose another directory, or give --overwrite"},
    {"new_model_data", "give --holdout FILE, or --gap NATS"},
    {"out_resume", "choose another directory, or give --resume or --overwrite"},
    {"out_file", "choose another name, or give --overwrite"},
    {"overwrite", "--overwrite starts over"},
    {"port", "give another --port, or --port 0"},
    {"prompt_key", "name the prompt's field by --question-key"},
    {"question_key", "name the fields by --question-key and --answer-key"},
    {"refused", "give --refused FILE"},
    {"reinforced", "give --reinforced MODEL"},
    {"reinforced_data", "give --forget FILE, or --reinforced MODEL"},
    {"resume", "give the same, or start over with --overwrite"},
    {"resume_dry", "--dry-run is of a run from its beginning: leave --resume out"},
    {"resume_overwrite", "give --resume or --overwrite"},
    {"save_adapter", "there is no adapter without --locate lora"},
    {"retrained", "give --retrained MODEL"},
    {"scratch", "give its weights, not --scratch"},
    {"shards", "give fewer --shards or --slices"},
    {"shadow_dir", "choose another --shadow-dir"},
    {"shots", "give --folds, or no --shots"},
    {"sources", "give --add MODEL or --adapter DIR"},
    {"ssd_alpha", "give a smaller --ssd-alpha"},
    {"stop_el", "give a longer text, or no --stop-el"},
    {"system", "give --system ''"},
    {"target", "give --target MODEL"},
    {"update", "give --forget-term nll, or --update none"},
    {"unfinished", "'unlearn sisa remove DIR', or 'unlearn train' with --resume, completes it"},
    {"template",
     "name one by --template (plain: questions and answers in plain text, none: text as "
     "it is)"},
    {"token", "give a file with a token of 8 characters or more by --token FILE"},
    {"term_weights", "give --term-weights constant"},
    {"train_options", "give --train-options FILE"},
    {"weights", "give fewer --weights"},
};

/* "give --forget FILE" in text[room]; "" if no option would help. */
static const char *advice_of(const struct err *e, char *text, size_t room)
{
    const char *subject = e->subject ? e->subject : "";
    char flag[PARAM_NAME_MOST + 1];
    text[0] = 0;
    if (role_by_name(subject) != ROLE_COUNT)
        snprintf(text, room, "give --%s FILE", param_flag(subject, flag));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *a = table[i].advice, *hole = strstr(a, "%s");
        if (strcmp(subject, table[i].subject))
            continue;
        snprintf(text, room, "%.*s%s%s", hole ? (int)(hole - a) : (int)strlen(a), a,
                 hole ? e->range : "", hole ? hole + 2 : "");
    }
    return text;
}

int args_fail(const struct args *a, const struct err *e)
{
    const char *why = e->msg[0] ? e->msg : "it failed without an error's text, a fault of unlearn";
    char advice[160];
    fprintf(stderr, "unlearn %s: ", a->command);
    escape_line(stderr, why);
    if (*advice_of(e, advice, sizeof advice))
        fprintf(stderr, ": %s", advice);
    fputc('\n', stderr);
    return STATUS_FAILED;
}

int args_usage(const struct args *a, const struct err *e)
{
    args_fail(a, e);
    fprintf(stderr, "see 'unlearn help %s'\n", a->command);
    return STATUS_USAGE;
}
