/* Plain text as examples of equal length: all rows joined by an empty line, made into tokens once,
 * cut into pieces of --chunk tokens, each behind a begin token where the tokenizer puts one.
 *
 * Under COMPAT_CHUNK_REENCODE every piece is decoded, made into tokens again and cut to that length
 * once more, as OpenUnlearning does it: what a cut tears apart may become other tokens.
 */
#ifndef RUN_CHUNK_H
#define RUN_CHUNK_H

#include "run/setup.h"

/* `text` is the rows' field. The setup's text must be ready. */
int run_chunk(struct dataset *set, enum role role, const struct rows *rows, int length,
              struct setup *s, struct err *e);

#endif
