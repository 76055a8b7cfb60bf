/* A metric beside the retrained model's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/ks.h"
#include "suites/kinds.h"

/* The p-value of the two means' rows. */
static int test_rows(const struct result *own, struct result *gold, double *p, struct err *e)
{
    struct ks ks;
    double *a = mem_alloc((size_t)own->n, sizeof *a, e);
    if (!a)
        return -1;
    for (int i = 0; i < own->n; i++)
        a[i] = own->values[i];
    int rc = ks_two_sample(a, stats_present(a, own->n), gold->values,
                           stats_present(gold->values, gold->n), &ks, e);
    free(a);
    *p = ks.p;
    return rc;
}

int suite_compare(const struct suite *s, const struct metric *m, struct result *own, json_t *line,
                  struct err *e)
{
    json_t *logged = json_object_get(s->retain_log, m->name);
    struct result gold = {0};
    double p = NAN;
    if (!logged)
        return 0;
    int rc = 0;
    if (own->values && m->kind->rescore && json_object_size(peer_rows(s->retain_log, m->name)))
        rc = m->kind->rescore(m, logged, &gold, e);
    if (!rc && gold.values && gold.n != own->n && !*own->note)
        snprintf(own->note, sizeof own->note, "the retrained model's log has %d rows, this one %d",
                 gold.n, own->n);
    if (!rc && gold.values)
        rc = test_rows(own, &gold, &p, e);
    result_fini(&gold);
    if (rc)
        return err_prefix(e, "the retrained model's log: ");
    if (json_object_set_new(line, "retrained",
                            peer_number(peer_aggregate(s->retain_log, m->name))) ||
        (!isnan(p) && json_object_set_new(line, "ks", peer_number(p))))
        return suite_no_memory(e);
    return 0;
}
