/* Rows of an evaluation with typed columns, filled from a model's outputs or from a log. Metrics
 * are functions over them.
 *
 * A row has one cell, or one for each of several answers or samples: cell[first] .. of its `n`.
 * A number that is missing is NaN, a text NULL.
 */
#ifndef EVAL_RECORDS_H
#define EVAL_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum column_id {
    COLUMN_PROB,  /* exp(-loss) */
    COLUMN_LOSS,  /* mean over tokens of -log p, in nats */
    COLUMN_SCORE, /* the metric's own number */
    COLUMN_ROUGE_1,
    COLUMN_ROUGE_F1, /* of ROUGE-L */
    COLUMN_ROUGE_L,  /* recall */
    COLUMN_COUNT
};
enum text_id { TEXT_INPUT, TEXT_TRUTH, TEXT_ANSWER, TEXT_COUNT };
#define COLUMN_BIT(column) (1u << (column))
#define TEXT_BIT(text)     (1u << (text))

struct cell {
    double x[COLUMN_COUNT];
    struct record_text {
        char *s; /* owned UTF-8, may hold U+0000; NULL: missing */
        size_t n;
    } text[TEXT_COUNT];
};

struct record {
    char *name;   /* owned: "12", the row's number in its data set */
    int first, n; /* its cells */
    bool list;    /* it holds a list of answers, also of one */
};

/* Zero-initialise; records_fini is due. */
struct records {
    struct record *v; /* owned [n] */
    struct cell *cell;
    int n, cells;
    size_t room, cells_room;
};

/* Appends a row of n cells, all missing; the first of them, NULL on failure. */
struct cell *records_add(struct records *r, const char *name, int n, bool list, struct err *e);
void records_fini(struct records *r);
/* Sets a text of a cell to a copy of s[0..n). */
int cell_set_text(struct cell *c, enum text_id id, const char *s, size_t n, struct err *e);
/* The first cell of row i. */
struct cell *records_cell(const struct records *r, int i);
/* Mean over the cells of row i, NaN if one is missing. */
double records_mean(const struct records *r, enum column_id id, int i);
/* The row of that name, searched at row `near` first; -1: none. */
int records_find(const struct records *r, const char *name, int near);

#endif
