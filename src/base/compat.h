/* Compatibility switches: quirks of the peer OpenUnlearning that its published numbers depend on.
 * All are off by default; `--compat ou` turns on the bundle (all but uds, of another program),
 * `--compat a,b` single ones.
 *
 * The bits are those of data, training and evaluation in general. A quirk of one term, optimiser or
 * locator is a parameter of it (COMPAT_PARAM), whose default the switch of the same name changes.
 */
#ifndef BASE_COMPAT_H
#define BASE_COMPAT_H

#include <stdio.h>

#include "base/param.h"

enum compat {
    COMPAT_PAD_EOS_MASK = 1 << 0,     /* attention mask = ids != pad id, also inside a sequence */
    COMPAT_COUNT_LABELS = 1 << 1,     /* first len(prompt) labels are masked, aligned or not */
    COMPAT_APPEND_EOS = 1 << 2,       /* the template's text after the turn is kept, then eos */
    COMPAT_MICRO_MEAN = 1 << 3,       /* gradient = mean over micro-batches of their own means */
    COMPAT_PAD_EMBED_FROZEN = 1 << 4, /* no gradient reaches the pad token's input embedding */
    COMPAT_CHUNK_REENCODE = 1 << 5,   /* chunks of plain text are decoded and encoded again */
    COMPAT_DROP_LAST_TOKEN = 1 << 6,  /* memorisation and attacks leave out the last label */
    COMPAT_ES_FLOOR = 1 << 7,         /* extraction strength is at least 1/N */
    COMPAT_NAN = 1 << 8,              /* logs hold NaN, not null, for missing numbers */
    COMPAT_TRUTH_TINY = 1 << 9,       /* truth ratios and options add 1e-10 to divisors */
    COMPAT_DATE = 1 << 10,            /* templates that tell the date get the peer's */
    COMPAT_SYSTEM_TURN = 1 << 11,     /* without a system message the peer's one is used */
    COMPAT_DECAY_NORMS = 1 << 12,     /* RMSNorms that the peer does not recognise are decayed */
    COMPAT_UDS = 1 << 13, /* depth score: the last layer's states after the final norm */
};

/* "ou", "none" or names joined by commas -> bits. `params` [n]: the parameters whose names are
 * accepted too; they have no bits. */
int compat_parse(const char *text, const struct param *const *params, int n, unsigned *bits,
                 struct err *e);
/* The names in `text` include this parameter or its bundle; false if it is not a COMPAT_PARAM. */
bool compat_sets(const char *text, const struct param *p);
/* Sets the parameters of a table that `text` names. NULL names none. */
void compat_apply(const char *text, const struct param *table, void *obj);
void compat_help(FILE *out, const struct param *const *params, int n);

#endif
