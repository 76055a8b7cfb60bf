/* Any text as a bound and as a value; what is accepted is computed. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "run/expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double look_up(void *ctx, const struct expression_name *n)
{
    (void)ctx;
    BUG_ON(!n->metric || !*n->metric || n->whose >= WHOSE_COUNT || n->part >= FIGURE_PARTS);
    return n->metric[0] == 'x' ? NAN : 0.5;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {.msg = ""};
    char *text = mem_strndup((const char *)data, size, &e);
    struct expression x;
    for (enum expression_kind k = EXPRESSION_VALUE; k <= EXPRESSION_BOUND; k++) {
        if (expression_read(&x, text, k, &e)) {
            BUG_ON(!*e.msg);
        } else if (k == EXPRESSION_BOUND) {
            const struct bound_state s = expression_bound(&x, look_up, NULL);
            BUG_ON(s.held && (!s.known || s.excess != 0));
        } else {
            (void)expression_value(&x, look_up, NULL);
        }
        expression_fini(&x);
    }
    free(text);
    return 0;
}
