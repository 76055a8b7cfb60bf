/* Commands: `unlearn NAME ...` runs one row of the table in main.c. A command lives in cmd_NAME.c,
 * is declared here and named there; cmd_diff.c is the pattern to copy. Only commands print results
 * and choose an exit status; what they call returns errors.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

struct command {
    const char *name;
    const char *help;                  /* one line, lower case */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns a status below */
};

enum {
    STATUS_DONE = 0,
    STATUS_FAILED = 1, /* a file, the memory, the data; the message says which */
    STATUS_USAGE = 2,  /* the command line is wrong; nothing was done */
    STATUS_BOUND = 3   /* done, and a required bound did not hold */
};

int cmd_convert(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_methods(int argc, char **argv);
int cmd_forget(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_rescore(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

#endif
