/* Texts in two pieces, of which the second is to be said: an encoder for them, made of one for
 * plain texts. The prompt is the first piece alone; the whole is both with a space between, and
 * nothing behind them.
 */
#ifndef SUITES_CONTINUED_H
#define SUITES_CONTINUED_H

#include "base/buf.h"
#include "data/dataset.h"

struct continued {
    struct encoder encoder; /* use this one while *inner and the struct are where they are */
    const struct encoder *inner;
    struct buf text;
    int *prompt; /* owned */
    size_t cap;
};

void continued_init(struct continued *c, const struct encoder *inner);
void continued_fini(struct continued *c);

#endif
