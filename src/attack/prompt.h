/* The prompts of the attack `prompt`: a list of settings, each of which makes one prompt of every
 * example. A prompt is a JSON object {question, prefix, answer, tells}: the question a text or the
 * turns of a conversation, the prefix what the assistant's turn begins with (missing: nothing).
 */
#ifndef ATTACK_PROMPT_H
#define ATTACK_PROMPT_H

#include "attack/attack.h"
#include "attack/templates.h"

struct prompt_params {
    const char *templates, *file, *follow_up, *translations;
    const char *subject_key, *wrong_key, *paraphrase_key, *entity_key, *shots, *sets;
    int64_t max_new_tokens;
};

enum prompt_source {
    PROMPT_TEMPLATE,
    PROMPT_PARAPHRASE, /* k: which */
    PROMPT_RETAIN_SHOTS,
    PROMPT_FORGET_SHOTS,
    PROMPT_MIXED_SHOTS, /* k: how many */
    PROMPT_LANGUAGE,
    PROMPT_FOLLOW_UP, /* the plain question; the file's turns come after the model's answers */
    PROMPT_GIVEN,     /* of a replayed attack */
};

struct prompt_setting {
    char name[48];
    enum prompt_source source;
    const struct prompt_template *t; /* borrowed; NULL: the plain question */
    int k;
};

struct prompt_list {
    const struct prompt_params *p;
    struct attack_run *a;
    struct prompt_setting *v; /* owned [n] */
    int n;
    size_t cap;
    struct rows own_rows, turns, translations, given; /* of files; n = 0: none */
    struct prompt_template *own;                      /* owned [own_rows.n] */
    bool all; /* nothing is named: what rows cannot fill in is left out */
};

/* Fails for names that do not exist. prompt_list_fini in every case. */
int prompt_list_init(struct prompt_list *l, struct attack_run *a, const struct prompt_params *p,
                     struct err *e);
void prompt_list_fini(struct prompt_list *l);
/* A new array of prompts, one for each example of a set. SLOT_MISSING: a row lacks what is needed,
 * which the error names. */
int prompt_rows(const struct prompt_list *l, const struct prompt_setting *s, enum attack_set set,
                json_t **rows, struct err *e);
/* The same after the model's answers texts[n] and the next turn, a template of the file. */
int prompt_next_turn(const struct prompt_list *l, int turn, enum attack_set set, json_t *rows,
                     const char *const *texts, struct err *e);

#endif
