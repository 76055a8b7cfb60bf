#include "run/ledger.h"

#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/outdir.h"

/* "unle"; a database without it that has tables is somebody else's. */
enum { LEDGER_MARK = 0x756e6c65, LEDGER_VERSION = 2, LEDGER_WAIT_MS = 5000 };

static const char schema[] =
    "CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL,"
    " status TEXT NOT NULL, message TEXT, out TEXT, model TEXT, method TEXT,"
    " parent INTEGER REFERENCES run(id) ON DELETE SET NULL, started TEXT NOT NULL, ended TEXT,"
    " seconds REAL, host TEXT, pid INTEGER, pid_started INTEGER, about TEXT NOT NULL,"
    " within INTEGER REFERENCES run(id) ON DELETE SET NULL);"
    "CREATE TABLE file(run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " role TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL);"
    "CREATE TABLE value(run INTEGER NOT NULL REFERENCES run(id) ON DELETE CASCADE,"
    " name TEXT NOT NULL, step INTEGER, row INTEGER, value REAL, low REAL, high REAL);"
    "CREATE INDEX file_run ON file(run);"
    "CREATE INDEX value_run ON value(run, name);";

/* --- statements --- */

static int fail(const struct ledger *l, struct err *e)
{
    const int rc = sqlite3_errcode(l->db) & 0xff;
    const char *why = sqlite3_errmsg(l->db);
    switch (rc) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_code(e, ERR_BUSY,
                        "the ledger '%s' is locked by another process for more than %d s", l->path,
                        LEDGER_WAIT_MS / 1000);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        err_about(e, "ledger",
                  "the ledger '%s' is damaged, or no SQLite database (%s): move it away, "
                  "or choose another",
                  l->path, why);
        e->code = ERR_BAD_FILE;
        return -1;
    case SQLITE_FULL:
        return err_code(e, ERR_NO_SPACE, "cannot write the ledger '%s': disk full", l->path);
    case SQLITE_NOMEM:
        return err_no_memory(e, "ledger");
    case SQLITE_IOERR: /* also where a file may not become larger */
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        err_about(e, "ledger", "cannot write the ledger '%s': %s", l->path, why);
        e->code = ERR_ACCESS;
        return -1;
    default:
        return err_set(e, "the ledger '%s': %s", l->path, why);
    }
}

static int bind(sqlite3_stmt *s, const char *types, va_list ap)
{
    int rc = SQLITE_OK;
    for (int i = 0; types[i] && rc == SQLITE_OK; i++) {
        if (types[i] == 'i') {
            rc = sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
        } else if (types[i] == 'd') {
            const double x = va_arg(ap, double);
            rc = isnan(x) ? sqlite3_bind_null(s, i + 1) : sqlite3_bind_double(s, i + 1, x);
        } else {
            rc = sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        }
    }
    return rc;
}

/* A statement with its values, to be stepped; NULL: an error. */
static sqlite3_stmt *prepare(struct ledger *l, struct err *e, const char *sql, const char *types,
                             va_list ap)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) == SQLITE_OK &&
        bind(s, types, ap) == SQLITE_OK)
        return s;
    fail(l, e);
    sqlite3_finalize(s);
    return NULL;
}

int ledger_do(struct ledger *l, struct err *e, const char *sql, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = prepare(l, e, sql, types, ap);
    va_end(ap);
    if (!s)
        return -1;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        ;
    rc = rc == SQLITE_DONE ? 0 : fail(l, e);
    sqlite3_finalize(s);
    return rc;
}

static json_t *column(sqlite3_stmt *s, int i)
{
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(s, i));
    case SQLITE_FLOAT:
        return json_finite(sqlite3_column_double(s, i));
    case SQLITE_TEXT:
        return json_string((const char *)sqlite3_column_text(s, i));
    default:
        return json_null();
    }
}

/* All rows as objects, in a new array. */
static json_t *query(struct ledger *l, struct err *e, const char *sql, const char *types, ...)
{
    json_t *all = json_array();
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = all ? prepare(l, e, sql, types, ap) : NULL;
    va_end(ap);
    int rc = SQLITE_DONE;
    bool bad = !s;
    while (!bad && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(s); i++)
            bad |= json_object_set_new(row, sqlite3_column_name(s, i), column(s, i)) != 0;
        bad |= json_array_append_new(all, row) != 0;
    }
    if (!bad && rc != SQLITE_DONE)
        bad = fail(l, e) != 0;
    else if (bad && s)
        err_no_memory(e, "ledger");
    sqlite3_finalize(s);
    if (!bad)
        return all;
    json_decref(all);
    return NULL;
}

static int64_t number(struct ledger *l, const char *sql, int64_t otherwise)
{
    sqlite3_stmt *s = NULL;
    int64_t n = otherwise;
    if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

static int transaction(struct ledger *l, int rc, struct err *e)
{
    struct err ignored;
    return rc ? (ledger_do(l, &ignored, "ROLLBACK", ""), -1) : ledger_do(l, e, "COMMIT", "");
}

/* --- open --- */

/* What is there: 1 a ledger, 0 an empty database, -1 refused. */
static int look(struct ledger *l, struct err *e)
{
    const int64_t tables = number(l, "SELECT count(*) FROM sqlite_master", -1);
    if (tables < 0)
        return fail(l, e);
    if (!tables)
        return 0;
    if (number(l, "PRAGMA application_id", 0) != LEDGER_MARK)
        return err_about(e, "ledger", "'%s' is a database, but not a ledger: choose another file",
                         l->path);
    const long long version = number(l, "PRAGMA user_version", 0);
    return version > LEDGER_VERSION
               ? err_about(e, "ledger",
                           "the ledger '%s' is of version %lld, and this program reads up to %d: "
                           "use the newer program, or another ledger",
                           l->path, version, LEDGER_VERSION)
               : 1;
}

/* A ledger of version 1 gets the column that it lacks; of two processes that find it so, one adds
 * it. */
static int upgrade(struct ledger *l, struct err *e)
{
    if (number(l, "PRAGMA user_version", 0) >= LEDGER_VERSION)
        return 0;
    if (ledger_do(l, e, "BEGIN IMMEDIATE", ""))
        return -1;
    int rc = 0;
    if (number(l, "PRAGMA user_version", 0) < LEDGER_VERSION &&
        sqlite3_exec(l->db,
                     "ALTER TABLE run ADD COLUMN within INTEGER REFERENCES run(id) ON DELETE SET "
                     "NULL; PRAGMA user_version = 2",
                     NULL, NULL, NULL))
        rc = fail(l, e);
    return transaction(l, rc, e);
}

/* Between two processes that both find it empty, one makes the tables. */
static int make(struct ledger *l, struct err *e)
{
    char mark[64];
    if (ledger_do(l, e, "BEGIN IMMEDIATE", ""))
        return -1;
    int found = look(l, e), rc = found < 0 ? -1 : 0;
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d", LEDGER_MARK,
             LEDGER_VERSION);
    if (!found && (sqlite3_exec(l->db, schema, NULL, NULL, NULL) ||
                   sqlite3_exec(l->db, mark, NULL, NULL, NULL)))
        rc = fail(l, e);
    return transaction(l, rc, e);
}

static const char *host_name(char host[256])
{
    memset(host, 0, 256);
    gethostname(host, 255);
    return host;
}

/* Runs of this host whose process is gone. */
static int mark_lost(struct ledger *l, struct err *e)
{
    char host[256];
    json_t *running = query(l, e,
                            "SELECT id, pid, pid_started FROM run WHERE status = 'running' AND "
                            "host = ?",
                            "s", host_name(host)),
           *r;
    size_t i;
    int rc = running ? 0 : -1;
    json_array_foreach(running, i, r)
    {
        const int64_t pid = json_integer_value(json_object_get(r, "pid"));
        if (!rc &&
            outdir_process_start(pid) != json_integer_value(json_object_get(r, "pid_started")))
            rc = ledger_do(l, e,
                           "UPDATE run SET status = 'interrupted', message = "
                           "'the process ended without a word' WHERE id = ?",
                           "i", (int64_t)json_integer_value(json_object_get(r, "id")));
    }
    json_decref(running);
    return rc;
}

/* Where others open the new ledger at the same time, SQLite answers "busy" at once, without
 * waiting. */
static int use_wal(struct ledger *l, struct err *e)
{
    for (int waited = 0; ledger_do(l, e, "PRAGMA journal_mode = WAL", ""); waited += 10) {
        if (sqlite3_errcode(l->db) != SQLITE_BUSY || waited >= LEDGER_WAIT_MS)
            return -1;
        sqlite3_sleep(10);
    }
    return 0;
}

int ledger_open(struct ledger *l, const char *path, enum ledger_use use, struct err *e)
{
    *l = (struct ledger){.path = mem_strdup(path, e)};
    if (!l->path)
        return -1;
    if (use == LEDGER_READ && !file_exists(path)) {
        err_about(e, "ledger", "cannot open the ledger '%s': no such file", path);
        e->code = ERR_NO_FILE;
        return -1;
    }
    const int flags = SQLITE_OPEN_READWRITE | (use == LEDGER_CREATE ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(path, &l->db, flags, NULL) || sqlite3_busy_timeout(l->db, LEDGER_WAIT_MS))
        return fail(l, e);
    const int found = look(l, e);
    if (found < 0)
        return -1;
    if (!found && use == LEDGER_READ)
        return err_about(e, "ledger", "'%s' is an empty database, not a ledger", path);
    return use_wal(l, e) || ledger_do(l, e, "PRAGMA synchronous = NORMAL", "") ||
           ledger_do(l, e, "PRAGMA foreign_keys = ON", "") || (!found && make(l, e)) ||
           upgrade(l, e) || mark_lost(l, e);
}

void ledger_close(struct ledger *l)
{
    sqlite3_close(l->db);
    free(l->path);
    *l = (struct ledger){.db = NULL};
}

/* --- a run --- */

static int64_t id_of(json_t *found)
{
    const int64_t id = json_integer_value(json_object_get(json_array_get(found, 0), "id"));
    json_decref(found);
    return id;
}

/* By the clock of the files' times. */
static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int add_run(struct ledger *l, const struct ledger_entry *r, const char *about, struct err *e)
{
    char host[256];
    const int64_t pid = getpid();
    json_t *left = query(l, e,
                         "SELECT id FROM run WHERE out = ? AND command = ? AND status != 'finished'"
                         " ORDER BY id DESC LIMIT 1",
                         "ss", r->out, r->command);
    if (!left)
        return -1;
    const int64_t before = id_of(left);
    int rc =
        before
            ? ledger_do(l, e, "DELETE FROM value WHERE run = ?", "i", before) ||
                  ledger_do(l, e, "DELETE FROM file WHERE run = ?", "i", before) ||
                  ledger_do(l, e,
                            "UPDATE run SET status = 'running', message = NULL, ended = "
                            "NULL, host = ?, pid = ?, pid_started = ?, about = ? WHERE "
                            "id = ?",
                            "siisi", host_name(host), pid, outdir_process_start(pid), about, before)
            : ledger_do(l, e,
                        "INSERT INTO run(command, status, out, model, method, parent, "
                        "started, host, pid, pid_started, about, within) VALUES(?1, 'running', "
                        "?2, ?3, ?4, (SELECT max(id) FROM run WHERE out = ?3 AND status "
                        "= 'finished' AND command IN ('train', 'forget', 'merge', 'edit')), "
                        "strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?5, ?6, ?7, "
                        "?8, (SELECT id FROM run WHERE id = ?9))",
                        "sssssiisi", r->command, r->out, r->model, r->method, host_name(host), pid,
                        outdir_process_start(pid), about, r->within);
    if (rc)
        return -1;
    l->run = before ? before : sqlite3_last_insert_rowid(l->db);
    if (!before) {
        l->since = now_ns();
        return 0;
    }
    json_t *began = query(l, e,
                          "SELECT CAST(strftime('%s', started) AS INTEGER) AS id FROM run "
                          "WHERE id = ?",
                          "i", l->run);
    l->since = began ? id_of(began) * 1000000000 : 0;
    return began ? 0 : -1;
}

int ledger_begin(struct ledger *l, const struct ledger_entry *r, struct err *e)
{
    struct buf about = {0};
    int rc =
        json_write_buf(r->about, &about, JSON_COMPACT, e) || ledger_do(l, e, "BEGIN IMMEDIATE", "");
    if (!rc)
        rc = transaction(l, add_run(l, r, about.data, e), e);
    buf_fini(&about);
    return rc;
}

int ledger_end(struct ledger *l, const char *out, const char *status, const char *message,
               struct err *e)
{
    if (ledger_do(l, e, "BEGIN IMMEDIATE", ""))
        return -1;
    int rc = ledger_do(l, e,
                       "UPDATE run SET status = ?, message = ?, ended = "
                       "strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), seconds = (julianday('now') - "
                       "julianday(started)) * 86400 WHERE id = ?",
                       "ssi", status, message, l->run);
    rc = rc || (out && ledger_collect(l, out, e));
    return transaction(l, rc, e);
}

/* --- what it holds --- */

json_t *ledger_runs(struct ledger *l, const struct ledger_filter *f, struct err *e)
{
    json_t *all = query(l, e,
                        "SELECT id, command, status, message, out, model, method, parent, within, "
                        "started, ended, seconds, host, about FROM run WHERE (?1 = 0 OR id = ?1) "
                        "AND (?2 IS NULL OR command = ?2) AND (?3 IS NULL OR status = ?3) AND "
                        "(?4 IS NULL OR lower(method) = lower(?4)) ORDER BY id",
                        "isss", f->id, f->command, f->status, f->method),
           *r;
    size_t i;
    int rc = all ? 0 : -1;
    json_array_foreach(all, i, r)
    {
        const char *text = json_string_value(json_object_get(r, "about"));
        json_t *about = rc ? NULL : json_read_text(text, strlen(text), "the ledger's run", e);
        rc = rc || !about || json_object_set_new(r, "about", about);
    }
    if (!rc)
        return all;
    json_decref(all);
    return NULL;
}

int ledger_id(const char *word, int64_t *id, struct err *e)
{
    char *end;
    *id = strtoll(word, &end, 10);
    return *id > 0 && !*end ? 0
                            : err_code(e, ERR_ARGUMENT, "'%s' is no run: give its number", word);
}

json_t *ledger_find(struct ledger *l, int64_t id, struct err *e)
{
    json_t *found = ledger_runs(l, &(struct ledger_filter){.id = id}, e);
    json_t *run = id ? json_incref(json_array_get(found, 0)) : NULL;
    if (found && !run)
        err_code(e, ERR_ARGUMENT, "the ledger '%s' has no run %lld; its runs are up to %lld",
                 l->path, (long long)id, (long long)number(l, "SELECT max(id) FROM run", 0));
    json_decref(found);
    return run;
}

/* The array's objects as the members of one, by the member `key`, which they lose; `only`: their
 * one other member alone. */
static json_t *by_name(json_t *rows, const char *key, const char *only)
{
    json_t *all = rows ? json_object() : NULL, *r;
    size_t i;
    json_array_foreach(rows, i, r)
    {
        char *name = strdup(json_string_value(json_object_get(r, key)));
        json_object_del(r, key);
        if (name)
            json_object_set(all, name, only ? json_object_get(r, only) : r);
        free(name);
    }
    json_decref(rows);
    return all;
}

json_t *ledger_values(struct ledger *l, int64_t id, struct err *e)
{
    return by_name(query(l, e,
                         "SELECT name, value, low, high FROM value v WHERE run = ?1 AND row IS "
                         "NULL AND step IS (SELECT step FROM value WHERE run = ?1 AND name = "
                         "v.name AND row IS NULL ORDER BY step IS NOT NULL, step DESC LIMIT 1) "
                         "ORDER BY rowid",
                         "i", id),
                   "name", NULL);
}

json_t *ledger_files(struct ledger *l, int64_t id, const char *role, struct err *e)
{
    return by_name(query(l, e,
                         "SELECT path, sha256 FROM file WHERE run = ? AND role = ? ORDER BY path",
                         "is", id, role),
                   "path", "sha256");
}

int ledger_delete(struct ledger *l, int64_t id, struct err *e)
{
    json_t *run = ledger_find(l, id, e);
    int rc = run ? ledger_do(l, e, "DELETE FROM run WHERE id = ?", "i", id) : -1;
    json_decref(run);
    return rc;
}
