#include "suites/batch.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "suites/peer_json.h"

int batch_ask(struct batch *b, const struct suite_task *t, const struct rows *rows,
              const struct rows *shots, int n_shots, const struct asked *who, struct err *e)
{
    double start = log_seconds();
    if (questions_build(&b->q, t->layouts, t->subject, rows, shots, n_shots, e) ||
        !(b->s = mem_alloc((size_t)b->q.n, sizeof *b->s, e)) ||
        choice_score(b->s, &b->q, who->tok, who->model, who->positions, e))
        return -1;
    b->seconds = log_seconds() - start;
    return 0;
}

json_t *batch_sample(const struct batch *b, int i)
{
    const struct question *q = &b->q.v[i];
    const struct choice_score *s = &b->s[i];
    json_t *logp = json_array();
    for (int c = 0; c < s->n; c++)
        json_array_append_new(logp, peer_number(s->logp[c]));
    return json_pack("{s:i, s:i, s:o, s:f, s:f, s:O*}", "doc_id", q->row, "target", q->gold,
                     "resps", logp, "acc", s->acc, "acc_norm", s->acc_norm, "chosen",
                     json_array_get(b->q.task->classes, (size_t)s->best));
}

void batch_fini(struct batch *b)
{
    if (b->s)
        choice_scores_free(b->s, b->q.n);
    free(b->s);
    questions_fini(&b->q);
    *b = (struct batch){.s = NULL};
}
