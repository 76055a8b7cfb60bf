/* unlearn train: plain fine-tuning, for target and retrained models. */
#include <stddef.h>

#include "cli/command.h"
#include "cli/job.h"
#include "run/data.h"

static const struct param data_params[] = {
    {"data", PARAM_STRING, offsetof(struct run_options, files[ROLE_RETAIN]), 0, 0, NULL, NULL,
     "FILE", "training data"},
    {0},
};

static const char about[] = "Fine-tunes a model on prompts and answers (the loss is on the "
                            "answers) and writes an HF directory:\n"
                            "the target model, or the retrained model that never saw the forget "
                            "set. FILE[a:b] takes rows a..b-1\n"
                            "of a file, FILE+FILE joins. OUT/train.jsonl has a line per step, "
                            "OUT/run.json the cost of the run.\n";

int cmd_train(int argc, char **argv)
{
    static const struct job_command command = {
        .name = "train",
        .usage = "--model M --data FILE --out DIR [options]",
        .about = about,
        .data = data_params,
        .method = "FT",
    };
    return job_main(&command, argc, argv);
}
