/* unlearn forget: run an unlearning method on a model. */
#include "cli/command.h"
#include "cli/job.h"

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
        .usage = "--model M --method NAME --forget FILE --retain FILE --out DIR [options]",
        .about = about,
        .kind = &run_kind_forget,
    };
    return job_main(&command, argc, argv);
}
