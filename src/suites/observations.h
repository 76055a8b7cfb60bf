/* Observations of a model that a suite needs, gathered before any metric is computed: each sequence
 * runs once however many metrics use it, and all sequences in one call, so that answers to the same
 * question share its prefix and generations fill batches.
 */
#ifndef SUITES_OBSERVATIONS_H
#define SUITES_OBSERVATIONS_H

#include "eval/backend.h"

enum need {
    NEED_LOGP = 1,         /* log-probabilities of the answers */
    NEED_DISTRIBUTION = 2, /* with mean and variance of log p and ranks */
    NEED_ANSWERS = 4,      /* generated answers */
    NEED_GRADNORM = 8,
    NEED_REFERENCE = 16, /* log-probabilities by the reference model */
    NEED_LOWER = 32,     /* log-probabilities of the answers in lower case */
    NEED_JUDGE = 64,     /* perplexity of generated answers under the reference model */
    NEED_TEXT = 128,     /* only the sequences */
    NEED_SECOND = NEED_REFERENCE | NEED_JUDGE /* needs the reference model */
};

/* Prompt and generation settings of one data set; all borrowed. */
struct prompt_settings {
    const char *question;      /* field of the prompt; NULL: plain texts */
    bool continued;            /* prompt and answer are one text  */
    struct answer_limit limit; /* of generated answers */
};

/* One field of one data set. */
struct observed {
    const struct rows *rows; /* borrowed */
    struct prompt_settings how;
    const char *answer;   /* borrowed: the field with the answer or the list of answers */
    unsigned needs;       /* bits of enum need */
    struct dataset d;     /* owned: one sequence per answer, rows in order */
    struct dataset lower; /* the same with answers in lower case, if needed */
    struct score *scores; /* [d.n] borrowed from the observations; so are those below */
    struct score *reference;
    struct score *lower_scores;
    double *norms;
    double *perplexities;
    struct answer
        *answers; /* `whole` is the reference answer only, `answer` is cut at the end token */
};

struct observations {
    struct observed *v; /* owned [n] */
    int n;
    /* Concatenated over all fields that need them; so are norms and answers. */
    struct scores scores, reference, lower_scores;
    double *norms, *perplexities; /* owned */
    struct answer *answers;       /* owned [n_answers] */
    int n_answers;
};

struct observer {
    const struct encoder *encoder;
    const struct backend *model;
    const struct backend *reference; /* NULL: none, nothing may need it */
};

/* The sequences of a field of rows. */
int observations_dataset(struct dataset *d, const struct rows *rows,
                         const struct prompt_settings *how, const char *answer,
                         const struct encoder *encoder, struct err *e);

/* Room for `most` fields; observations_fini is due also after a failure. */
int observations_init(struct observations *v, int most, struct err *e);
/* Notes what is needed of a field; there must be room if it is a new one. */
void observations_want(struct observations *v, const struct rows *rows,
                       const struct prompt_settings *how, const char *answer, unsigned needs);
/* Builds all sequences and runs the model. */
int observations_gather(struct observations *v, const struct observer *from, struct err *e);
/* NULL: not requested. */
const struct observed *observations_find(const struct observations *v, const struct rows *rows,
                                         const char *answer);
/* Number of answers from i on that belong to the row of answer i; whether the row holds a list. */
int observed_answers(const struct observed *x, int i);
bool observed_has_list(const struct observed *x, int i);
void observations_fini(struct observations *v);

#endif
