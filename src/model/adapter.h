/* PEFT's adapter files, as lora_merge.c reads them: what adapter_config.json asks for of each
 * module, and which weight each tensor of adapter_model.safetensors is for. A module is named as
 * PyTorch names it: a weight's name without ".weight". PEFT 0.15.2 is the reference.
 */
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H

#include "base/json.h"
#include "base/regex.h"
#include "model/model.h"

/* --- adapter_config.json (adapter_config.c) --- */

/* Which part of a weight the first A and B stand for; loading takes it from the weight. */
enum adapter_init { ADAPTER_NO_PART, ADAPTER_PISSA, ADAPTER_OLORA };

/* A list of last parts of names, or a pattern for whole names; neither: not given. */
struct adapter_names {
    const json_t *list; /* borrowed */
    struct pattern pattern;
    bool all_linear;
};

/* Patterns with a number each, of which the first that matches counts. */
struct adapter_numbers {
    struct pattern *patterns; /* owned */
    double *values;           /* owned */
    int n;
};

struct adapter_config {
    json_t *json; /* owned */
    int64_t rank;
    double alpha;
    bool rslora, dora, bias;
    enum adapter_init init;
    struct adapter_names targets, excluded;
    struct adapter_numbers ranks, alphas;
    const json_t *saved;           /* modules_to_save; borrowed, may be NULL */
    const json_t *layers;          /* layers_to_transform; borrowed, NULL: all */
    struct pattern *layer_numbers; /* owned: each finds the number of a layer in a name */
    int n_layer_numbers;
};

/* What cannot be merged right is refused by name; keys that are not known are a warning. */
int adapter_config_read(struct adapter_config *c, const char *path, struct err *e);
/* The same of a parsed file, a reference that becomes the configuration's also on failure. */
int adapter_config_parse(struct adapter_config *c, json_t *json, struct err *e);
void adapter_config_fini(struct adapter_config *c);
/* *yes: whether PEFT puts an adapter on the module of this weight, a matrix. */
int adapter_config_targets(const struct adapter_config *c, const struct weight *w, bool *yes,
                           struct err *e);
int adapter_config_scale(const struct adapter_config *c, const struct weight *w, int *rank,
                         double *scale, struct err *e);
/* Whether modules_to_save names the module of this weight or bias, or one that holds it. */
bool adapter_config_saves(const struct adapter_config *c, const struct weight *w);
/* The rows of an embedding that trainable_token_indices gives: the array, or NULL. */
const json_t *adapter_config_tokens(const struct adapter_config *c, const struct weight *w);

/* --- adapter_model.safetensors (adapter_file.c) --- */

/* What there is for one weight or bias; tensors are borrowed from the file. */
struct adapter_part {
    const struct tensor *a, *b;  /* of a linear layer [r,in], [out,r]; of embeddings [r,V], [C,r] */
    const struct tensor *b_bias; /* [out] */
    const struct tensor *magnitude; /* [out]; of embeddings [C] */
    const struct tensor *base;      /* stands in for the weight under its adapter */
    const struct tensor *whole;     /* stands in for the weight */
    const struct tensor *tokens;    /* stands in for some of its rows */
    int rank;
    double scale;
};

struct adapter_file {
    struct adapter_config config;
    struct tensor_file tensors;
    struct model_config shape;  /* the model's, with a head of its own if its family can have one */
    struct weight_table table;  /* of this shape */
    struct adapter_part *parts; /* owned [table.n] */
};

/* Opens and checks all of it against the model; nothing is computed. */
int adapter_open(struct adapter_file *f, const struct model *m, const char *dir, struct err *e);
/* The last part of opening: config and tensors are there. */
int adapter_place(struct adapter_file *f, const struct model *m, struct err *e);
void adapter_close(struct adapter_file *f);
/* Embeddings: an adapter's A and B are transposed. */
bool adapter_is_embedding(const struct weight *w);
/* A tensor with a row for each of w's, in the order of memory; owned by the caller. */
float *adapter_rows(const struct model *m, const struct weight *w, const struct tensor *t,
                    struct err *e);
/* The tied embedding and head are no longer the same with this adapter. */
bool adapter_unties(const struct adapter_file *f);

#endif
