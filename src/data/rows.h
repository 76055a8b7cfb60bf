/* Rows of a data file: JSON objects one after another (JSON Lines, or written over several lines),
 * a JSON array of objects, one object that is a table (data/tabular.c) or, where the name ends so,
 * CSV or TSV with a header line (.csv, .tsv; a tab in the first line of what is no JSON tells TSV,
 * too) and plain text, one row {"text"} (.txt); any of them compressed by gzip, detected by its
 * magic number. Other formats are refused by name (data/sniff.c). A string instead of an object is
 * a row
 * {"text"}. NaN, Infinity, 1e400 and integers of any size are read as in base/json.h. FILE[a:b]
 * takes the half-open range of rows a..b-1, counted from 0 (either end may be left out); FILE+FILE
 * joins; "-" is standard input. A file with that exact name takes precedence. Rows are
 * numbered 0..n-1 as taken.
 */
#ifndef DATA_ROWS_H
#define DATA_ROWS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct row_at {
    int file;   /* index into files */
    int line;   /* where the row starts, from 1 */
    int number; /* of a table in one JSON object: which of its rows, from 1; else 0 */
};

struct rows {
    json_t **v; /* owned references */
    int n;
    char *path;        /* owned: the whole specification, for messages */
    struct row_at *at; /* [n] owned */
    char **files;      /* [n_files] owned names */
    int n_files;
};

/* Refuses invalid UTF-8, rows that are no objects, and empty files, naming file and line. */
int rows_open(struct rows *r, const char *spec, struct err *e);
/* The same, but the fields of CSV files, which begin with a row at once, have these names: "label,
 * text" without the space. NULL: as rows_open. */
int rows_open_columns(struct rows *r, const char *spec, const char *columns, struct err *e);
/* The same as rows_open, but a file that begins with neither '{' nor '[' is plain text: each line
 * that is not blank is a row {key: line}, without the spaces around it. One file, no ranges. */
int rows_open_lines(struct rows *r, const char *path, const char *key, struct err *e);
/* The same from text in memory; `name` replaces the file's in messages. */
int rows_read(struct rows *r, const char *name, const char *text, size_t len, struct err *e);
void rows_close(struct rows *r);
/* Leaves the first n rows; 0: all. */
void rows_limit(struct rows *r, int64_t n);
/* Conversations, rows {"messages": [{"role", "content"}, ...]}, get a prompt and an answer in these
 * fields, unless they have the prompt's already: the last message, if it is the assistant's, is the
 * answer; what is before it the prompt, the text of one user's message or the list of messages. */
int rows_split_messages(struct rows *r, const char *question_key, const char *answer_key,
                        struct err *e);
/* Calls fn with every file that a specification names, until it fails. */
int rows_each_file(const char *spec, int (*fn)(void *ctx, const char *file, struct err *e),
                   void *ctx, struct err *e);
/* Fails with a message about row i: 'people.jsonl' line 7: TEXT. */
int rows_err(const struct rows *r, int i, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The keys of row i, the first few: "'prompt', 'completion'". */
void rows_keys(const struct rows *r, int i, char *text, size_t room);
/* The text at `key` of row i, borrowed; or NULL and an error, also for a text that holds U+0000. */
const char *rows_text(const struct rows *r, int i, const char *key, struct err *e);

#endif
