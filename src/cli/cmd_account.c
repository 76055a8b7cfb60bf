/* unlearn account: the privacy that steps of DP-SGD give. */
#include <math.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/args.h"
#include "cli/command.h"
#include "train/accountant.h"

struct options {
    double q, sigma, delta;
    int64_t steps;
    bool json;
};

static const struct param params[] = {
    REAL_PARAM(struct options, q, 0, 1, 0.01,
               "probability of an example to enter a step: batch size / examples"),
    REAL_PARAM(struct options, sigma, 0, 1e6, 1, "noise, as a multiple of the clipping norm"),
    INT_PARAM(struct options, steps, 1, 1e12, 1, "steps"),
    REAL_PARAM(struct options, delta, 1e-300, 0.999, 1e-5, "probability that epsilon may fail"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    {0}};

static const char about[] =
    "Prints the (epsilon, delta) of differential privacy that training by 'unlearn train --dp' "
    "gives each example, from Renyi differential privacy of the Gaussian mechanism on Poisson "
    "samples (arXiv 1908.10530). Of k examples together it is about k times epsilon.\n"
    "\n"
    "  unlearn account --q 0.01 --sigma 1.1 --steps 10000 --delta 1e-5\n";

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    const struct privacy p = privacy_of(o->q, o->sigma, (long)o->steps, o->delta);
    (void)a;
    if (!isfinite(p.epsilon))
        return err_set(e, "without noise there is no privacy: sigma is %g", o->sigma);
    if (p.edge)
        log_warn("the best order %g is at the end of the list: epsilon may be smaller", p.order);
    if (!o->json) {
        printf("epsilon %.6g at delta %g (order %g; %.6g by the classic conversion)\n", p.epsilon,
               o->delta, p.order, p.classic);
        return STATUS_DONE;
    }
    json_t *j = json_pack("{s:f, s:f, s:f, s:f}", "epsilon", p.epsilon, "order", p.order, "delta",
                          o->delta, "epsilon_classic_conversion", p.classic);
    int rc = j ? command_print_json(j, 0, e) : err_no_memory(e, "account");
    json_decref(j);
    return rc;
}

int cmd_account(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "account",
                     .usage = "--q Q --sigma S --steps N --delta D",
                     .about = about,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, run, &o);
}
