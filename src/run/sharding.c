#include "run/sharding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

int sharding_init(struct sharding *l, int n, int shards, int slices, struct err *e)
{
    *l = (struct sharding){.n = n, .shards = shards, .slices = slices};
    if (n / shards < slices)
        return err_about(e, "shards",
                         "%d examples in %d shards of %d slices would leave a slice without any: a "
                         "shard has %d",
                         n, shards, slices, n / shards);
    if (!(l->row = mem_alloc((size_t)n, sizeof *l->row, e)) ||
        !(l->id = mem_alloc((size_t)n, sizeof *l->id, e)) ||
        !(l->deleted = mem_alloc((size_t)n, sizeof *l->deleted, e)))
        return -1;
    for (int i = 0; i < n; i++)
        l->row[i] = i;
    return 0;
}

void sharding_fini(struct sharding *l)
{
    free(l->row);
    free(l->id);
    free(l->deleted);
    *l = (struct sharding){0};
}

static void id_of(const struct seq *q, char id[SHA256_TEXT])
{
    struct sha256 s;
    uint8_t hash[SHA256_BYTES];
    sha256_init(&s, 0);
    sha256_add(&s, q->ids, (size_t)q->n * sizeof *q->ids);
    sha256_add(&s, q->labels, (size_t)q->n * sizeof *q->labels);
    if (q->mask)
        sha256_add(&s, q->mask, (size_t)q->n);
    sha256_end(&s, hash);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(id + 2 * i, 3, "%02x", hash[i]);
}

int sharding_of(struct sharding *l, const struct dataset *d, int shards, int slices, struct err *e)
{
    if (sharding_init(l, d->n, shards, slices, e))
        return -1;
    for (int i = 0; i < d->n; i++) {
        l->row[i] = d->rows[i];
        id_of(&d->seqs[i], l->id[i]);
    }
    return 0;
}

/* --- shards and slices --- */

/* Part k of so many. */
static struct positions part(struct positions s, int parts, int k)
{
    const int each = (s.end - s.first) / parts;
    return (struct positions){s.first + k * each,
                              k + 1 == parts ? s.end : s.first + (k + 1) * each};
}

struct positions sharding_shard(const struct sharding *l, int shard)
{
    return part((struct positions){0, l->n}, l->shards, shard);
}

struct positions sharding_slices(const struct sharding *l, int shard, int k)
{
    const struct positions all = sharding_shard(l, shard);
    return (struct positions){all.first, part(all, l->slices, k).end};
}

int sharding_epochs(double epochs, int slices, int k)
{
    const double each = 2 * epochs / (slices + 1);
    return (int)((k + 1) * each) - (int)(k * each);
}

static bool is_new(const struct sharding *l, const bool *before, int i)
{
    return l->deleted[i] && !(before && before[i]);
}

int sharding_restart(const struct sharding *l, int shard, const bool *before)
{
    int i = sharding_shard(l, shard).first;
    for (int k = 0; k < l->slices; k++)
        for (; i < sharding_slices(l, shard, k).end; i++)
            if (is_new(l, before, i))
                return k;
    return -1;
}

int sharding_left(const struct sharding *l, struct positions s)
{
    int left = 0;
    for (int i = s.first; i < s.end; i++)
        left += !l->deleted[i];
    return left;
}

/* --- the deleted --- */

int sharding_delete(struct sharding *l, int row, struct err *e)
{
    int found = 0, deleted = 0;
    for (int i = 0; i < l->n; i++) {
        if (l->row[i] != row)
            continue;
        found++;
        deleted += l->deleted[i];
        l->deleted[i] = true;
        l->id[i][0] = 0;
    }
    if (!found)
        return err_about(e, "rows", "there is no row %d among those that were trained on", row);
    return deleted == found ? err_about(e, "rows", "row %d is deleted already", row) : 0;
}

int sharding_match(const struct sharding *l, const struct dataset *d, int *at, struct err *e)
{
    const int left = sharding_left(l, (struct positions){0, l->n});
    int k = 0, spare = 0; /* the next example; deleted positions that may stand before it */
    if (d->n > l->n || d->n < left)
        return err_about(e, "layout",
                         "the data have %d examples; training began with %d, of which %d are left",
                         d->n, l->n, left);
    for (int i = 0; i < l->n; i++) {
        char id[SHA256_TEXT];
        at[i] = -1;
        spare += l->deleted[i];
        for (; !l->deleted[i] && at[i] < 0; k++) {
            if (k < d->n)
                id_of(&d->seqs[k], id);
            if (k < d->n && !strcmp(id, l->id[i]))
                at[i] = k;
            else if (k >= d->n || --spare < 0)
                return err_about(e, "layout",
                                 "row %d of those that were trained on is not where it was in the "
                                 "data",
                                 l->row[i]);
        }
        spare = l->deleted[i] ? spare : 0;
    }
    return d->n - k > spare ? err_about(e, "layout", "the data have more rows than were trained on")
                            : 0;
}

/* --- the file --- */

int sharding_write(const struct sharding *l, const char *path, struct err *e)
{
    json_t *row = json_array(), *id = json_array(), *deleted = json_array();
    for (int i = 0; i < l->n; i++) {
        json_array_append_new(row, json_integer(l->row[i]));
        json_array_append_new(id, l->deleted[i] ? json_null() : json_string(l->id[i]));
        if (l->deleted[i])
            json_array_append_new(deleted, json_integer(i));
    }
    json_t *all = json_pack("{s:i, s:i, s:o, s:o, s:o}", "shards", l->shards, "slices", l->slices,
                            "row", row, "id", id, "deleted", deleted);
    int rc = all ? json_write_file(all, path, JSON_COMPACT, e) : err_no_memory(e, "layout");
    json_decref(all);
    return rc;
}

static int take(struct sharding *l, const json_t *all, struct err *e)
{
    int64_t shards, slices;
    const json_t *id = json_object_get(all, "id");
    int *row = NULL, *deleted = NULL, n = 0, n_deleted = 0;
    int rc = json_need_int(all, "shards", 1, INT32_MAX, &shards, e) ||
             json_need_int(all, "slices", 1, INT32_MAX, &slices, e) ||
             json_need_ids(all, "row", &row, &n, e) ||
             json_need_ids(all, "deleted", &deleted, &n_deleted, e) ||
             sharding_init(l, n, (int)shards, (int)slices, e);
    for (int i = 0; !rc && i < n_deleted; i++)
        if (deleted[i] >= n)
            rc = err_set(e, "position %d is deleted, of %d", deleted[i], n);
        else
            l->deleted[deleted[i]] = true;
    for (int i = 0; !rc && i < n; i++) {
        const char *text = json_string_value(json_array_get(id, (size_t)i));
        l->row[i] = row[i];
        if (!l->deleted[i] && (!text || strlen(text) != SHA256_TEXT - 1))
            rc = err_set(e, "position %d has no id", i);
        else if (!l->deleted[i])
            memcpy(l->id[i], text, SHA256_TEXT);
    }
    free(row);
    free(deleted);
    return rc;
}

int sharding_parse(struct sharding *l, const json_t *all, struct err *e)
{
    *l = (struct sharding){0};
    if (!take(l, all, e))
        return 0;
    sharding_fini(l);
    return -1;
}

int sharding_read(struct sharding *l, const char *path, struct err *e)
{
    json_t *all = json_read_file(path, e);
    int rc = !all ? -1 : sharding_parse(l, all, e) ? err_prefix(e, "'%s': ", path) : 0;
    json_decref(all);
    return rc;
}

/* --- the order --- */

/* Of so many epochs over the positions of a span, added to *o; a slice's ends with a whole step. */
static int add_epochs(struct order *o, struct positions s, const struct train_options *to,
                      int epochs, unsigned seed, bool whole_steps, struct err *e)
{
    struct order more;
    const int counts[ROLE_COUNT] = {[ROLE_RETAIN] = s.end - s.first};
    if (order_draw(&more, counts, ROLE_RETAIN, NULL, (int)to->batch, epochs, seed, 0, e))
        return -1;
    const int acc = (int)to->accumulate, left = whole_steps ? more.n % acc : 0;
    const size_t n = (size_t)o->n + (size_t)more.n + (left ? (size_t)(acc - left) : 0);
    struct micro *micro = mem_alloc(n, sizeof *micro, e);
    if (!micro) {
        order_fini(&more);
        return -1;
    }
    for (int i = 0; i < more.n; i++)
        for (int k = 0; k < more.micro[i].n[ROLE_RETAIN]; k++)
            more.micro[i].rows[ROLE_RETAIN][k] += s.first;
    if (o->n)
        memcpy(micro, o->micro, (size_t)o->n * sizeof *micro);
    memcpy(micro + o->n, more.micro, (size_t)more.n * sizeof *micro);
    free(o->micro);
    free(more.micro);
    *o = (struct order){.micro = micro, .n = (int)n, .per_epoch = more.per_epoch};
    return 0;
}

static int draw_plain(const struct sharding *l, struct positions s, const struct train_options *to,
                      struct order *o, unsigned seed, struct err *e)
{
    const int n = s.end - s.first;
    const struct order shape = {.per_epoch = (n - 1) / (int)to->batch + 1};
    if (!to->order || l->shards > 1)
        return add_epochs(o, s, to, train_order_epochs(to, &shape), seed, false, e);
    const int counts[ROLE_COUNT] = {[ROLE_RETAIN] = n};
    int rc = order_read(o, to->order, counts, NULL, e);
    o->per_epoch = shape.per_epoch;
    return rc;
}

int sharding_order(const struct sharding *l, int shard, const struct train_options *to,
                   struct order *o, long *slice_end, struct err *e)
{
    const unsigned seed = (unsigned)to->seed + (unsigned)shard;
    *o = (struct order){0};
    int rc = 0;
    if (l->slices == 1)
        rc = draw_plain(l, sharding_shard(l, shard), to, o, seed, e);
    for (int k = 0; !rc && l->slices > 1 && k < l->slices; k++) {
        const int epochs = sharding_epochs(to->epochs, l->slices, k);
        rc = epochs < 1 ? err_about(e, "epochs", "slice %d would be trained for no epoch", k)
                        : add_epochs(o, sharding_slices(l, shard, k), to, epochs,
                                     seed + 1000003u * (unsigned)k, true, e);
        if (!rc && k + 1 < l->slices)
            slice_end[k] = o->n / (long)to->accumulate;
    }
    if (rc)
        order_fini(o);
    return rc;
}

long sharding_first_step(const struct sharding *l, const struct order *o, int accumulate,
                         const bool *before)
{
    for (int i = 0; i < o->n; i++)
        for (int k = 0; k < o->micro[i].n[ROLE_RETAIN]; k++)
            if (is_new(l, before, o->micro[i].rows[ROLE_RETAIN][k]))
                return i / accumulate;
    return o->n / accumulate;
}

void sharding_apply(struct order *o, const int *at)
{
    for (int i = 0; i < o->n; i++) {
        struct micro *m = &o->micro[i];
        int *rows = m->rows[ROLE_RETAIN], n = 0;
        for (int k = 0; k < m->n[ROLE_RETAIN]; k++)
            if (at[rows[k]] >= 0)
                rows[n++] = at[rows[k]];
        m->n[ROLE_RETAIN] = n;
    }
}
