/* What a model answers to prompts, and the examples whose answers it scores: rows of data to token
 * ids, generation with stop strings, and text. For `generate` and `score` and for the library.
 */
#ifndef RUN_ANSWER_H
#define RUN_ANSWER_H

#include "model/generate.h"
#include "run/setup.h"

/* Rows {question_key} or {"prompt_ids"}, which the first row tells, as prompts with room for
 * new_tokens each. Opens the tokenizer where it is needed. */
int answer_prompts(struct setup *s, const struct rows *rows, const char *question_key,
                   int new_tokens, struct dataset *set, struct err *e);
/* Rows {question_key, answer_key} or {"ids", "labels"} as examples. */
int answer_examples(struct setup *s, const struct rows *rows, const char *question_key,
                    const char *answer_key, struct dataset *set, struct err *e);
/* Answers to the prompts, which end before any of `stops` (up to NULL; NULL: none): *g, owned [n *
 * samples], for answer_free also after a failure. `how`: how many tokens and samples, how they are
 * drawn, interrupt; the rest is filled in. */
int answer_generate(struct setup *s, const struct dataset *prompts, const char *const *stops,
                    const struct generate_options *how, struct generation **g, struct err *e);
void answer_free(struct generation *g, size_t n);
/* Appends the text of an answer, up to the first stop. The tokenizer must be open. */
int answer_text(const struct setup *s, const struct generation *g, const char *const *stops,
                struct buf *text, struct err *e);

#endif
