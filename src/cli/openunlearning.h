/* Coming from OpenUnlearning: its configurations as options of ours, and its names for them. A
 * configuration is what Hydra composes
 * (.hydra/config.yaml of a run, or `train.py --cfg job`), resolved or with ${a.b} within the file.
 */
#ifndef CLI_OPENUNLEARNING_H
#define CLI_OPENUNLEARNING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/* Whether a recipe is such a configuration. */
bool ou_is_config(const json_t *recipe);
/* The options of `command` ("train", "forget", "eval") that it sets, as a new object; what has no
 * counterpart is warned of, data of the hub are noted. */
json_t *ou_options(const json_t *config, const char *command, struct err *e);

/* The option that OpenUnlearning calls `name`: a key ("learning_rate", "trainer.args.seed") or a
 * name of its command line ("forget_split"); NULL: none. */
const char *ou_option(const char *name);
/* All of them, key by key. */
void ou_help(FILE *out);

#endif
