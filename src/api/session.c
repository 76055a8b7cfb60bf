/* Sessions of the library (unlearn.h): model/session.h, whose arguments are checked here. */
#include "api/engine.h"
#include "base/mem.h"
#include "model/session.h"

struct unlearn_session {
    struct session s;
    const struct unlearn_engine *g; /* borrowed */
    int vocab;
};

int unlearn_session_new(struct unlearn_session **out, struct unlearn_engine *g, int slots,
                        int max_len, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    const int positions = g->s.model.cfg.positions;
    *out = NULL;
    if (slots < 1 || max_len < 1 || max_len > positions) {
        err_about(&own, NULL, "a session of %d slots of %d tokens: at least one slot, of 1 to %d",
                  slots, max_len, positions);
        return api_fail(e, &own);
    }
    struct unlearn_session *s = mem_alloc(1, sizeof *s, &own);
    if (!s || session_init(&s->s, &g->s.model, slots, max_len, &own)) {
        free(s);
        return api_fail(e, &own);
    }
    s->g = g;
    s->vocab = g->s.model.cfg.vocab;
    *out = s;
    return 0;
}

static int check_ids(const struct unlearn_session *s, int slot, const int *ids, int n,
                     struct err *e)
{
    if (slot < 0 || slot >= s->s.slots)
        return err_about(e, NULL, "there is no slot %d: 0 to %d", slot, s->s.slots - 1);
    if (n < 1 || n > s->s.max_len)
        return err_about(e, NULL, "%d tokens do not go into a slot: 1 to %d", n, s->s.max_len);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->vocab)
            return err_about(e, NULL, "token %d is %d, which the model does not have: 0 to %d", i,
                             ids[i], s->vocab - 1);
    return 0;
}

int unlearn_session_sync(struct unlearn_session *s, int slot, const int *ids, int n, float *logits,
                         struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    const struct seq q = {.n = n, .ids = ids};
    engine_begin(&call, s->g, NULL);
    const int rc = check_ids(s, slot, ids, n, &own) || session_sync(&s->s, &slot, &q, 1, &own);
    if (!rc)
        ops_read(s->s.m->ops, logits, session_logits(&s->s, 0), (size_t)s->vocab);
    return api_end(&call, rc, e, &own);
}

int unlearn_session_length(const struct unlearn_session *s, int slot)
{
    return slot < 0 || slot >= s->s.slots ? 0 : s->s.len[slot];
}

int unlearn_session_fork(struct unlearn_session *s, int from, int to, int n,
                         struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    if (from >= 0 && from < s->s.slots && to >= 0 && to < s->s.slots && from != to && n >= 0 &&
        n <= s->s.len[from]) {
        session_fork(&s->s, from, to, n);
        return 0;
    }
    err_about(&own, NULL, "slot %d does not have %d tokens to copy to slot %d of %d", from, n, to,
              s->s.slots);
    return api_fail(e, &own);
}

void unlearn_session_free(struct unlearn_session *s)
{
    if (s)
        session_fini(&s->s);
    free(s);
}
