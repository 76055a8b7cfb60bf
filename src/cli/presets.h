/* --preset NAME: settings of published experiments, as defaults of train, forget and eval. Recipes
 * and flags override them.
 */
#ifndef CLI_PRESETS_H
#define CLI_PRESETS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/param.h"

/* Whether a command has any. */
bool preset_is_for(const char *command);
/* Its settings, in two lists that end with a NULL name; fails with an error that lists the names.
 */
int preset_find(const char *name, const char *command, const struct param_preset *lists[2],
                struct err *e);

#endif
