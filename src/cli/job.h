/* A training job from the command line: `train` and `forget` differ in their data options, and in
 * whether the method is chosen.
 */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "base/param.h"
#include "data/dataset.h"
#include "train/term.h"

struct job_options {
    const char *files[ROLE_COUNT]; /* data of each role; NULL: none */
    const char *question_key, *answer_key, *alternate_key;
    const char *prompts[HELPER_COUNT]; /* system turns of the expert and the novice; NULL: none */
    const char *concept;               /* what such prompts are made of; NULL: nothing */
    const char *alternate_pool;        /* answers of which one is drawn each time; NULL: none */
    const char *refused;               /* prompts that the model refuses; NULL: none */
    const char *ref;                   /* reference model; NULL: the model itself before training */
    const char *ref_adapter;           /* of that, where a stage has changed the model itself */
    const char *models[HELPER_COUNT];  /* those that learnt the forget data, or new data */
    int64_t chunk;                     /* tokens of a piece of plain text; 0: each row is one */
    const char *out, *dtype, *optimiser;
    bool scratch, json, save_adapter, overwrite;
};

struct job_command {
    const char *name, *usage, *about;
    const struct param *data; /* rows on struct job_options: files, reference */
    const char *method;       /* fixed; NULL: chosen by --method */
};

/* Reads the command line and the data, trains, saves the model with its tokenizer into --out,
 * prints a summary. Returns an exit status: an interrupt (Ctrl-C) saves a checkpoint, says how to
 * go on, and is STATUS_FAILED. */
int job_main(const struct job_command *c, int argc, char **argv);

#endif
