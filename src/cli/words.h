/* A row of data made of words on the command line, where a file of one row would be a burden. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include "data/rows.h"

/* rows gets one row, {key[0]: word[0], ...}. */
int words_row(struct rows *rows, const char *const *key, const char *const *word, int n,
              struct err *e);

#endif
