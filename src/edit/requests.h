/* Requests for edits: from rows of text, through the model's chat template and tokenizer, or from
 * token ids.
 *
 * Text rows:  {"question": "Where was {} born?", "subject": "Ada Example", "answer": "..."}
 *             {} is where the subject goes; without it the subject stands in the question; without
 *             a subject it is guessed (subject_guess). "target": the new answer, for target own.
 * Token ids:  {"contexts": [[], [ids], ...], "requests": [{"ids", "lookup", "kl_ids", "kl_lookup",
 *             "answer"}], "targets": {"NAME": [ids]}}, an object
 */
#ifndef EDIT_REQUESTS_H
#define EDIT_REQUESTS_H

#include "data/dataset.h"
#include "edit/edit.h"
#include "text/tokenizer.h"

struct edit_requests {
    struct edit_request *v; /* owned [n] */
    int n;
    int guessed; /* subjects found by the rule */
};

struct edit_texts {
    const char *question_key, *answer_key, *subject_key;
    const char *target;  /* "refusal", "empty" (the end of the answer alone), "own" (the row's
                          * "target"); of ids: a name in "targets" */
    const char *refusal; /* the text of target refusal */
    char **contexts;     /* [n_contexts] texts, each put before the question as "TEXT. " */
    int n_contexts;
    bool no_subject; /* only prompt, target and answer are wanted, for measuring */
    bool optional;   /* rows without the question are left out */
};

int edit_requests_from_rows(struct edit_requests *r, const struct rows *rows,
                            const struct edit_texts *o, const struct encoder *enc,
                            const struct tokenizer *t, int eos, struct err *e);
int edit_requests_from_ids(struct edit_requests *r, const json_t *j, const char *target, int vocab,
                           struct err *e);
void edit_requests_fini(struct edit_requests *r);

/* The rule: what stands in quotation marks; else the longest run of capitalised words, the first
 * word of a sentence aside unless another follows; else the last word. The range [*from, *to) of
 * the question's bytes; false: there is no word. */
bool subject_guess(const char *question, size_t *from, size_t *to);

#endif
