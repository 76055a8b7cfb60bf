/* Masks as files: safetensors with `mask.NAME` for each parameter by its Hugging Face name, U8, one
 * bit an element, packed along the last dimension as numpy.packbits(axis=-1, bitorder='little')
 * packs it, 1 where the element may change; or a byte an element, in the parameter's own shape.
 * Optionally `score.NAME`, F32. doc/formats.md has all of it.
 */
#ifndef LOCATE_MASK_FILE_H
#define LOCATE_MASK_FILE_H

#include "locate/scores.h"

/* `bytes`: a byte an element. Scores are left out where `s` is NULL. */
int mask_save(const struct model *m, const uint64_t *bits, bool bytes, const struct scoring *s,
              const struct locator *l, const char *path, struct err *e);
/* *bits [mask_words], owned by the caller. Elements of parameters that the file does not have may
 * not change. Refuses parameters that the model does not have, and other shapes, naming them. */
int mask_load(const struct model *m, uint64_t **bits, const char *path, struct err *e);

#endif
