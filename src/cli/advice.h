/* Which option mends an error: what the floors below name as its subject, put in terms of flags.
 */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "base/err.h"

/* "give --forget FILE" in text[room]; "" if no option would help. */
const char *advice_of(const struct err *e, char *text, size_t room);

#endif
