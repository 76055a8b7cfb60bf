/* Files: read-only maps, whole files, and outputs that appear complete or not at all. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"

/* A regular file, mapped. Bytes beyond the end of a file that became shorter raise SIGBUS, which
 * the command line turns into a message (cli/lost_file.h). */
struct file_map {
    const uint8_t *data; /* owned mapping, read only */
    size_t size;
    char *path;      /* owned */
    struct stat was; /* the file when it was opened */
};

int file_map_open(struct file_map *m, const char *path, struct err *e);
/* The process no longer needs these bytes of a map resident; reading them brings them back. */
void file_map_forget(const void *data, size_t n);
/* Warns if the file was modified meanwhile: the data read may be of two versions. */
void file_map_close(struct file_map *m);

/* Refuses a Git LFS pointer, which replaces the file where Git LFS is not installed. Every file
 * that is read or mapped here is checked. */
int file_refuse_pointer(const void *bytes, size_t n, const char *path, struct err *e);

/* The whole file, NUL-terminated, owned by the caller; *len may be NULL. "-": standard input. A
 * pipe or a device, which may never end, is an error beyond 1 GiB, or `most` bytes. */
char *file_read(const char *path, size_t *len, struct err *e);
char *file_read_most(const char *path, size_t most, size_t *len, struct err *e);

/* An output is written to PATH.tmp.PID; commit flushes, fsyncs and renames it, so
 * a crash, a full disk or an interrupt leaves the old file as it was. */
struct file_out {
    FILE *f;
    char *path, *tmp; /* owned */
};

int file_out_open(struct file_out *o, const char *path, struct err *e);
int file_out_write(struct file_out *o, const void *bytes, size_t n, struct err *e);
int file_out_commit(struct file_out *o, struct err *e);
void file_out_abort(struct file_out *o); /* fine after commit or a failed open */

/* Open, write and commit. */
int file_write(const char *path, const void *bytes, size_t n, struct err *e);

bool file_exists(const char *path); /* true also if unknown */
bool file_is_dir(const char *path);
int file_make_dir(const char *path, struct err *e); /* with parents; existing is fine */
/* As it would be found from any directory, owned by the caller; trailing slashes go. It need not
 * exist. */
char *file_absolute(const char *path, struct err *e);
/* DIR/NAME, owned by the caller. */
char *file_join(const char *dir, const char *name, struct err *e);
int file_copy(const char *from, const char *to, struct err *e);

#endif
