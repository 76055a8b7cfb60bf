/* The ledger: an SQLite database (WAL) with a row for every run, from which a run can be listed,
 * compared and repeated. Several processes write to one ledger at the same time.
 *
 *   run    id, command, status, message, out, model, method, parent, within, started, ended,
 * seconds, host, pid, about: a JSON object {options, words, cwd, seed, threads, isa, version, ...}
 *   file   run, role ('input' or 'artifact'), path, sha256
 *   value  run, name, step, row, value, low, high: step of training or NULL, row of data or NULL,
 *          interval or NULL
 *
 * Status: running, finished, failed, interrupted. A run whose process is gone while it was running
 * is interrupted: whoever opens the ledger next marks it. `parent` is the run that made the model
 * which this run read; `within` the run that this one is a step of. Files are those of the
 * directory `out` when the run ended.
 */
#ifndef RUN_LEDGER_H
#define RUN_LEDGER_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct sqlite3;

struct ledger {
    struct sqlite3 *db; /* owned; NULL: closed */
    char *path;         /* owned */
    int64_t run;        /* id of the run that was begun; 0: none */
    int64_t since;      /* when it began, in nanoseconds of the epoch */
};

enum ledger_use {
    LEDGER_READ,  /* it must be there */
    LEDGER_CREATE /* made where it is not there */
};

/* Refuses a file that is no ledger, is damaged or of a newer version. ERR_BUSY: another process has
 * locked it for 5 s. ledger_close is due in every case. */
int ledger_open(struct ledger *l, const char *path, enum ledger_use use, struct err *e);
void ledger_close(struct ledger *l);

struct ledger_entry {
    const char *command, *out, *model, *method; /* `out` and `model` absolute; NULL: none */
    int64_t within;                             /* 0: none */
    const json_t *about;                        /* borrowed */
};

/* Adds a run that is running: l->run. One of the same command and `out` that did not finish is
 * continued under its id. */
int ledger_begin(struct ledger *l, const struct ledger_entry *r, struct err *e);
/* Adds files that l->run reads, {path: SHA-256}. */
int ledger_inputs(struct ledger *l, const json_t *files, struct err *e);
/* The end of l->run: its status, the message of a failure or NULL, and what the directory `out`
 * holds: values and costs of run.json, train.jsonl, the logs of suites and attack.json, and the
 * hashes of its files; `out` may be a file, too. */
int ledger_end(struct ledger *l, const char *out, const char *status, const char *message,
               struct err *e);

/* What the list is restricted to; NULL and 0: nothing. */
struct ledger_filter {
    int64_t id;
    const char *command, *status, *method;
};

/* Newest last: an array of {column: value}, `about` as an object; a new reference. */
json_t *ledger_runs(struct ledger *l, const struct ledger_filter *f, struct err *e);
/* A run's number as a person writes it. */
int ledger_id(const char *word, int64_t *id, struct err *e);
/* The run of that id, or an error that says which there are. */
json_t *ledger_find(struct ledger *l, int64_t id, struct err *e);
/* {name: {value, low, high}} without those of steps and rows, of a step the last one. */
json_t *ledger_values(struct ledger *l, int64_t id, struct err *e);
/* {path: SHA-256} of that role. */
json_t *ledger_files(struct ledger *l, int64_t id, const char *role, struct err *e);
/* Removes the run from the ledger, not its files. */
int ledger_delete(struct ledger *l, int64_t id, struct err *e);

/* --- between ledger.c and ledger_collect.c --- */

/* Runs one statement; `types` has a letter for each further argument: i int64_t, d double (NaN:
 * NULL), s const char * (NULL: NULL). */
int ledger_do(struct ledger *l, struct err *e, const char *sql, const char *types, ...);
/* Adds to l->run all that the files of `out` tell. */
int ledger_collect(struct ledger *l, const char *out, struct err *e);

#endif
