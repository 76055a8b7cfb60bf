/* unlearn forget: run an unlearning method on a model. */
#include <stddef.h>

#include "cli/command.h"
#include "cli/job.h"
#include "run/data.h"

#define FILE_OF(role)     offsetof(struct run_options, files[role])
#define MODEL_OF(helper)  offsetof(struct run_options, models[helper])
#define PROMPT_OF(helper) offsetof(struct run_options, prompts[helper])
static const struct param data_params[] = {
    {"forget", PARAM_STRING, FILE_OF(ROLE_FORGET), 0, 0, NULL, NULL, "FILE", "what to forget"},
    {"retain", PARAM_STRING, FILE_OF(ROLE_RETAIN), 0, 0, NULL, NULL, "FILE", "what to keep"},
    {"alternate", PARAM_STRING, FILE_OF(ROLE_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "desired answers to the forget prompts, row by row"},
    {"retain_alternate", PARAM_STRING, FILE_OF(ROLE_RETAIN_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "answers to the retain prompts that should not be given, row by row"},
    STRING_PARAM(
        struct run_options, alternate_pool, NULL, "FILE",
        "answers, of which one is drawn for each prompt each time: lines of text, or rows"),
    STRING_PARAM(struct run_options, alternate_key, "alternate", "KEY",
                 "field of the forget rows that holds their alternates"),
    {"holdout", PARAM_STRING, FILE_OF(ROLE_HOLDOUT), 0, 0, NULL, NULL, "FILE",
     "new data that the model has never seen, for KGA"},
    {"generic", PARAM_STRING, FILE_OF(ROLE_GENERIC), 0, 0, NULL, NULL, "FILE", "normal text"},
    STRING_PARAM(struct run_options, refused, NULL, "FILE",
                 "prompts that the model refuses, for LUNAR"),
    STRING_PARAM(struct run_options, ref, NULL, "PATH",
                 "reference model (default: the model before training)"),
    STRING_PARAM(struct run_options, concept, NULL, "TEXT",
                 "what is to be forgotten, in a few words: makes the two prompts below"),
    {"expert_prompt", PARAM_STRING, PROMPT_OF(HELPER_EXPERT), 0, 0, NULL, NULL, "TEXT",
     "system turn that makes the reference an expert on what is to be forgotten, for ELM"},
    {"novice_prompt", PARAM_STRING, PROMPT_OF(HELPER_NOVICE), 0, 0, NULL, NULL, "TEXT",
     "system turn that makes it ignorant"},
    {"reinforced", PARAM_STRING, MODEL_OF(HELPER_REINFORCED), 0, 0, NULL, NULL, "PATH",
     "model that learnt the forget data by heart (default: it is trained first, if needed)"},
    {"new_model", PARAM_STRING, MODEL_OF(HELPER_NEW), 0, 0, NULL, NULL, "PATH",
     "model that learnt the holdout data (likewise)"},
    {0},
};

static const char about[] =
    "Makes a model forget: trains it by an unlearning method and writes "
    "the result as an HF directory.\n"
    "Data files are JSON Lines, JSON arrays or CSV with a question and an "
    "answer a row, or token ids\n"
    "({\"ids\", \"labels\"}), or plain texts ({\"text\"}); FILE[a:b] takes rows a..b-1, FILE+FILE "
    "joins. 'unlearn methods NAME' explains a "
    "method.\n"
    "OUT/train.jsonl has a line a step, OUT/run.json what the run cost.\n";

int cmd_forget(int argc, char **argv)
{
    static const struct job_command command = {
        .name = "forget",
        .usage = "--model M --method NAME --forget FILE --retain FILE --out DIR [options]",
        .about = about,
        .data = data_params,
    };
    return job_main(&command, argc, argv);
}
