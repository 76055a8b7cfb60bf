/* libunlearn: unlearning, evaluation and inference of language models from C, and from any language
 * that calls C. This is its only public header.
 *
 *     #include <unlearn.h>                     cc x.c $(pkg-config --cflags --libs unlearn)
 *
 *     struct unlearn_run *r = NULL;            what `unlearn forget` does
 *     struct unlearn_error e;
 *     if (unlearn_run_new(&r, "forget", &e) || unlearn_run_set(r, "model", "model", &e) ||
 *         unlearn_run_set(r, "method", "NPO", &e) || unlearn_run_set(r, "out", "out", &e) ||
 *         unlearn_run_rows(r, "forget", rows, strlen(rows), &e) ||
 *         unlearn_run_start(r, NULL, NULL, &e))
 *         fprintf(stderr, "%s\n", e.message);
 *     unlearn_run_free(r);
 *
 * Options have the names and the values of the command line's, without the dashes (--max-length 64
 * is "max_length", "64"; a flag is "true" or "false"), so that `unlearn forget --help` and
 * `unlearn eval --help` document them. The same options give the same bits.
 *
 * Errors. A function that can fail returns 0, or non-zero and fills *e, which may be NULL. After a
 * failure outputs are NULL or zero, and every object can still be freed. Nothing exits, and nothing
 * is printed: notes and warnings go to the hooks.
 *
 * Threads. Objects are independent: two threads may use two objects at once, one object is used by
 * one thread at a time. A session uses its engine. Callbacks come from the thread that called. The
 * number of threads of computation ("threads") is the option of what computes; BLAS has one number
 * for the process.
 *
 * Ownership. Pointers that are given in are borrowed for the call; what differs is written where it
 * does. Freeing NULL is fine. Text is UTF-8 and NUL-terminated.
 */
#ifndef UNLEARN_H
#define UNLEARN_H

#include <signal.h>
#include <stddef.h>

#if defined(__GNUC__)
#define UNLEARN_API __attribute__((visibility("default")))
#else
#define UNLEARN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* --- errors --- */

/* The numbers are stable. */
enum unlearn_code {
    UNLEARN_OK = 0,
    UNLEARN_FAILED = 1,     /* none of the following */
    UNLEARN_NO_MEMORY = 2,  /* out of memory */
    UNLEARN_NO_FILE = 3,    /* no such file or directory */
    UNLEARN_ACCESS = 4,     /* permission denied, read-only file system */
    UNLEARN_NO_SPACE = 5,   /* disk full, quota or file size limit exceeded */
    UNLEARN_BAD_FILE = 6,   /* a file's content is damaged, or not supported */
    UNLEARN_ARGUMENT = 7,   /* an argument or an option is wrong, or missing */
    UNLEARN_NOT_FINITE = 8, /* a loss or gradient is NaN or infinite */
    UNLEARN_BUSY = 9,       /* another process works on it */
    UNLEARN_INTERRUPTED = 10
};

struct unlearn_error {
    int code;          /* enum unlearn_code */
    char message[512]; /* lower case, without a full stop */
    char subject[64];  /* the option that is wrong or missing ("forget"); "": none is known */
};

/* --- while work runs --- */

struct unlearn_progress {
    const char *what; /* "forget", "load", ...; for the call */
    long done, total; /* total 0: unknown */
    double tokens;    /* computed so far; 0: not counted */
    double seconds;   /* since it began */
    int ended;        /* the last call of this piece of work */
};

/* Zeroed fields: nothing. */
struct unlearn_hooks {
    void (*line)(void *ctx, int warning, const char *text); /* a note or a warning, no newline */
    void (*progress)(void *ctx, const struct unlearn_progress *p);
    void *ctx;
    /* A signal handler, a callback or another thread sets it non-zero: the work ends at its next
     * step with UNLEARN_INTERRUPTED. A run then has a checkpoint, from which "resume" continues.
     * Borrowed for the call. */
    const volatile sig_atomic_t *interrupt;
};

/* --- the library --- */

/* "0.1.0". Static. */
UNLEARN_API const char *unlearn_version(void);
/* Releases what a function below hands out to be freed. */
UNLEARN_API void unlearn_free(void *p);

/* --- a run: `unlearn forget` or `unlearn train` ---
 *
 * Fill in options and data, start it, free it. It writes the model with its tokenizer, train.jsonl
 * and run.json into the directory "out", and no ledger. */

struct unlearn_run;

/* command: "forget" or "train". *r: owned by the caller. */
UNLEARN_API int unlearn_run_new(struct unlearn_run **r, const char *command,
                                struct unlearn_error *e);
/* Sets an option; name and value are copied. A later value replaces an earlier one. Which names
 * there are depends on the method, so an unknown one fails when the run starts. */
UNLEARN_API int unlearn_run_set(struct unlearn_run *r, const char *name, const char *value,
                                struct unlearn_error *e);
/* Rows in memory for an option that takes a data file ("forget", "retain", "data", ...): the text
 * of such a file, JSON Lines or an array of objects, n bytes, copied. While the run works they lie
 * in the directory OUT.rows, which only the user may read and which is removed with the run. */
UNLEARN_API int unlearn_run_rows(struct unlearn_run *r, const char *name, const char *text,
                                 size_t n, struct unlearn_error *e);

struct unlearn_result {
    long steps, tokens;
    double seconds;
    double loss;                         /* of the last step; NaN: the method has none */
    double forget_nll[2], retain_nll[2]; /* per token, before and after; NaN: not measured */
    int finished;                        /* "resume": it had finished, nothing was done */
};

/* Runs it to its end. h and out may be NULL. Can be called again, with other options. */
UNLEARN_API int unlearn_run_start(struct unlearn_run *r, const struct unlearn_hooks *h,
                                  struct unlearn_result *out, struct unlearn_error *e);
UNLEARN_API void unlearn_run_free(struct unlearn_run *r);

/* --- an evaluation: `unlearn eval` with a suite of metrics ---
 *
 * Suites of multiple choice and of attacks are for the command line. */

struct unlearn_eval;

/* *v: owned by the caller. */
UNLEARN_API int unlearn_eval_new(struct unlearn_eval **v, struct unlearn_error *e);
/* As for a run: "suite", "model", the suite's data sets ("forget", "retain", ...), "retrained" ...
 */
UNLEARN_API int unlearn_eval_set(struct unlearn_eval *v, const char *name, const char *value,
                                 struct unlearn_error *e);
/* Rows in memory for a data set of the suite, as for a run; they lie in a directory of their own in
 * TMPDIR, or /tmp, while the evaluation works. */
UNLEARN_API int unlearn_eval_rows(struct unlearn_eval *v, const char *name, const char *text,
                                  size_t n, struct unlearn_error *e);
/* Evaluates the model. *json, for unlearn_free: {"summary": {metric: value}, "table": {metric:
 * {"value", "low", "high", "rows", ...}}, "eval": a log with the values of rows}, of which the
 * command line writes summary, table and eval to its SUITE_SUMMARY.json, SUITE_TABLE.json and
 * SUITE_EVAL.json, with a verdict in the table. h may be NULL. Can be called again. */
UNLEARN_API int unlearn_eval_start(struct unlearn_eval *v, const struct unlearn_hooks *h,
                                   char **json, struct unlearn_error *e);
UNLEARN_API void unlearn_eval_free(struct unlearn_eval *v);

/* --- an engine: a model that is open for reading, with its tokenizer --- */

struct unlearn_engine;

/* Opens the model at the path, or of the name ("default"). options: names and values by turns, up
 * to NULL, of "model and text", "conversations" and "guards" in `unlearn score --help`; NULL: none.
 * h may be NULL. *g: owned by the caller. */
UNLEARN_API int unlearn_engine_open(struct unlearn_engine **g, const char *model,
                                    const char *const *options, const struct unlearn_hooks *h,
                                    struct unlearn_error *e);
/* Its sessions must be freed before. */
UNLEARN_API void unlearn_engine_close(struct unlearn_engine *g);
/* Rows of logits have so many numbers; sequences at most so many tokens. */
UNLEARN_API int unlearn_engine_vocab(const struct unlearn_engine *g);
UNLEARN_API int unlearn_engine_positions(const struct unlearn_engine *g);
/* Plain text to token ids, as `unlearn tokenize` does; nothing is put around it. *ids: for
 * unlearn_free. */
UNLEARN_API int unlearn_engine_encode(struct unlearn_engine *g, const char *text, int **ids, int *n,
                                      struct unlearn_error *e);
/* And back, special tokens left out. *text: for unlearn_free. */
UNLEARN_API int unlearn_engine_decode(struct unlearn_engine *g, const int *ids, int n, char **text,
                                      struct unlearn_error *e);

/* --- log-probabilities of answers --- */

struct unlearn_scores;

/* One sequence; arrays are borrowed from the scores. */
struct unlearn_scored {
    int row;               /* the row it is of, from 0 */
    int n_ids;             /* tokens of the whole sequence */
    const int *ids;        /* [n_ids] */
    int n;                 /* tokens that are scored */
    const int *labels;     /* [n] these tokens */
    const float *logprobs; /* [n] natural logarithm */
};

/* rows: text as for unlearn_run_rows, of {"question", "answer"} (a list of answers gives a sequence
 * each) or {"ids", "labels"}. h may be NULL. *s: owned by the caller. */
UNLEARN_API int unlearn_score(struct unlearn_engine *g, const char *rows, size_t n,
                              const struct unlearn_hooks *h, struct unlearn_scores **s,
                              struct unlearn_error *e);
UNLEARN_API int unlearn_scores_count(const struct unlearn_scores *s);
/* i: 0 to count - 1, else everything of *out is 0. */
UNLEARN_API void unlearn_scores_get(const struct unlearn_scores *s, int i,
                                    struct unlearn_scored *out);
UNLEARN_API void unlearn_scores_free(struct unlearn_scores *s);

/* --- generated answers --- */

struct unlearn_generation {
    int max_new_tokens; /* 0: 200 */
    int samples;        /* answers of each prompt; 0: one. More than one need a temperature */
    double temperature; /* 0: greedy */
    double top_p;       /* nucleus, above 0 to 1; 0: 1 */
    unsigned seed;
    const char *stop; /* an answer ends before such a text, several separated by bars; NULL: none */
};

struct unlearn_answers;

/* Arrays are borrowed from the answers. */
struct unlearn_answer {
    int row, sample;
    int n;            /* new tokens, the end token or those of the stop included */
    const int *ids;   /* [n] */
    const char *text; /* without the stop; NULL: the model has no tokenizer */
};

/* rows: text as for unlearn_run_rows, of {"question"} or {"prompt_ids"}. o (NULL: defaults) and h
 * may be NULL. *a: owned by the caller. */
UNLEARN_API int unlearn_generate(struct unlearn_engine *g, const char *rows, size_t n,
                                 const struct unlearn_generation *o, const struct unlearn_hooks *h,
                                 struct unlearn_answers **a, struct unlearn_error *e);
UNLEARN_API int unlearn_answers_count(const struct unlearn_answers *a);
/* i: 0 to count - 1, else everything of *out is 0. */
UNLEARN_API void unlearn_answers_get(const struct unlearn_answers *a, int i,
                                     struct unlearn_answer *out);
UNLEARN_API void unlearn_answers_free(struct unlearn_answers *a);

/* --- a session: sequences that are continued over a KV cache --- */

struct unlearn_session;

/* Slots of up to max_len tokens each; its memory is taken at once. *s: owned by the caller. The
 * engine is borrowed until unlearn_session_free. */
UNLEARN_API int unlearn_session_new(struct unlearn_session **s, struct unlearn_engine *g, int slots,
                                    int max_len, struct unlearn_error *e);
/* The slot then holds these n tokens, of which only what it did not hold is computed; logits gets
 * what follows the last one, as many numbers as unlearn_engine_vocab tells. */
UNLEARN_API int unlearn_session_sync(struct unlearn_session *s, int slot, const int *ids, int n,
                                     float *logits, struct unlearn_error *e);
/* How many tokens the slot holds; 0 where there is no such slot. */
UNLEARN_API int unlearn_session_length(const struct unlearn_session *s, int slot);
/* Slot `to` then holds the first n tokens of slot `from`, and nothing else. */
UNLEARN_API int unlearn_session_fork(struct unlearn_session *s, int from, int to, int n,
                                     struct unlearn_error *e);
UNLEARN_API void unlearn_session_free(struct unlearn_session *s);

#ifdef __cplusplus
}
#endif

#endif
