/* Prompts that ask for the same answer in another way. A template is a user turn, and maybe a
 * system turn and the beginning of the assistant's turn, with slots in braces:
 *
 *     {q} {a} {s}      the question, the answer, the subject (a field of the row)
 *     {L}              the question in the template's cipher; {rule}: how to undo it
 *     {a:N} {a:half}   the first N tokens of the answer, or half of them
 *     {gap}            the answer without its key words: those that the question lacks
 *     {about}          the answer without the subject
 *     {options}        four answers, A to D: the true one and three wrong ones
 *     {proposed}       the true answer or a wrong one
 *     {filler:N}       N characters of unrelated text
 *     {FIELD} {FIELD.I}  any other field of the row, or element I of a list
 */
#ifndef ATTACK_TEMPLATES_H
#define ATTACK_TEMPLATES_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/tokenizer.h"

enum template_kind {
    TEMPLATE_PLAIN,
    TEMPLATE_TELLS,      /* it holds the answer or a part of it: reported, not in the worst case */
    TEMPLATE_OPTIONS,    /* likewise; the answer is a letter */
    TEMPLATE_TRUE_FALSE, /* likewise; Yes or No */
};

struct prompt_template {
    const char *name, *user;
    const char *prefix; /* the assistant's turn begins with it; NULL: with nothing */
    const char *system; /* NULL: as the run has it */
    const char *cipher; /* NULL: none */
    enum template_kind kind;
};

extern const struct prompt_template prompt_templates[]; /* up to one without a name */

/* What stands in the slots; all borrowed. */
struct prompt_slots {
    const json_t *row;
    const char *question, *answer;
    const char *subject_key, *wrong_key; /* fields of the subject and of wrong answers */
    const struct tokenizer *tokenizer;
    const char *cipher;
    uint64_t seed; /* of the row: the order of options, the coin of {proposed} */
};

enum { SLOT_MISSING = 1 };

/* Appends the text with its slots filled in. SLOT_MISSING: the row has no such field, which the
 * error names; -1: a failure. */
int prompt_fill(const struct prompt_slots *s, const char *text, struct buf *out, struct err *e);
/* Appends the answer that is wanted. */
int prompt_answer(const struct prompt_slots *s, enum template_kind kind, struct buf *out,
                  struct err *e);

#endif
