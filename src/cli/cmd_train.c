/* unlearn train: plain fine-tuning, for target and retrained models. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/job.h"
#include "optim/optims.h"

static const struct param data_params[] = {
    {"data", PARAM_STRING, offsetof(struct job_options, files[ROLE_RETAIN]), 0, 0, NULL, NULL,
     "FILE", "what to learn"},
    {0},
};

static const char about[] = "Fine-tunes a model on prompts and answers (the loss is on the "
                            "answers) and writes an HF directory. Use it to\n"
                            "make the target model, and the retrained model that never saw what "
                            "will be forgotten. FILE[a:b] takes\n"
                            "rows a..b-1 of a file, FILE+FILE joins.\n";

int cmd_train(int argc, char **argv)
{
    struct setup_options so;
    struct job_options jo = {0};
    struct train_options to;
    struct recipe r = {0};
    struct args a = {.command = "train",
                     .usage = "--model M --data FILE --out DIR [options]",
                     .about = about,
                     .tables = {{"data", data_params, &jo},
                                {"model and text", setup_params, &so},
                                {"job", job_params, &jo},
                                {"training", train_params, &to}},
                     .open = true};
    void *optim_params = NULL;
    const struct optim *optim = NULL;
    struct err e;
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO &&
        (!(r.method = method_by_name("FT", &e)) || !(optim = optim_by_name(jo.optimiser, &e)) ||
         !(optim_params = mem_alloc(1, optim->params_size, &e))))
        status = args_usage(&a, &e);
    if (status == ARGS_GO)
        status = args_take(&a, "optimiser", optim->params, optim_params);
    if (status == ARGS_GO)
        status = args_finish(&a);
    if (status == ARGS_GO && !jo.files[ROLE_RETAIN]) {
        err_set(&e, "nothing to learn given: use --data FILE");
        status = args_usage(&a, &e);
    }
    if (status == ARGS_GO) {
        param_defaults(method_params, &r.p);
        status = recipe_choose_terms(&r, &e) ? args_fail(&a, &e)
                                             : job_run(&a, &so, &jo, &to, &r, optim, optim_params);
    }
    free(optim_params);
    recipe_fini(&r);
    args_fini(&a);
    return status;
}
