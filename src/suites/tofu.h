/* The TOFU benchmark (arXiv 2401.06121) as OpenUnlearning evaluates it (spec metrics.md section 1):
 * is the forget set gone, as if never trained on, and is all else still there?
 *
 * Five data sets in TOFU's format. forget and retain: rows {question, answer, paraphrased_question,
 * paraphrased_answer, perturbed_answer[5]}; real authors and world facts: {question, answer,
 * perturbed_answer[3]}; holdout: {question, answer} like those to forget, but never trained on.
 * Sets and fields that are not given leave their metrics out.
 */
#ifndef SUITES_TOFU_H
#define SUITES_TOFU_H

#include "suites/suite.h"

enum tofu_set { TOFU_FORGET, TOFU_RETAIN, TOFU_AUTHORS, TOFU_FACTS, TOFU_HOLDOUT, TOFU_SETS };

extern const struct metric tofu_metrics[];

/* What the published figures use. */
#define TOFU_QUESTION       "question"
#define TOFU_MAX_NEW_TOKENS 200

#endif
