/* Detects a data file's format by its first bytes: unsupported formats are refused by name, with
 * the command that converts them to JSON Lines.
 */
#ifndef DATA_SNIFF_H
#define DATA_SNIFF_H

#include <stddef.h>

#include "base/err.h"

/* Fails if the bytes start like a format that is not UTF-8 text: Parquet, Arrow, UTF-16, zstd,
 * bz2, xz, zip (.xlsx), pickle, ... `name` is the file's. gzip is not among them: data/gz.h. */
int sniff_refuse(const char *name, const char *bytes, size_t n, struct err *e);
/* The character that separates the fields of a table without quotes around it, from its first
 * line: a tab if there is one, else a comma if there is one, else a semicolon if there is one; 0:
 * none of them. */
char sniff_separator(const char *text, size_t n);

#endif
