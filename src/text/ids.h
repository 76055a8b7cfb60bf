/* A growing list of token ids. */
#ifndef TEXT_IDS_H
#define TEXT_IDS_H

#include <stddef.h>

#include "base/err.h"

struct ids {
    int *v; /* owned; zero-initialise, free(v) */
    size_t n, cap;
};

int ids_add(struct ids *ids, int id, struct err *e);

#endif
