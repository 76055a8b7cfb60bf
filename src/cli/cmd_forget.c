/* unlearn forget: run an unlearning method on a model. */
#include <stddef.h>

#include "cli/command.h"
#include "cli/job.h"
#include "run/data.h"

#define FILE_OF(role)     offsetof(struct run_options, files[role])
#define PROMPT_OF(prompt) offsetof(struct run_options, prompts[prompt])
static const struct param data_params[] = {
    {"forget", PARAM_STRING, FILE_OF(ROLE_FORGET), 0, 0, NULL, NULL, "FILE", "forget set"},
    {"retain", PARAM_STRING, FILE_OF(ROLE_RETAIN), 0, 0, NULL, NULL, "FILE", "retain set"},
    {"alternate", PARAM_STRING, FILE_OF(ROLE_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "desired answers to the forget prompts, row by row"},
    {"retain_alternate", PARAM_STRING, FILE_OF(ROLE_RETAIN_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "answers to the retain prompts that should not be given, row by row"},
    STRING_PARAM(
        struct run_options, alternate_pool, NULL, "FILE",
        "pool of answers, one drawn for a prompt in every micro-batch: lines of text, or rows"),
    STRING_PARAM(struct run_options, alternate_key, "alternate", "KEY",
                 "field of the forget rows that holds their alternates"),
    {"holdout", PARAM_STRING, FILE_OF(ROLE_HOLDOUT), 0, 0, NULL, NULL, "FILE",
     "new data that the model has never seen, for KGA"},
    {"generic", PARAM_STRING, FILE_OF(ROLE_GENERIC), 0, 0, NULL, NULL, "FILE", "generic text"},
    STRING_PARAM(struct run_options, refused, NULL, "FILE",
                 "prompts that the model refuses, for LUNAR"),
    STRING_PARAM(struct run_options, ref, NULL, "PATH",
                 "reference model (default: the model before training)"),
    STRING_PARAM(struct run_options, concept, NULL, "TEXT",
                 "what to forget, in a few words: fills in the two prompts below"),
    {"expert_prompt", PARAM_STRING, PROMPT_OF(PROMPT_EXPERT), 0, 0, NULL, NULL, "TEXT",
     "system message that makes the reference an expert on what to forget, for ELM"},
    {"novice_prompt", PARAM_STRING, PROMPT_OF(PROMPT_NOVICE), 0, 0, NULL, NULL, "TEXT",
     "system message that makes it ignorant"},
    {"reinforced", PARAM_STRING, offsetof(struct run_options, reinforced), 0, 0, NULL, NULL, "PATH",
     "the reinforced model: overfitted on the forget set (default: trained first, if needed)"},
    {"new_model", PARAM_STRING, offsetof(struct run_options, new_model), 0, 0, NULL, NULL, "PATH",
     "model fine-tuned on the holdout data (default: likewise)"},
    {0},
};

static const char about[] = "Makes a model forget: trains it by an unlearning method and writes "
                            "the result as an HF directory.\n"
                            "Data files are JSON Lines, JSON arrays or CSV; a row has a question "
                            "and an answer, or token ids\n"
                            "({\"ids\", \"labels\"}), or plain text ({\"text\"}). FILE[a:b] takes "
                            "rows a..b-1, FILE+FILE joins.\n"
                            "'unlearn methods NAME' explains a method. OUT/train.jsonl has a line "
                            "per step, OUT/run.json the cost\n"
                            "of the run.\n";

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
