/* unlearn train: plain fine-tuning, for target and retrained models. */
#include "cli/command.h"
#include "cli/job.h"

static const char about[] = "Fine-tunes a model on prompts and answers (the loss is on the "
                            "answers) and writes an HF directory:\n"
                            "the target model, or the retrained model that never saw the forget "
                            "set. FILE[a:b] takes rows a..b-1\n"
                            "of a file, FILE+FILE joins. OUT/train.jsonl has a line per step, "
                            "OUT/run.json the cost of the run.\n";

int cmd_train(int argc, char **argv)
{
    static const struct job_command command = {
        .usage = "--model M --data FILE --out DIR [options]",
        .about = about,
        .kind = &run_kind_train,
    };
    return job_main(&command, argc, argv);
}
