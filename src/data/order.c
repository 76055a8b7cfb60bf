#include "data/order.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

/* About a gigabyte. */
#define MOST_MICROS (1 << 22)

/* Roles draw in this order for each example: the peer's pair is (forget, its other answer), then
 * retain. */
static const enum role draw_order[ROLE_COUNT] = {
    ROLE_FORGET,    ROLE_ALTERNATE, ROLE_RETAIN, ROLE_RETAIN_ALTERNATE,
    ROLE_NEIGHBOUR, ROLE_HOLDOUT,   ROLE_GENERIC};

static int times_of(const struct pairing *pairs, int role)
{
    return pairs && pairs[role].pool ? pairs[role].times : 1;
}

static int micro_init(struct micro *m, const int counts[ROLE_COUNT], const struct pairing *pairs,
                      int n, struct err *e)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        size_t rows = (size_t)n * (size_t)times_of(pairs, role);
        if (!counts[role])
            continue;
        m->rows[role] = mem_alloc(rows, sizeof *m->rows[role], e);
        if (!m->rows[role])
            return -1;
        m->n[role] = (int)rows;
    }
    return 0;
}

/* Place i of a role that follows another. */
static void follow(struct micro *m, enum role role, const struct pairing *p, int i,
                   struct rng *draws)
{
    int leader = m->rows[p->of][i];
    for (int k = 0; k < p->times; k++)
        m->rows[role][i * p->times + k] =
            leader * p->pool + (p->pool > 1 ? (int)rng_below(draws, (uint32_t)p->pool) : 0);
}

/* Places 0..n-1 of the micro-batch: the anchor's rows are given, the others are drawn or follow. */
static void micro_fill(struct micro *m, enum role anchor, const int *anchor_rows,
                       const int counts[ROLE_COUNT], const struct pairing *pairs, struct rng *draws)
{
    for (int i = 0; i < m->n[anchor]; i++) {
        for (int k = 0; k < ROLE_COUNT; k++) {
            enum role role = draw_order[k];
            if (!m->rows[role])
                continue;
            if (role == anchor)
                m->rows[role][i] = anchor_rows[i];
            else if (pairs && pairs[role].pool && m->rows[pairs[role].of])
                follow(m, role, &pairs[role], i, draws);
            else
                m->rows[role][i] = (int)rng_below(draws, (uint32_t)counts[role]);
        }
    }
}

static int check_counts(const int counts[ROLE_COUNT], enum role anchor, const struct pairing *pairs,
                        int batch, int epochs, struct err *e)
{
    int n = counts[anchor];
    if (n <= 0)
        return err_set(e, "the role '%s' has no examples to go through", role_name[anchor]);
    if (batch <= 0 || epochs <= 0)
        return err_set(e, "batch size %d and epochs %d must be at least 1", batch, epochs);
    if ((n - 1) / batch + 1 > MOST_MICROS / epochs)
        return err_set(
            e, "%d epochs of %d examples are too many: an order has at most %d micro-batches",
            epochs, n, MOST_MICROS);
    for (int role = 0; pairs && role < ROLE_COUNT; role++) {
        const struct pairing *p = &pairs[role];
        if (p->pool && counts[role] && counts[p->of] && counts[role] / p->pool != counts[p->of])
            return err_set(e, "%d examples of the role '%s' cannot follow %d of '%s' one by one",
                           counts[role], role_name[role], counts[p->of], role_name[p->of]);
    }
    return 0;
}

static int draw_all(struct order *o, const int counts[ROLE_COUNT], enum role anchor,
                    const struct pairing *pairs, int batch, unsigned seed, int taken,
                    int *permutation, struct err *e)
{
    struct rng draws, shuffle;
    int n = counts[anchor], ahead = o->per_epoch < 2 ? 1 : 2;
    rng_stream(&draws, seed, RNG_DRAW, 0);
    for (int k = 0; k < o->n; k++) {
        int at = k % o->per_epoch * batch;
        if (at == 0) {
            rng_stream(&shuffle, seed, RNG_ORDER, (uint32_t)(k / o->per_epoch));
            rng_permutation(&shuffle, permutation, n);
            rng_u32(&draws); /* a loader's start takes a 64-bit seed from the global stream */
            rng_u32(&draws);
        }
        if (micro_init(&o->micro[k], counts, pairs, n - at < batch ? n - at : batch, e))
            return -1;
        micro_fill(&o->micro[k], anchor, permutation + at, counts, pairs, &draws);
        for (int i = 0; i < taken && k + 1 == ahead; i++)
            rng_u32(&draws);
    }
    return 0;
}

int order_draw(struct order *o, const int counts[ROLE_COUNT], enum role anchor,
               const struct pairing *pairs, int batch, int epochs, unsigned seed, int taken,
               struct err *e)
{
    *o = (struct order){0};
    if (check_counts(counts, anchor, pairs, batch, epochs, e))
        return -1;
    int *permutation = mem_alloc((size_t)counts[anchor], sizeof *permutation, e);
    if (!permutation)
        return -1;
    o->per_epoch = (counts[anchor] - 1) / batch + 1;
    o->micro = mem_alloc((size_t)o->per_epoch * (size_t)epochs, sizeof *o->micro, e);
    o->n = o->micro ? o->per_epoch * epochs : 0;
    int rc = o->micro ? draw_all(o, counts, anchor, pairs, batch, seed, taken, permutation, e) : -1;
    free(permutation);
    if (rc)
        order_fini(o);
    return rc;
}

bool order_is_turn(const struct order *o, int epoch)
{
    return epoch % 2 == 0 && epoch / 2 < o->turns;
}

int order_epoch_start(const struct order *o, int epoch)
{
    int turns = (epoch + 1) / 2 < o->turns ? (epoch + 1) / 2 : o->turns;
    return turns * o->per_turn + (epoch - turns) * o->per_epoch;
}

int order_epoch(const struct order *o, int k)
{
    int both = o->per_turn + o->per_epoch;
    if (o->turns > 0 && k / both < o->turns)
        return k / both * 2 + (k % both >= o->per_turn);
    return 2 * o->turns + (k - o->turns * both) / o->per_epoch;
}

int order_shape_turns(struct order *o, int turns, int per_turn, int per_epoch, int accumulate,
                      struct err *e)
{
    int least = per_turn < per_epoch ? per_turn : per_epoch;
    if (least < accumulate)
        return err_about(e, "accumulate",
                         "epochs that take turns consist of whole steps, and one has only %d "
                         "micro-batches",
                         least),
               err_range(e, 1, least);
    *o = (struct order){.turns = turns,
                        .per_turn = per_turn / accumulate * accumulate,
                        .per_epoch = per_epoch / accumulate * accumulate};
    return 0;
}

int order_take_turns(struct order *o, struct order *first, struct order *then, int epochs,
                     struct err *e)
{
    int n = order_epoch_start(o, epochs), nth[2] = {0};
    if (!(o->micro = mem_alloc((size_t)n, sizeof *o->micro, e)))
        return -1;
    for (int epoch = 0; epoch < epochs; epoch++) {
        bool turn = order_is_turn(o, epoch);
        struct order *from = turn ? first : then;
        int at = nth[turn]++ * from->per_epoch;
        for (; o->n < order_epoch_start(o, epoch + 1); o->n++, at++) {
            BUG_ON(at >= from->n);
            o->micro[o->n] = from->micro[at];
            from->micro[at] = (struct micro){0};
        }
    }
    return 0;
}

static int read_micro(struct micro *m, const struct rows *r, int i, const int counts[ROLE_COUNT],
                      const bool *used, struct err *e)
{
    const char *key;
    json_t *list;
    int some = 0;
    json_object_foreach(r->v[i], key, list)
    {
        enum role role = role_by_name(key);
        if (role == ROLE_COUNT)
            return rows_err(r, i, e, "'%s' is no role", key);
        struct err why;
        if (json_need_ids(r->v[i], key, &m->rows[role], &m->n[role], &why))
            return rows_err(r, i, e, "%s", why.msg);
        for (int k = 0; k < m->n[role]; k++)
            if (m->rows[role][k] >= counts[role])
                return rows_err(r, i, e, "there is no example %d among the %d of the role '%s'",
                                m->rows[role][k], counts[role], key);
        if (used && !used[role]) {
            free(m->rows[role]);
            m->rows[role] = NULL;
            m->n[role] = 0;
        }
        some += m->n[role];
    }
    return some ? 0 : rows_err(r, i, e, "the micro-batch is empty");
}

int order_read(struct order *o, const char *path, const int counts[ROLE_COUNT], const bool *used,
               struct err *e)
{
    struct rows r;
    *o = (struct order){0};
    if (rows_open(&r, path, e))
        return -1;
    o->micro = mem_alloc((size_t)r.n, sizeof *o->micro, e);
    int rc = o->micro ? 0 : -1;
    if (!rc)
        o->n = o->per_epoch = r.n;
    for (int i = 0; !rc && i < r.n; i++)
        rc = read_micro(&o->micro[i], &r, i, counts, used, e);
    rows_close(&r);
    if (rc)
        order_fini(o);
    return rc;
}

static int write_micro(const struct micro *m, struct buf *b, struct err *e)
{
    const char *before = "{";
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (!m->rows[role])
            continue;
        if (buf_printf(b, e, "%s\"%s\": [", before, role_name[role]))
            return -1;
        for (int k = 0; k < m->n[role]; k++)
            if (buf_printf(b, e, "%s%d", k ? ", " : "", m->rows[role][k]))
                return -1;
        if (buf_str(b, "]", e))
            return -1;
        before = ", ";
    }
    return buf_str(b, "}\n", e);
}

int order_write(const struct order *o, const char *path, struct err *e)
{
    struct buf b = {0};
    int rc = 0;
    for (int i = 0; !rc && i < o->n; i++)
        rc = write_micro(&o->micro[i], &b, e);
    if (!rc)
        rc = file_write(path, b.data, b.len, e);
    buf_fini(&b);
    return rc;
}

void order_fini(struct order *o)
{
    for (int i = 0; i < o->n; i++)
        for (int role = 0; role < ROLE_COUNT; role++)
            free(o->micro[i].rows[role]);
    free(o->micro);
    *o = (struct order){0};
}
