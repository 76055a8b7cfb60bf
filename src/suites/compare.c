/* A metric beside the retrained model's. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/ks.h"
#include "suites/suite.h"

/* The values that are there, first; how many. */
static int present(double *v, int n)
{
    int k = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[k++] = v[i];
    return k;
}

/* The p-value of the two means' rows. */
static int test_rows(const struct result *own, const struct result *gold, double *p, struct err *e)
{
    struct ks ks;
    double *a = mem_alloc((size_t)own->n, sizeof *a, e);
    if (!a)
        return -1;
    for (int i = 0; i < own->n; i++)
        a[i] = own->values[i];
    int rc =
        ks_two_sample(a, present(a, own->n), gold->values, present(gold->values, gold->n), &ks, e);
    free(a);
    *p = ks.p;
    return rc;
}

int suite_compare(const struct suite *s, const struct metric *m, const struct result *own,
                  json_t *line, struct err *e)
{
    json_t *logged = json_object_get(s->retain_log, m->name);
    struct result gold = {0};
    double p = NAN;
    if (!logged)
        return 0;
    int rc = 0;
    if (own->values && m->kind->rescore && json_object_size(peer_rows(s->retain_log, m->name)))
        rc = m->kind->rescore(m, logged, &gold, e);
    if (!rc && gold.values)
        rc = test_rows(own, &gold, &p, e);
    json_decref(gold.json);
    free(gold.values);
    if (rc)
        return err_prefix(e, "the retrained model's log: ");
    if (json_object_set_new(line, "retrained",
                            peer_number(peer_aggregate(s->retain_log, m->name))) ||
        (!isnan(p) && json_object_set_new(line, "ks", peer_number(p))))
        return suite_no_memory(e);
    return 0;
}
