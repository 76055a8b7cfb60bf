/* What a data file is, told by its first bytes: formats that are not read are refused by name, with
 * the command that makes JSON Lines of them.
 */
#ifndef DATA_SNIFF_H
#define DATA_SNIFF_H

#include <stddef.h>

#include "base/err.h"

/* Fails if the bytes begin as a format does that is no text in UTF-8: Parquet, Arrow, UTF-16, zstd,
 * bz2, xz, zip (.xlsx), pickle, ... `name` is the file's. gzip is not among them: data/gz.h. */
int sniff_refuse(const char *name, const char *bytes, size_t n, struct err *e);
/* The character that separates the fields of a table without quotes around it, told by its first
 * line: a tab if there is one, else a comma if there is one, else a semicolon if there is one; 0:
 * none of them. */
char sniff_separator(const char *text, size_t n);

#endif
