/* Guards: unlearning that leaves the weights as they are. Each is a row of one table and stands
 * between a model and who sends prompts to it: it may put text around the question, answer instead
 * of the model, change embeddings or hidden states, change the logits of the next token, or
 * withhold an answer. Several are joined by +, and act in that order at each of these points.
 *
 *     struct guards *g = guards_open("prefix:target=Mr Smith+output-filter:texts=forget.jsonl",
 *                                    &host, &e)
 *     m->guard = guards_hook(g)       model_generate and model_score go through it from now on
 *     guards_close(g)
 *
 * A server that runs its own sessions calls guard_begin, guard_prompt_seq, guard_logits and
 * guard_end for each request, and gives its session guards_taps.
 *
 * A guard leaves the weights alone: who has them has what was to be forgotten. And it may fire
 * where it should not: report how often it does on what is to be kept.
 *
 * To add a guard: a file with its parameters and what it does, and a row here.
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include <jansson.h>

#include "base/buf.h"
#include "base/table.h"
#include "model/guarded.h"
#include "text/ids.h"
#include "text/qa.h"
#include "text/tokenizer.h"

/* The model that is guarded. All borrowed; they must outlive the guards. */
struct guard_host {
    struct model *model;
    const struct tokenizer *tok; /* NULL: token ids only; guards that read text are refused */
    struct qa_format *qa;        /* how conversations are written; NULL with tok */
    /* Opens another model with the same vocabulary; NULL: none can be opened. */
    int (*open_model)(void *ctx, struct model *m, const char *name, struct err *e);
    void *ctx;
};

struct guards;
struct guard_part;

/* A prompt on its way through the guards, and what they did with it. */
struct guard_prompt {
    int index;                        /* of the prompt in its call: seeds noise */
    struct seq seq;                   /* borrowed: as it was asked for */
    char *text;                       /* owned: the question, without the template */
    struct buf system, before, after; /* texts for the system message, and around the question */
    char *answer;                     /* owned: answered instead of the model; NULL: it answers */
    uint32_t fired;                   /* bit i: guard i did something that depends on the prompt */
    int soft;                         /* places for vectors in front of the question */
    json_t *notes;                    /* owned: [{"guard", "action", "why"}] */
    struct ids ids;                   /* owned: the prompt as the model reads it ... */
    uint8_t *mask;                    /* owned, or NULL */
    int from, to;                     /* ... in which the question and texts around it are here */
};

/* What a guard taps: tokens first..first+n-1 of a prompt with its answer so far, x [n,C]. */
struct guard_view {
    const struct guard_prompt *q;
    int first, n;
    bool forced; /* the answer is given, and scored: it is there with the prompt */
};

struct guard {
    ROW_FIELDS;
    const char *help, *paper; /* paper NULL: none introduced it */
    const char *formula;      /* what it does, in one line */
    const char *access; /* what it needs of the model: black box, logits, embeddings, states */
    const char *cost;   /* time of an answer with it: "x2", "+ the prefix's tokens" */
    const char *verified;
    bool reads_text; /* it needs the tokenizer */
    /* State from the parameters, p->state, which close releases; either may be NULL. */
    int (*open)(struct guard_part *p, struct err *e);
    void (*close)(struct guard_part *p);
    /* Before the model: may add to q->system, before, after, or set q->answer. NULL: nothing. */
    int (*prompt)(struct guard_part *p, struct guard_prompt *q, struct err *e);
    /* After it: *held gets whether the answer is withheld; what is said then is guard_refusal.
     * NULL: never. */
    int (*output)(struct guard_part *p, struct guard_prompt *q, const char *text, bool *held,
                  struct err *e);
    /* In the forward, at this place and layer: changes x [n,C] of one sequence. NULL: nothing. */
    int (*tap)(struct guard_part *p, const struct guard_view *v, float *x, struct err *e);
    enum place place;
    int (*layer)(const struct guard_part *p); /* of the tap; NULL: the place has none */
    /* May change z [V], from which the token after ids[n] of the answer is chosen. NULL: nothing.
     */
    int (*logits)(struct guard_part *p, struct guard_prompt *q, const int *ids, int n, float *z,
                  struct err *e);
};

extern const struct guard *const guards[];

/* A guard in use. */
struct guard_part {
    const struct guard *row;
    struct choice choice;          /* owned: row and parameters */
    const struct guard_host *host; /* borrowed */
    void *state;                   /* owned, by the row's close */
    const char *dir;               /* borrowed: of the file that it is from; NULL: none */
    int number;                    /* its place, from 0 */
    long fired;                    /* how often it did */
};

/* Opens the guards of `text`: NAME[:PARAMETER=VALUE,...] joined by +, where a backslash before , or
 * + makes it part of a value; or a file that guards_save wrote. NULL and an error otherwise. */
struct guards *guards_open(const char *text, const struct guard_host *host, struct err *e);
void guards_close(struct guards *g);
/* Parsed only, for checks of the text: nothing of the model is needed. */
int guards_check(const char *text, struct err *e);
/* Writes a file that guards_open reads: {"format": "unlearn guard", "guards": [{"name", ...}]}. */
int guards_save(const struct guards *g, const char *path, struct err *e);
/* Of m->guard. Counts prompts and what fired. */
struct model_guard *guards_hook(struct guards *g);
/* New: {"prompts", "fired", "guards": [{"guard", options ..., "fired"}]}. NULL: no memory. */
json_t *guards_report(const struct guards *g, struct err *e);
/* The notes on the prompts of the last generation or scoring, an array of arrays; borrowed. */
const json_t *guards_notes(const struct guards *g);

/* How often the guards fire on prompts (the tokens before the first label) without asking the model
 * for answers, and on how many of the others they would withhold the answer that is labelled. */
struct guard_count {
    int prompts, fired, withheld;
};
int guards_count(struct guards *g, const struct seq *seqs, int n, struct guard_count *out,
                 struct err *e);

/* --- one request --- */

/* Takes the prompt through the guards. q is filled in; guard_end is due in every case. */
int guard_begin(struct guards *g, const struct seq *prompt, int index, struct guard_prompt *q,
                struct err *e);
/* The prompt as the model reads it; unless q->answer is set. Borrowed from q. */
struct seq guard_prompt_seq(const struct guard_prompt *q);
/* Whether the answer `text` is withheld: then q->answer is what is said. */
int guard_output(struct guards *g, struct guard_prompt *q, const char *text, bool *held,
                 struct err *e);
void guard_end(struct guard_prompt *q);
/* Taps for passes over prompts q[of[i]]; NULL: no guard taps. `forced` as in struct guard_view. */
const struct pass_taps *guards_taps(struct guards *g, struct guard_prompt *q, bool forced);
/* After those passes: whether a tap failed. */
int guards_tapped(struct guards *g, struct err *e);
/* Changes z [V] before the token after ids[n] of an answer is chosen. */
int guard_logits(struct guards *g, struct guard_prompt *q, const int *ids, int n, float *z,
                 struct err *e);
/* Whether some guard does. */
bool guards_change_logits(const struct guards *g);
/* The ids of an answer, with the end token if there is one, at most `most`. */
int guard_answer_ids(const struct guards *g, const char *text, int most, struct ids *out,
                     struct err *e);

/* --- for guards --- */

/* Notes that a guard did something, which depends on the prompt: "refused", "corrupted". */
int guard_note(struct guard_part *p, struct guard_prompt *q, const char *action, struct err *e,
               const char *why, ...) __attribute__((format(printf, 5, 6)));
/* The text with each {target} replaced; owned by the caller. */
char *guard_fill(const char *text, const char *target, struct err *e);
/* What is answered where a guard withholds the model's answer. */
#define GUARD_REFUSAL "I'm sorry, but I can't help with that."

#endif
