/* unlearn train: plain fine-tuning, for target and retrained models. */
#include <stddef.h>

#include "cli/command.h"
#include "cli/job.h"
#include "run/data.h"

static const struct param data_params[] = {
    {"data", PARAM_STRING, offsetof(struct run_options, files[ROLE_RETAIN]), 0, 0, NULL, NULL,
     "FILE", "what to learn"},
    {0},
};

static const char about[] = "Fine-tunes a model on prompts and answers (the loss is on the "
                            "answers) and writes an HF directory. Use it to\n"
                            "make the target model, and the retrained model that never saw what "
                            "will be forgotten. FILE[a:b] takes\n"
                            "rows a..b-1 of a file, FILE+FILE joins.\n"
                            "OUT/train.jsonl has a line a step, OUT/run.json what the run cost.\n";

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
