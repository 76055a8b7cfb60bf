/* Tokenised examples of one role, ready for training and scoring. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>

#include "base/compat.h"
#include "base/err.h"
#include "base/seq.h"
#include "data/rows.h"
#include "tensor/file.h"

enum role {
    ROLE_FORGET,
    ROLE_RETAIN,
    ROLE_ALTERNATE,
    ROLE_NEIGHBOUR,
    ROLE_HOLDOUT,
    ROLE_GENERIC,
    ROLE_RETAIN_ALTERNATE,
    ROLE_COUNT
};

extern const char *const role_name[ROLE_COUNT];
enum role role_by_name(const char *name); /* ROLE_COUNT: unknown */

/* How a prompt and its answer become ids: filled in by the owner of the tokenizer (data/ has
 * none). `prompt` gets the ids before the answer, `whole` the entire sequence. Both arrays are
 * owned by the encoder and valid until its next call. prompt NULL: a plain text; answer NULL:
 * prompt only. */
struct encoder {
    int (*encode)(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                  int *n_prompt, const int **whole_ids, int *n_whole, struct err *e);
    /* The same for a prompt of several turns, [{"role", "content"}]; NULL: there are none. */
    int (*encode_turns)(void *ctx, const json_t *turns, const char *answer, const int **prompt_ids,
                        int *n_prompt, const int **whole_ids, int *n_whole, struct err *e);
    void *ctx;
    int pad_id;          /* for COMPAT_PAD_EOS_MASK; -1: none */
    int max_length;      /* longer sequences are truncated; 0: no limit */
    int positions;       /* the model's: longer sequences are refused; 0: no limit */
    unsigned compat;     /* bits of enum compat */
    bool unscored;       /* an example without scored tokens is allowed, not refused */
    const int *left_out; /* tokens that the last call truncated; NULL: none ever */
};

struct dataset {
    enum role role;
    int n;
    struct seq *seqs; /* [n], pointing into the pools */
    int *rows;        /* [n] number of the row it came from */
    int *item;        /* [n] which answer of a list-valued field (0 for plain ones) */
    int *left_out;    /* [n] tokens truncated at its end */
    int n_labels;     /* scored tokens in all */
    int *pool;        /* owned: ids and labels of all sequences */
    uint8_t *masks;   /* owned, or NULL */
};

/* One example per row (per answer where `answer_key` holds a list). labels: -100 on the longest
 * common prefix of prompt and whole (COMPAT_COUNT_LABELS: on the first n_prompt ids), and always on
 * the first id. A row without the keys, or without a scored token after truncation (unless the
 * encoder allows it), is an error that names file and line. question_key NULL: plain texts;
 * answer_key NULL: prompts alone, with nothing scored. */
int dataset_build(struct dataset *d, enum role role, const struct rows *rows,
                  const char *question_key, const char *answer_key, const struct encoder *enc,
                  struct err *e);
/* Rows {"ids": [...], "labels": [...]}: ids below `vocab`, labels likewise or -100 (none given: all
 * but the first are scored). Of the encoder all fields but encode are used. */
int dataset_from_ids(struct dataset *d, enum role role, const struct rows *rows, int vocab,
                     const struct encoder *enc, struct err *e);
/* Rows {"prompt_ids": [...]}: prompts alone, with nothing scored. */
int dataset_from_prompt_ids(struct dataset *d, enum role role, const struct rows *rows, int vocab,
                            const struct encoder *enc, struct err *e);
/* Whether `new_tokens` more than each example's prompt fit into the encoder's positions; if not, an
 * error that names file and line. */
int dataset_check_room(const struct dataset *d, const struct rows *rows, const struct encoder *enc,
                       int new_tokens, struct err *e);
/* Tensors [B,T] as in the peer's batches; labels and mask may be NULL (nothing scored; all real).
 * Positions at the end of a row with neither mask nor label are padding and removed, unless
 * `keep_padding` (non-zero: compat). Other tokens with mask 0 stay, hidden from attention by
 * seq.mask. All arrays are copied. */
int dataset_from_matrix(struct dataset *d, enum role role, const int *ids, const int *labels,
                        const int *mask, int b, int t, int keep_padding, struct err *e);
/* Splits a long text, as MUSE and WMDP train on it: slices of `length` ids (the last one may be
 * shorter), each after `bos` unless that is -1. All tokens but the first of each are scored; a
 * slice without scored tokens is left out. */
int dataset_chunk(struct dataset *d, enum role role, const int *ids, size_t n, int length, int bos,
                  struct err *e);
/* Whether no token of example i is scored. */
bool dataset_is_unscored(const struct dataset *d, int i);
void dataset_fini(struct dataset *d);

#endif
