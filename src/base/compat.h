/* Compatibility switches: quirks of the peer OpenUnlearning that its published numbers depend on.
 * All are off by default; `--compat ou` turns on the bundle, `--compat a,b` single ones.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include <stdio.h>

#include "base/err.h"

enum compat {
    COMPAT_PAD_EOS_MASK = 1 << 0,     /* attention mask = ids != pad id, also inside a sequence */
    COMPAT_COUNT_LABELS = 1 << 1,     /* first len(prompt) labels are masked, aligned or not */
    COMPAT_APPEND_EOS = 1 << 2,       /* the template's text after the turn is kept, then eos */
    COMPAT_KL_ALL_POSITIONS = 1 << 3, /* KL averages over every row of the padded batch */
    COMPAT_MICRO_MEAN = 1 << 4,       /* gradient = mean over micro-batches of their own means */
    COMPAT_PAD_EMBED_FROZEN = 1 << 5, /* no gradient reaches the pad token's input embedding */
    COMPAT_UNDIAL_ALL_POSITIONS = 1 << 6, /* UNDIAL averages over every row with a next token */
    COMPAT_PDU_UNSHIFTED = 1 << 7,        /* PDU uses the labels' own rows */
    COMPAT_RMU_BXB = 1 << 8,              /* RMU's mean: every S_i over every n_j */
    COMPAT_RMU_CLIP_ALL = 1 << 9,      /* gradients of weights that do not move count in the norm */
    COMPAT_RMU_DRAW = 1 << 10,         /* the direction is drawn after the loader's draws */
    COMPAT_ADAMW_DECAY_LAST = 1 << 11, /* AdamW decays a weight after its step, not before */
    COMPAT_CHUNK_REENCODE = 1 << 12,   /* chunks of plain text are decoded and encoded again */
    COMPAT_DROP_LAST_TOKEN = 1 << 16,  /* memorisation and attacks leave out the last label */
    COMPAT_ES_FLOOR = 1 << 17,         /* extraction strength is at least 1/N */
    COMPAT_NAN = 1 << 18,              /* logs hold NaN, not null, for missing numbers */
    COMPAT_TRUTH_TINY = 1 << 19,       /* truth ratios and options add 1e-10 to divisors */
    COMPAT_DATE = 1 << 14,             /* templates that tell the date get the peer's */
    COMPAT_SYSTEM_TURN = 1 << 15,      /* without a system message the peer's one is used */
    COMPAT_DECAY_NORMS = 1 << 20,      /* RMSNorms that the peer does not recognise are decayed */
};

/* "ou", "none" or names joined by commas -> bits. */
int compat_parse(const char *text, unsigned *bits, struct err *e);
void compat_help(FILE *out);

#endif
