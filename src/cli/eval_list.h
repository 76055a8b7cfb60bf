/* What `unlearn eval` can measure, on standard output. */
#ifndef CLI_EVAL_LIST_H
#define CLI_EVAL_LIST_H

#include <stdbool.h>

/* All suites and kinds of metrics; the latter alone as a Markdown table. */
void eval_list(bool markdown);

#endif
