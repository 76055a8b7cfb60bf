#include "methods/method.h"

#include <string.h>
#include <strings.h>

static const struct param_preset kl_preset[] = {{"retain_loss_type", "KL"}, {0}};

const struct method methods[] = {
    {"FT", "retain", "arXiv 2304.04934", "fine-tune on the retain data alone", NULL, true, NULL},
    {"GradAscent", "ascent", "arXiv 2210.01504",
     "raise the loss on the forget data; unbounded, stop early", "ascent", false, NULL},
    {"GradDiff", "ascent", "arXiv 2401.06121", "gradient ascent on forget, descent on retain",
     "ascent", true, NULL},
    {"KLMin", "ascent", "arXiv 2402.15159",
     "gradient ascent on forget, KL to the target model on retain", "ascent", true, kl_preset},
    {"NPO", "preference", "arXiv 2404.05868",
     "negative preference optimisation: ascent that slows as it forgets", "npo", true, NULL},
    {0},
};

const struct method *method_by_name(const char *name, struct err *e)
{
    const char *names[64];
    int n = 0;
    for (; methods[n].name; n++) {
        if (!strcasecmp(methods[n].name, name))
            return &methods[n];
        names[n] = methods[n].name;
    }
    const char *near = param_nearest(name, names, n);
    if (near)
        err_set(e, "unknown method '%s'; did you mean '%s'? ('unlearn methods' lists all)", name,
                near);
    else
        err_set(e, "unknown method '%s'; 'unlearn methods' lists all", name);
    return NULL;
}
