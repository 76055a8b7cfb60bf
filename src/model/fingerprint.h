/* Which model it is: a hash of its configuration and of every weight as it computes with them, so
 * that it does not matter what the file is called, or when it was written.
 */
#ifndef MODEL_FINGERPRINT_H
#define MODEL_FINGERPRINT_H

#include <stdint.h>

#include "model/model.h"

int model_fingerprint(const struct model *m, uint64_t *out, struct err *e);

#endif
