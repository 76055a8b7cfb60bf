#include "methods/method.h"

#include <string.h>
#include <strings.h>

static const struct param_preset kl_preset[] = {{"retain_loss_type", "KL"}, {0}};
static const struct param_preset simnpo_preset[] = {{"gamma", "0.125"}, {0}};
static const struct param_preset undial_preset[] = {{"alpha", "0"}, {0}};
static const struct param_preset pdu_preset[] = {{"retain_loss_type", "constraint"}, {0}};
static const struct param_preset satimp_preset[] = {{"gamma", "0.1"}, {0}};
static const struct param_preset embed_preset[] = {
    {"retain_loss_type", "EMBED_DIFF"}, {"locate", "regex"}, {0}};
static const struct param_preset circuit_preset[] = {
    {"retain_loss_type", "EMBED_NORM"}, {"locate", "regex"}, {0}};
static const struct param_preset alternate_preset[] = {{"forget_role", "alternate"}, {0}};
static const struct param_preset me_preset[] = {{"gamma", "0.1"}, {0}};
static const struct param_preset jensun_preset[] = {
    {"forget_role", "alternate"}, {"retain_loss_type", "JSD"}, {"alpha", "0.5"}, {0}};
static const struct param_preset scrub_preset[] = {
    {"retain_loss_type", "distil"}, {"temperature", "4"}, {0}};
static const struct param_preset lat_preset[] = {
    {"retain_loss_type", "EMBED_DIFF"},
    {"layer", "8"},
    {"steering_coeff", "6.5"},
    {"alpha", "1200"},
    {"locate", "regex"},
    {"trainable_params_regex", "model\\.layers\\.(6|7|8)\\.mlp\\.down_proj\\.weight"},
    {"wrapper", "lat"},
    {0}};
static const struct param_preset lunar_preset[] = {
    {"retain_loss_type", "embed_prompt"},
    {"layer", "22"},
    {"locate", "regex"},
    {"trainable_params_regex", "model\\.layers\\.22\\.mlp\\.down_proj\\.weight"},
    {0}};
static const struct param_preset tar_preset[] = {{"wrapper", "tar"}, {0}};

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
    {"SimNPO", "preference", "arXiv 2410.07163",
     "NPO on the mean loss per token, without a reference", "simnpo", true, simnpo_preset},
    {"DPO", "preference", "arXiv 2305.18290", "prefer the alternate answers to those to forget",
     "dpo", true, NULL},
    {"IdkDPO", "preference", "arXiv 2401.06121", "DPO; the alternates are refusals", "dpo", true,
     NULL},
    {"AltPO", "preference", "arXiv 2409.13474",
     "DPO; the alternates are plausible answers that the model wrote", "dpo", true, NULL},
    {"KTO", "preference", "arXiv 2402.01306",
     "the answers to forget are undesired, against the drift of the alternates", "kto", true, NULL},
    {"PO", "preference", "arXiv 2401.06121",
     "learn the alternate answers, such as refusals, instead (IDK)", "nll", true, alternate_preset},
    {"FLAT", "preference", "arXiv 2410.11143",
     "an f-divergence between alternates and answers to forget; no retain data", "flat", false,
     NULL},
    {"WGA", "ascent", "arXiv 2502.19301", "gradient ascent weighted by the token's probability",
     "wga", true, NULL},
    {"SatImp", "ascent", "arXiv 2505.11953",
     "gradient ascent weighted by saturation and importance", "satimp", true, satimp_preset},
    {"UNDIAL", "distillation", "arXiv 2402.10052",
     "learn the model's own answers with the label's logit lowered", "undial", true, undial_preset},
    {"CEU", "distillation", "arXiv 2503.01224", "learn the model's own answers without the label",
     "ceu", false, NULL},
    {"ME", "distillation", "arXiv 2410.08109", "towards the uniform distribution on forget (ME+GD)",
     "me", true, me_preset},
    {"JensUn", "distillation", "arXiv 2509.02820",
     "bounded divergence to the alternates on forget, to the model on retain", "jsd_label", true,
     jensun_preset},
    {"KLAscent", "ascent", "arXiv 2404.18239",
     "away from the target model on forget, towards it on retain", "kl_ascent", true, kl_preset},
    {"SCRUB", "distillation", "arXiv 2302.09880",
     "SCRUB's max and min losses in every step; the paper takes turns", "kl_ascent", true,
     scrub_preset},
    {"PDU", "constrained", "arXiv 2506.05314",
     "flatten the logits while the retain loss stays below a bound; alpha is fixed", "pdu", true,
     pdu_preset},
    {"RMU", "representation", "arXiv 2403.03218",
     "steer hidden states of forget data to a random direction, keep those of retain data", "rmu",
     true, embed_preset},
    {"AdaptiveRMU", "representation", "arXiv 2408.06223",
     "RMU to a length that follows the target model's hidden states", "adaptive_rmu", true,
     embed_preset},
    {"CircuitBreaker", "representation", "arXiv 2406.04313",
     "turn hidden states of forget data away from the target model's", "circuit_breaker", true,
     circuit_preset},
    {"LAT", "representation", "arXiv 2407.15549",
     "RMU against the worst perturbation of the hidden states below (RMU-LAT)", "rmu", true,
     lat_preset},
    {"LUNAR", "representation", "arXiv 2502.07218",
     "send the prompts to forget to where the model refuses, by one matrix", "redirect", true,
     lunar_preset},
    {"TAR", "robust", "arXiv 2408.00761",
     "high entropy on forget data for an attacker who fine-tunes, as it was on retain data", NULL,
     true, tar_preset},
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
