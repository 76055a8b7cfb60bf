/* The weight store: the files a checkpoint consists of, and its weights as f32. */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "model/model.h"

/* Reads m->cfg from config.json and generation_config.json, if there is one, of the directory
 * m->path; both stay in m, as what is saved has their other keys. */
int store_open_config(struct model *m, struct err *e);
/* Opens the tensor files of m->path into m->files: one file, model.safetensors, or the shards that
 * model.safetensors.index.json names. On failure nothing is left open. */
int store_open(struct model *m, struct err *e);
/* Fills m->w (and m->own or m->copies) from the files, checking presence, shape and finite values
 * of every weight. */
int store_load(struct model *m, bool writable, struct err *e);
/* One weight's numbers to memory[w->count], checked likewise. */
int store_read(const struct model *m, const struct weight *w, device float *memory, struct err *e);
/* Bytes that a model open for reading holds in addition to its files: of weights that those have in
 * another form. */
size_t store_copied(const struct model *m);
/* The tensor that holds this weight, or NULL: the file lacks it. */
const struct tensor *store_find(const struct model *m, const struct weight *w);

/* Warns of what the files hold and the decoder does not use (unused.c). */
int model_tell_unused(const struct model *m, struct err *e);

#endif
