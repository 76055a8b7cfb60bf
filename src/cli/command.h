/* Commands: `unlearn NAME ...` runs one row of the table in main.c. A command lives in cmd_NAME.c,
 * is declared here and named there; cmd_diff.c is the pattern to copy. Only commands print results
 * and choose an exit status; what they call returns errors.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <jansson.h>

#include "data/rows.h"

struct command {
    const char *name;
    const char *help;                  /* one line, lower case */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns a status below */
};

enum {
    STATUS_DONE = 0,
    STATUS_FAILED = 1, /* a file, the memory, the data; the message names it */
    STATUS_USAGE = 2,  /* the command line is wrong; nothing was done */
    STATUS_BOUND = 3   /* done, and a required bound did not hold */
};

int cmd_account(int argc, char **argv);
int cmd_attack(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_canaries(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_edit(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_probe(int argc, char **argv);
/* `unlearn attack meta` */
int cmd_meta(int argc, char **argv);
int cmd_methods(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_guard(int argc, char **argv);
/* `unlearn guard train` */
int cmd_guard_train(int argc, char **argv);
int cmd_head(int argc, char **argv);
int cmd_influence(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_locate(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_rerun(int argc, char **argv);
int cmd_rescore(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_runs(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_sisa(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

/* Runs the command of that name as main does, NULL-terminated argv[0] its name; -1: there is none.
 */
int command_run(const char *name, int argc, char **argv);

/* The value on standard output, and a newline; flags as for json_write_buf. */
int command_print_json(const json_t *j, size_t flags, struct err *e);
/* Columns that output may have: COLUMNS of the environment, those of the terminal, else 80. */
int command_width(void);
/* Between these, standard output is collected; then its lines are wrapped at command_width, further
 * lines of one indented to its last column. For help and lists. */
void command_wrap_begin(void);
void command_wrap_end(void);
/* The text with the line breaks within its paragraphs made spaces; indented lines stay. */
void command_print_prose(const char *text);
/* A row of data from words on the command line, where a file of one row would be a burden: rows
 * gets {key[0]: word[0], ...}. */
int command_row(struct rows *rows, const char *const *key, const char *const *word, int n,
                struct err *e);

/* Row numbers as an option names them: 4,17,20:25 (20 to 24), in that order. NULL: none. */
struct row_list {
    int *v; /* owned */
    size_t n, cap;
};
int command_rows(struct row_list *l, const char *text, struct err *e);

#endif
