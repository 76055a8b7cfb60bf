#include <stddef.h>

#include "suites/suite.h"

const struct metric_kind *const metric_kinds[] = {&metric_probability,
                                                  &metric_rouge,
                                                  &metric_rouge_f1,
                                                  &metric_exact_memorization,
                                                  &metric_extraction_strength,
                                                  &metric_entropy,
                                                  &metric_reciprocal_rank,
                                                  &metric_mia_loss,
                                                  &metric_mia_zlib,
                                                  &metric_mia_reference,
                                                  &metric_mia_lowercase,
                                                  &metric_mia_min_k,
                                                  &metric_mia_min_k_plus_plus,
                                                  &metric_mia_gradnorm,
                                                  &metric_bleu,
                                                  &metric_exact_match,
                                                  &metric_unique_words,
                                                  &metric_repetition,
                                                  &metric_word_entropy,
                                                  &metric_options,
                                                  &metric_truth_ratio,
                                                  &metric_forget_quality,
                                                  &metric_privleak,
                                                  &metric_utility,
                                                  NULL};
