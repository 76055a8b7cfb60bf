/* What a training run is of: its data, its other models, its result. */
#ifndef RUN_CONFIG_H
#define RUN_CONFIG_H

#include "data/dataset.h"
#include "train/term.h"

struct run_options {
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

#endif
