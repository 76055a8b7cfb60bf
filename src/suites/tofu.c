#include "suites/tofu.h"

#define ATTACK(name)                                                                               \
    {                                                                                              \
#name, &metric_##name, .set = TOFU_FORGET, .against = TOFU_HOLDOUT, .answer = "answer",    \
                               .in_summary = true                                                  \
    }

/* Children come before what is computed from them. */
const struct metric tofu_metrics[] = {
    {"forget_Q_A_Prob", &metric_probability, .set = TOFU_FORGET, .answer = "answer",
     .in_summary = true},
    {"forget_Q_A_PARA_Prob", &metric_probability, .set = TOFU_FORGET,
     .answer = "paraphrased_answer"},
    {"forget_Q_A_PERT_Prob", &metric_probability, .set = TOFU_FORGET, .answer = "perturbed_answer"},
    {"forget_Q_A_ROUGE", &metric_rouge, .set = TOFU_FORGET, .answer = "answer", .in_summary = true},
    {"forget_truth_ratio", &metric_truth_ratio, .truth = TRUTH_CLOSER_TO_1, .in_summary = true,
     .inputs = {"forget_Q_A_PARA_Prob", "forget_Q_A_PERT_Prob"}},
    {"forget_quality", &metric_forget_quality, .in_summary = true,
     .inputs = {"forget_truth_ratio"}},

    {"exact_memorization", &metric_exact_memorization, .set = TOFU_FORGET, .answer = "answer",
     .in_summary = true},
    {"extraction_strength", &metric_extraction_strength, .set = TOFU_FORGET, .answer = "answer",
     .in_summary = true},
    ATTACK(mia_loss),
    ATTACK(mia_zlib),
    ATTACK(mia_reference),
    ATTACK(mia_min_k),
    ATTACK(mia_min_k_plus_plus),
    ATTACK(mia_gradnorm),
    {"privleak", &metric_privleak, .in_summary = true, .inputs = {"mia_min_k"}},

    {"retain_Q_A_Prob", &metric_probability, .set = TOFU_RETAIN, .answer = "answer"},
    {"retain_Q_A_PARA_Prob", &metric_probability, .set = TOFU_RETAIN,
     .answer = "paraphrased_answer"},
    {"retain_Q_A_PERT_Prob", &metric_probability, .set = TOFU_RETAIN, .answer = "perturbed_answer"},
    {"retain_Q_A_ROUGE", &metric_rouge, .set = TOFU_RETAIN, .answer = "answer"},
    {"retain_Truth_Ratio", &metric_truth_ratio, .truth = TRUTH_TRUE_BETTER,
     .inputs = {"retain_Q_A_PARA_Prob", "retain_Q_A_PERT_Prob"}},

    {"ra_Q_A_Prob", &metric_probability, .set = TOFU_AUTHORS, .answer = "answer"},
    {"ra_Q_A_PERT_Prob", &metric_probability, .set = TOFU_AUTHORS, .answer = "perturbed_answer"},
    {"ra_Q_A_Prob_normalised", &metric_options, .inputs = {"ra_Q_A_Prob", "ra_Q_A_PERT_Prob"}},
    {"ra_Q_A_ROUGE", &metric_rouge, .set = TOFU_AUTHORS, .answer = "answer"},
    {"ra_Truth_Ratio", &metric_truth_ratio, .truth = TRUTH_TRUE_BETTER,
     .inputs = {"ra_Q_A_Prob", "ra_Q_A_PERT_Prob"}},

    {"wf_Q_A_Prob", &metric_probability, .set = TOFU_FACTS, .answer = "answer"},
    {"wf_Q_A_PERT_Prob", &metric_probability, .set = TOFU_FACTS, .answer = "perturbed_answer"},
    {"wf_Q_A_Prob_normalised", &metric_options, .inputs = {"wf_Q_A_Prob", "wf_Q_A_PERT_Prob"}},
    {"wf_Q_A_ROUGE", &metric_rouge, .set = TOFU_FACTS, .answer = "answer"},
    {"wf_Truth_Ratio", &metric_truth_ratio, .truth = TRUTH_TRUE_BETTER,
     .inputs = {"wf_Q_A_Prob", "wf_Q_A_PERT_Prob"}},

    {"model_utility", &metric_utility, .in_summary = true,
     .inputs = {"retain_Q_A_Prob", "retain_Q_A_ROUGE", "retain_Truth_Ratio",
                "ra_Q_A_Prob_normalised", "ra_Q_A_ROUGE", "ra_Truth_Ratio",
                "wf_Q_A_Prob_normalised", "wf_Q_A_ROUGE", "wf_Truth_Ratio"}},
    {0}};
