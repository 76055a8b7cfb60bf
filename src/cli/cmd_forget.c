/* unlearn forget: run an unlearning method on a model. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/job.h"
#include "cli/recipe_args.h"
#include "optim/optims.h"

#define FILE_OF(role) offsetof(struct job_options, files[role])
static const struct param data_params[] = {
    {"forget", PARAM_STRING, FILE_OF(ROLE_FORGET), 0, 0, NULL, NULL, "FILE", "what to forget"},
    {"retain", PARAM_STRING, FILE_OF(ROLE_RETAIN), 0, 0, NULL, NULL, "FILE", "what to keep"},
    {"alternate", PARAM_STRING, FILE_OF(ROLE_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "desired answers to the forget prompts, row by row"},
    {"generic", PARAM_STRING, FILE_OF(ROLE_GENERIC), 0, 0, NULL, NULL, "FILE", "normal text"},
    {"ref", PARAM_STRING, offsetof(struct job_options, ref), 0, 0, NULL, NULL, "PATH",
     "reference model (default: the model before training)"},
    {0},
};

static const char about[] =
    "Makes a model forget: trains it by an unlearning method and writes "
    "the result as an HF directory.\n"
    "Data files are JSON Lines, JSON arrays or CSV with a question and an "
    "answer a row, or token ids\n"
    "({\"ids\", \"labels\"}), or plain texts ({\"text\"}); FILE[a:b] takes rows a..b-1, FILE+FILE "
    "joins. 'unlearn methods NAME' explains a "
    "method.\n";

int cmd_forget(int argc, char **argv)
{
    struct setup_options so;
    struct job_options jo = {0};
    struct train_options to;
    struct recipe_options ro;
    struct recipe r = {0};
    struct args a = {.command = "forget",
                     .usage =
                         "--model M --method NAME --forget FILE --retain FILE --out DIR [options]",
                     .about = about,
                     .tables = {{"data", data_params, &jo},
                                {"model and text", setup_params, &so},
                                {"job", job_params, &jo},
                                {"training", train_params, &to},
                                {"what to run", recipe_params, &ro}},
                     .open = true};
    void *optim_params = NULL;
    const struct optim *optim = NULL;
    struct err e;
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO)
        status = recipe_args(&a, &ro, &r);
    if (status == ARGS_GO && (!(optim = optim_by_name(jo.optimiser, &e)) ||
                              !(optim_params = mem_alloc(1, optim->params_size, &e))))
        status = args_usage(&a, &e);
    if (status == ARGS_GO)
        status = args_take(&a, "optimiser", optim->params, optim_params);
    if (status == ARGS_GO)
        status = args_finish(&a);
    if (status == ARGS_GO)
        status = job_run(&a, &so, &jo, &to, &r, optim, optim_params);
    free(optim_params);
    recipe_fini(&r);
    args_fini(&a);
    return status;
}
