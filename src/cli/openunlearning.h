/* Coming from OpenUnlearning: its configurations as options of ours, its names for
 * them, and its published settings as presets. A configuration is what Hydra composes
 * (.hydra/config.yaml of a run, or `train.py --cfg job`), resolved or with ${a.b} within the file.
 */
#ifndef CLI_OPENUNLEARNING_H
#define CLI_OPENUNLEARNING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/param.h"

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

/* --preset NAME: settings of published experiments, as defaults of train, forget and eval. Recipes
 * and flags override them. */

/* Whether a command has any. */
bool preset_is_for(const char *command);
/* Its settings, in two lists that end with a NULL name; fails with an error that lists the names.
 */
int preset_find(const char *name, const char *command, const struct param_preset *lists[2],
                struct err *e);

#endif
