/* YAML files as JSON values, by libyaml, as OmegaConf (Hydra) reads them: plain scalars are null,
 * booleans (true, false), integers and numbers (also 1e-5), all else and what is quoted is text.
 * One document; no tags, no aliases; of equal keys the last one counts. A program that was built
 * without libyaml refuses every file.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

/* New references, owned by the caller. `what` names the text in messages. */
json_t *yaml_read_file(const char *path, struct err *e);
json_t *yaml_read_text(const char *text, size_t len, const char *what, struct err *e);

/* The value at "a.b.c", borrowed; NULL: there is none. */
const json_t *yaml_at(const json_t *root, const char *path);
/* A value with its references ${a.b} to texts, numbers and booleans of `root` replaced, as a new
 * one. */
json_t *yaml_resolve(const json_t *root, const json_t *v, struct err *e);

#endif
