/* What `unlearn info` found, as JSON (cmd_info.c) and as text (info_text.c). */
#ifndef CLI_INFO_H
#define CLI_INFO_H

#include "run/data.h"
#include "model/lora.h"

struct info_options {
    struct setup_options setup; /* of conversations and the model's word */
    struct run_options run;     /* fields of the rows */
    int64_t batch, length, lora_rank;
    const char *data;
    bool recompute;
    const char *memory;
    uint64_t most; /* its bytes; 0: not given */
    bool all, json;
};

/* Weights of all layers that have the same place, shape and storage type. */
struct info_group {
    int first; /* in the table */
    int n;
    enum dtype dtype; /* DT_COUNT: the files lack them */
};

struct info {
    struct setup s;
    const char *chat;          /* the chat template that its own renders like; NULL: it has none */
    struct lora_facts adapter; /* zeros: none was named */
    size_t file_bytes;
    json_t *data;              /* owned: what is in the rows of --data; NULL: none was given */
    struct info_group *groups; /* owned */
    int n_groups;
};

/* That fits into o->most. */
int info_largest_batch(const struct model *m, const struct info_options *o, enum memory_job job);
int info_print(const struct info *in, const struct info_options *o, struct err *e);

/* "model.layers.*.mlp.up_proj.weight": the name of all weights of that place, in `name`. */
enum { INFO_NAME = 128 };
void info_pattern(const struct weight *w, char name[INFO_NAME]);

extern const char *const info_format_name[], *const info_rope_name[], *const info_act_name[];

#endif
