#include "suites/suite.h"

#include <stdlib.h>

int suite_run(struct suite *s, struct err *e)
{
    for (const struct metric *m = s->metrics; m->name; m++) {
        json_t *result = NULL;
        if (m->compute(m, s, &result, e)) {
            json_decref(result);
            return err_prefix(e, "%s: ", m->name);
        }
        if (!result)
            continue;
        if (peer_log_add(&s->log, m->name, result, m->in_summary, e))
            return -1;
    }
    return 0;
}
