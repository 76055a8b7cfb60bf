#include "methods/method.h"

#include <string.h>
#include <strings.h>

#define PRESET(name, ...) static const struct param_preset name##_preset[] = {__VA_ARGS__, {0}}

PRESET(kl, {"retain_loss_type", "KL"});
PRESET(forget_kl, {"retain_loss_type", "KL"}, {"retain_role", "forget"});
PRESET(simnpo, {"gamma", "0.125"});
PRESET(undial, {"alpha", "0"});
PRESET(pdu, {"retain_loss_type", "constraint"});
PRESET(satimp, {"gamma", "0.1"});
PRESET(embed, {"retain_loss_type", "EMBED_DIFF"}, {"locate", "regex"});
PRESET(circuit, {"retain_loss_type", "EMBED_NORM"}, {"locate", "regex"},
       {"term_weights", "breaker"});
PRESET(lat, {"retain_loss_type", "EMBED_DIFF"}, {"layer", "8"}, {"steering_coeff", "6.5"},
       {"alpha", "1200"}, {"locate", "regex"},
       {"trainable_params_regex", "model\\.layers\\.(6|7|8)\\.mlp\\.down_proj\\.weight"},
       {"wrapper", "lat"}, {"lat_away", "1"});
PRESET(lunar, {"retain_loss_type", "embed_prompt"}, {"layer", "22"}, {"locate", "regex"},
       {"trainable_params_regex", "model\\.layers\\.22\\.mlp\\.down_proj\\.weight"});
PRESET(mapping, {"retain_term", "embed_square"});
PRESET(tar, {"wrapper", "tar"}, {"first", "mapping"});
PRESET(repnoise, {"extra_term", "noise_mmd"}, {"extra_role", "forget"}, {"extra_weight", "1e-3"});
PRESET(alternate, {"forget_role", "alternate"});
PRESET(other_answer, {"forget_role", "alternate"}, {"alternate_from", "forget"});
PRESET(random_tokens, {"forget_role", "alternate"}, {"alternate_from", "tokens"});
PRESET(idk_ap, {"forget_role", "alternate"}, {"retain_term", "preserve"});
PRESET(l1, {"l1", "1e-4"});
PRESET(llmu, {"gamma", "0.5"}, {"retain_term", "cross_entropy"}, {"extra_term", "nll_seq"},
       {"alternate_from", "retain"}, {"alternates", "5"});
PRESET(me, {"gamma", "0.1"});
PRESET(jensun, {"forget_role", "alternate"}, {"retain_loss_type", "JSD"}, {"alpha", "0.5"});
PRESET(newton, {"update", "newton"});
PRESET(influence, {"update", "influence"});
PRESET(ekfac, {"update", "influence"}, {"curvature", "ekfac"});
PRESET(fisher_removal, {"update", "newton"}, {"curvature", "diagonal"});
PRESET(ssd, {"update", "ssd"});
PRESET(fisher_noise, {"update", "fisher_noise"});
PRESET(curvature_edit, {"update", "curvature_edit"});
PRESET(scrub, {"retain_loss_type", "distil"}, {"temperature", "4"}, {"term_weights", "turns"});
PRESET(soul_kl, {"retain_term", "soul_kl"});
PRESET(elm, {"retain_term", "likeliest_ref"}, {"extra_term", "nll"}, {"extra_role", "generic"},
       {"generic_from", "guided"});

PRESET(negate, {"last", "negate"});
PRESET(sku, {"retain_term", "kl_ascent"}, {"extra_term", "nll"}, {"alternate_from", "forget"},
       {"last", "negate"});
PRESET(undo, {"retain_loss_type", "KL"}, {"first", "undo"});

static const char peer[] = "OpenUnlearning's code", formula[] = "the paper's formula in PyTorch",
                  differences[] = "central differences";

const struct method methods[] = {
    {"FT", "retain", "arXiv 2304.04934", "fine-tune on the retain data alone", NULL, true, NULL,
     "PyTorch and OpenUnlearning's trainer"},
    {"L1Sparse", "retain", "arXiv 2304.04934",
     "fine-tune on the retain data with a penalty on the size of weights", NULL, true, l1_preset,
     formula},
    {"GradAscent", "ascent", "arXiv 2210.01504",
     "raise the loss on the forget data; unbounded: use early stopping (stop_nll, stop_el)",
     "ascent", false, NULL, peer},
    {"GradDiff", "ascent", "arXiv 2401.06121", "gradient ascent on forget, descent on retain",
     "ascent", true, NULL, peer},
    {"KLMin", "ascent", "arXiv 2402.15159",
     "gradient ascent on forget, KL to the target model on retain", "ascent", true, kl_preset,
     peer},
    {"ForgetKL", "ascent", "arXiv 2410.07163",
     "gradient ascent on forget, regularised by KL to the target model on the same data", "ascent",
     true, forget_kl_preset, formula},
    {"NPO", "preference", "arXiv 2404.05868",
     "negative preference optimisation: gradient ascent that saturates", "npo", true, NULL, peer},
    {"SimNPO", "preference", "arXiv 2410.07163",
     "NPO on the mean loss per token, without a reference", "simnpo", true, simnpo_preset, peer},
    {"DPO", "preference", "arXiv 2305.18290", "prefer the alternate answers to those to forget",
     "dpo", true, NULL, peer},
    {"IdkDPO", "preference", "arXiv 2401.06121", "DPO; the alternates are refusals", "dpo", true,
     NULL, peer},
    {"AltPO", "preference", "arXiv 2409.13474",
     "DPO; the alternates are plausible answers that the model wrote", "dpo", true, NULL, peer},
    {"KTO", "preference", "arXiv 2402.01306",
     "the answers to forget are undesired, against the drift of the alternates", "kto", true, NULL,
     formula},
    {"PO", "preference", "arXiv 2401.06121",
     "learn the alternate answers, such as refusals, instead (IDK)", "nll", true, alternate_preset,
     formula},
    {"IDKAP", "preference", "arXiv 2410.08109",
     "learn refusals on forget, prefer answers to refusals on retain (IDK+AP)", "nll", false,
     idk_ap_preset, formula},
    {"RandomLabel", "preference", "arXiv 2404.18239",
     "learn the answer of another forget example instead", "nll", true, other_answer_preset,
     "PO's figures"},
    {"RandomTokens", "preference", "arXiv 2404.18239", "learn random tokens instead", "nll", true,
     random_tokens_preset, "PO's figures"},
    {"LLMU", "ascent", "arXiv 2310.10683",
     "ascent on forget, learn random answers to its prompts, distil the target model on retain",
     "ascent_seq", true, llmu_preset, formula},
    {"FLAT", "preference", "arXiv 2410.11143",
     "an f-divergence between alternates and answers to forget; no retain data", "flat", false,
     NULL, formula},
    {"WGA", "ascent", "arXiv 2502.19301", "gradient ascent weighted by the token's probability",
     "wga", true, NULL, peer},
    {"SatImp", "ascent", "arXiv 2505.11953",
     "gradient ascent weighted by saturation and importance", "satimp", true, satimp_preset, peer},
    {"UNDIAL", "distillation", "arXiv 2402.10052",
     "learn the model's own answers with the label's logit lowered", "undial", true, undial_preset,
     peer},
    {"CEU", "distillation", "arXiv 2503.01224", "learn the model's own answers without the label",
     "ceu", false, NULL, peer},
    {"ME", "distillation", "arXiv 2410.08109", "towards the uniform distribution on forget (ME+GD)",
     "me", true, me_preset, formula},
    {"JensUn", "distillation", "arXiv 2509.02820",
     "bounded divergence to the alternates on forget, to the model on retain", "jsd_label", true,
     jensun_preset, formula},
    {"KLAscent", "ascent", "arXiv 2404.18239",
     "away from the target model on forget, towards it on retain", "kl_ascent", true, kl_preset,
     formula},
    {"SOULKL", "ascent", "arXiv 2404.18239",
     "KLAscent with SOUL's divergence, a reverse cross-entropy", "soul_kl_ascent", true,
     soul_kl_preset, formula},
    {"SCRUB", "distillation", "arXiv 2302.09880",
     "epochs away from the target model on forget alternate with distillation on retain",
     "kl_ascent", true, scrub_preset, formula},
    {"WHP", "distillation", "arXiv 2310.02238",
     "train on generic targets: the reference's logits minus what the reinforced model raises",
     "whp", false, NULL, formula},
    {"RKLD", "distillation", "arXiv 2406.01983", "the generic targets of WHP by reverse KL", "rkld",
     false, NULL, formula},
    {"KGA", "distillation", "arXiv 2305.06535",
     "equal KL from a model trained on forget as the target model has from one trained on new data",
     "kga", true, kl_preset, formula},
    {"ELM", "distillation", "arXiv 2410.02760",
     "shift forget predictions from an expert's to a novice's, train on fluent texts; keep the "
     "target's argmax on retain",
     "elm", true, elm_preset, differences},
    {"PDU", "constrained", "arXiv 2506.05314",
     "flatten the logits under an upper bound of the retain loss (primal-dual)", "pdu", true,
     pdu_preset, peer},
    {"RMU", "representation", "arXiv 2403.03218",
     "steer hidden states of forget data to a random direction, keep those of retain data", "rmu",
     true, embed_preset, peer},
    {"AdaptiveRMU", "representation", "arXiv 2408.06223",
     "RMU with a length proportional to the target model's hidden states", "adaptive_rmu", true,
     embed_preset, formula},
    {"CircuitBreaker", "representation", "arXiv 2406.04313",
     "make hidden states of forget data orthogonal to the target model's", "circuit_breaker", true,
     circuit_preset, formula},
    {"LAT", "representation", "arXiv 2407.15549", "RMU with latent adversarial training (RMU-LAT)",
     "rmu", true, lat_preset, differences},
    {"LUNAR", "representation", "arXiv 2502.07218",
     "steer the prompts to forget in the refusal direction, by training one matrix", "redirect",
     true, lunar_preset, differences},
    {"RandomMapping", "robust", "arXiv 2408.00761",
     "align hidden states of forget data with a random vector of each token; TAR's first phase",
     "random_map", true, mapping_preset, formula},
    {"TAR", "robust", "arXiv 2408.00761",
     "high entropy on forget data after fine-tuning attacks; hidden states of retain data are kept",
     NULL, true, tar_preset, "the sum of its parts, for an attacker with learning rate 0"},
    {"RepNoise", "representation", "arXiv 2405.14577",
     "ascent on forget data, with hidden states trained to noise after every layer", "ascent", true,
     repnoise_preset, "its definition as plain loops"},
    {"Newton", "second order", "arXiv 1911.03030",
     "one Newton step on the retained loss, which also trains on the retain data", "nll", true,
     newton_preset, "autograd in f64: the solution and the weights"},
    {"Influence", "second order", "arXiv 1703.04730",
     "one step by influence functions: what removing the forget rows changes, to first order",
     "nll", true, influence_preset, "autograd in f64: the solution and the weights"},
    {"EKFACStep", "second order", "arXiv 2308.03296",
     "the influence step by EK-FAC factors of the linear maps", "nll", true, ekfac_preset,
     "kronfluence 1.0.1: factors, eigenvalues, preconditioned gradient"},
    {"FisherRemoval", "second order", "arXiv 2403.10557",
     "the Newton step by a diagonal of the Fisher matrix, or by WoodFisher (curvature)", "nll",
     true, fisher_removal_preset, "their formulas in f64"},
    {"SSD", "second order", "arXiv 2308.07707",
     "selective synaptic dampening: weights that matter for forget rows more than for all shrink",
     "nll", true, ssd_preset, "the authors' code: the weights"},
    {"FisherForgetting", "second order", "arXiv 1911.04933",
     "noise on the weights that the retain data do not hold", "nll", true, fisher_noise_preset,
     "its formula: the deviation of the noise"},
    {"CurvatureEdit", "second order", "arXiv 2510.24256",
     "remove components of MLP weights along which the retained loss is flat (K-FAC); the forget "
     "rows are not used",
     "nll", true, curvature_edit_preset, "its formula in f64, on kronfluence's factors"},
    {"TaskVector", "arithmetic", "arXiv 2212.04089",
     "learn the forget data, then go as far the other way (task vector negation)", "nll", false,
     negate_preset,
     "its negation: MUSE's code, 1e-6; the whole: the bytes of `unlearn train` and `unlearn "
     "merge`; "
     "figures of whole runs only against earlier ones"},
    {"SKU", "arithmetic", "arXiv 2402.10058",
     "learn the forget data and answers of other rows, leave the target model on retain data, then "
     "go as far the other way",
     "nll", true, sku_preset,
     "its negation: as TaskVector's; its loss: the sum of its terms; figures of whole runs only "
     "against earlier ones"},
    {"UNDO", "robust", "arXiv 2506.06278",
     "unlearn by another method, then distil the result into a copy that noise has damaged", NULL,
     true, undo_preset,
     "its noise: the formula, bounds and moments; the whole: the bytes of its stages run by hand; "
     "figures of whole runs only against earlier ones"},
    {0},
};

bool method_forgets(const struct method *m)
{
    return strcmp(m->family, "retain") != 0;
}

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
