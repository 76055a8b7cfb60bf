/* The readers of data files, between a file's bytes and the rows of data/rows.h: CSV, tables in one
 * JSON object, gzip, formats that are refused by name, and the reader that puts them together.
 * Private to data/. */
#ifndef DATA_READERS_H
#define DATA_READERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "data/rows.h"

/* CSV (RFC 4180): fields separated by commas, or by tabs or semicolons, "quoted" where they hold
 * those, quotes (doubled) or line breaks; LF or CRLF, or CR if the first line ends in it. The first
 * record names the fields. Values stay text. */

struct csv {
    const char *at, *end; /* borrowed text, moving forward */
    int line;             /* of `at`, from 1 */
    char separator;       /* of fields */
    bool cr_ends;         /* lines end in CR alone; found with the header */
    json_t *names;        /* owned array of the header's fields */
    struct buf field;     /* owned scratch */
};

/* Reads the header. Zero-initialise but for at, end, line, separator. Errors begin with "line N: ".
 */
int csv_header(struct csv *c, struct err *e);
/* Takes the names from `header` instead: the text has no header line. */
int csv_names(struct csv *c, const char *header, struct err *e);
/* The next record as a new object {name: text} and the line it starts on; *row = NULL after the
 * last. Blank lines are skipped. */
int csv_row(struct csv *c, json_t **row, int *line, struct err *e);
void csv_fini(struct csv *c);

/* Tables that are one JSON object, as rows: an object of columns ({"question": [...], "answer":
 * [...]}, of datasets.to_dict), columns by row number ({"question": {"0": ...}}, of
 * pandas.to_json), rows under "data" ({"data": [...]}), and pandas' split form ({"columns": [...],
 * "data": [[...], ...]}). */

/* *rows: a new array of the table's rows, which are not checked; NULL if the object is a row,
 * not a table. Lists of numbers or of objects alone, as token ids and messages are,
 * make no table. */
int tabular_rows(json_t *object, json_t **rows, struct err *e);

/* gzip-compressed files. */

bool gz_is(const char *path); /* by its extension, .gz */
/* Whether the bytes start with gzip's magic number. */
bool gz_begins(const char *bytes, size_t n);
/* The whole text, decompressed and NUL-terminated, owned by the caller. Refuses damaged files and
 * texts above 2 GiB; `name` is for messages. */
char *gz_unpack(const char *name, const char *bytes, size_t n, size_t *len, struct err *e);
/* The same for a file, which must be compressed. */
char *gz_read(const char *path, size_t *len, struct err *e);

/* Detects a data file's format by its first bytes: unsupported formats are refused by name, with
 * the command that converts them to JSON Lines. */

/* Fails if the bytes start like a format that is not UTF-8 text: Parquet, Arrow, UTF-16, zstd,
 * bz2, xz, zip (.xlsx), pickle, ... `name` is the file's. gzip is not among them. */
int sniff_refuse(const char *name, const char *bytes, size_t n, struct err *e);
/* The character that separates the fields of a table without quotes around it, from its first
 * line: a tab if there is one, else a comma if there is one, else a semicolon if there is one; 0:
 * none of them. */
char sniff_separator(const char *text, size_t n);

/* Parses one file's text into rows: the formats of data/rows.h. Private to rows.c and
 * rows_reader.c. */

/* What is being read: the text of one file, and the rows it goes to. */
struct rows_reader {
    struct rows *r;
    size_t cap_v, cap_at;
    const char *columns; /* names of a CSV file's fields; NULL: its first line */
    /* What begins with neither '{' nor '[' is a row {line_key: line} a line; NULL: it is not. */
    const char *line_key;
    const char *at, *end;
    int line; /* of `at` */
};

/* Appends the rows of one file's text, which is called `name`; it may be gzip-compressed. */
int rows_reader_text(struct rows_reader *rd, const char *name, const char *text, size_t len,
                     struct err *e);

#endif
