/* Encodes question-answer pairs to token ids for training and scoring.
 *
 * With a chat family, prompt = system and user turn + the opening of the assistant's turn, and
 * whole = the conversation up to and including the token that ends the answer: that token is
 * trained on, the template's text after it is not. With COMPAT_APPEND_EOS that text is kept, and an
 * eos appended. Families of plain tags, and no family at all: whole = prompt text + answer, then
 * eos.
 */
#ifndef TEXT_QA_H
#define TEXT_QA_H

#include "base/compat.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct qa_format {
    const struct tokenizer *tok; /* borrowed */
    const struct chat *chat;     /* borrowed; NULL: the prompt is text that the answer continues */
    const char *system;          /* borrowed; NULL: no system message */
    unsigned compat;             /* bits of enum compat */
    int max_length;              /* tags and plain text: cut to this before eos; 0: never */
    int left_out;                /* tokens of `whole` that the last call cut off */
    struct ids prompt, whole;    /* owned: the results of the last call; start with zeros */
};

/* `ctx` is a struct qa_format. The arrays it returns last until its next call. answer NULL: both
 * are the prompt; prompt NULL: the answer is a plain text without end. (The signature of an encoder
 * in data/dataset.h.) */
int qa_encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
              int *n_prompt, const int **whole_ids, int *n_whole, struct err *e);
/* The same for a prompt of several turns [{"role", "content"}]: texts, in any roles that the chat
 * template knows. A system message among them goes before that of the format. */
int qa_encode_turns(void *ctx, const json_t *turns, const char *answer, const int **prompt_ids,
                    int *n_prompt, const int **whole_ids, int *n_whole, struct err *e);
void qa_fini(struct qa_format *q);

#endif
