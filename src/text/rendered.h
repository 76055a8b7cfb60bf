/* A tokenised example as text, for people: what the model reads as its prompt, and what of it is
 * learnt or scored. Shown at the start of a run, so that a template or system message that nobody
 * asked for is seen.
 */
#ifndef TEXT_RENDERED_H
#define TEXT_RENDERED_H

#include <jansson.h>

#include "base/seq.h"
#include "text/tokenizer.h"

/* {"tokens", "scored", "prompt", "answer"}: counts of tokens, and the decoded ids, special tokens
 * too, before the first scored token and from there on. A new reference; NULL: no memory. */
json_t *rendered_row(const struct tokenizer *t, const struct seq *q, struct err *e);

/* The same as lines of at most RENDERED_WIDTH columns, newlines as \n; a long text is cut:
 *
 *     first row of forget.jsonl: 45 tokens, 12 of them scored
 *       prompt  <|im_start|>user\nWho wrote it?<|im_end|>\n<|im_start|>assistant\n
 *       answer  Nobody.<|im_end|>
 *
 * Appended to `out`, the last line without its end. */
enum { RENDERED_WIDTH = 80 };
int rendered_text(const json_t *row, const char *of, struct buf *out, struct err *e);
/* That as a note (base/log.h). `of` may be NULL. */
int rendered_note(const json_t *row, const char *of, struct err *e);

#endif
