/* Orders of micro-batches: against the peer's own loader, and against bad files. */
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/order.h"
#include "tap.h"

static bool same_micro(const struct micro *a, const struct micro *b)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (a->n[r] != b->n[r] ||
            (a->n[r] && memcmp(a->rows[r], b->rows[r], (size_t)a->n[r] * sizeof(int))))
            return false;
    return true;
}

static int same_orders(const struct order *a, const struct order *b)
{
    int same = 0;
    for (int i = 0; i < a->n && i < b->n; i++)
        same += same_micro(&a->micro[i], &b->micro[i]);
    return same;
}

/* The peer's Trainer: 9 forget and 13 retain rows, batches of 2, 3 epochs, seed 0. */
static void test_golden(void)
{
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 9, [ROLE_RETAIN] = 13};
    struct order o, golden, back;
    struct err e;
    char *path = test_data("order_graddiff.jsonl");
    if (!ok(path && !order_read(&golden, path, counts, NULL, &e), "the peer's order is read"))
        return;
    ok(!order_draw(&o, counts, ROLE_FORGET, NULL, 2, 3, 0, 0, &e) && o.per_epoch == 5 &&
           o.n == 15 && golden.n == 12,
       "3 epochs of 5 micro-batches, the last of each with one row");
    ok(same_orders(&o, &golden) == 12, "the 12 micro-batches the peer went through are the same");
    char out[600];
    snprintf(out, sizeof out, "%s/order.jsonl", test_dir());
    ok(!order_write(&o, out, &e) && !order_read(&back, out, counts, NULL, &e) &&
           same_orders(&o, &back) == 15,
       "an order survives a file");
    order_fini(&back);
    order_fini(&golden);
    order_fini(&o);
    free(path);
}

/* Rows of one micro-batch of a peer's trace ("train": one role, called forget here). */
static bool same_trace(const struct micro *m, const json_t *rows, const char *key, enum role role)
{
    int *v = NULL, n = 0;
    struct err e;
    bool same = !json_need_ids(rows, key, &v, &n, &e) && n == m->n[role] &&
                !memcmp(v, m->rows[role], (size_t)n * sizeof *v);
    free(v);
    return same;
}

static void test_trace(const char *name, const int counts[ROLE_COUNT], int batch, int taken,
                       int want)
{
    struct err e;
    struct order o;
    char *path = test_shared(name);
    if (!path) {
        skip("no trace '%s'", name);
        return;
    }
    json_t *trace = json_read_file(path, &e), *micro = json_object_get(trace, "micro");
    int n = (int)json_array_size(micro), same = 0;
    bool pair = counts[ROLE_RETAIN] > 0;
    if (ok(!order_draw(&o, counts, ROLE_FORGET, NULL, batch, 8, 0, taken, &e), "drawn for %s",
           name)) {
        for (int i = 0; i < n && i < want; i++) {
            const json_t *rows = json_object_get(json_array_get(micro, (size_t)i), "rows");
            same += same_trace(&o.micro[i], rows, pair ? "forget" : "train", ROLE_FORGET) &&
                    (!pair || same_trace(&o.micro[i], rows, "retain", ROLE_RETAIN));
        }
        order_fini(&o);
    }
    ok(same == want, "%d of %d micro-batches of %s", same, want, name);
    json_decref(trace);
    free(path);
}

static void test_partner(void)
{
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 7, [ROLE_RETAIN] = 3, [ROLE_ALTERNATE] = 7};
    const int plain[ROLE_COUNT] = {[ROLE_FORGET] = 7, [ROLE_RETAIN] = 3};
    const struct pairing partner[ROLE_COUNT] = {[ROLE_ALTERNATE] = {ROLE_FORGET, 1, 1}};
    struct order a, b;
    struct err e;
    bool follows = true, retain = true;
    if (!ok(!order_draw(&a, counts, ROLE_FORGET, partner, 3, 2, 5, 0, &e) &&
                !order_draw(&b, plain, ROLE_FORGET, NULL, 3, 2, 5, 0, &e),
            "an order with a partner role"))
        return;
    for (int i = 0; i < a.n; i++) {
        size_t bytes = (size_t)a.micro[i].n[ROLE_FORGET] * sizeof(int);
        follows &= !memcmp(a.micro[i].rows[ROLE_ALTERNATE], a.micro[i].rows[ROLE_FORGET], bytes);
        retain &= !memcmp(a.micro[i].rows[ROLE_RETAIN], b.micro[i].rows[ROLE_RETAIN], bytes);
    }
    ok(follows, "the partner has the anchor's rows");
    ok(retain, "and takes no draws from the others");
    order_fini(&a);
    order_fini(&b);
    const int uneven[ROLE_COUNT] = {[ROLE_FORGET] = 7, [ROLE_ALTERNATE] = 6};
    ok(order_draw(&a, uneven, ROLE_FORGET, partner, 3, 2, 5, 0, &e) && strstr(e.msg, "6 examples"),
       "a partner of another length: %s", e.msg);
    ok(order_draw(&a, plain, ROLE_ALTERNATE, NULL, 3, 2, 5, 0, &e) && strstr(e.msg, "'alternate'"),
       "an absent anchor: %s", e.msg);
    ok(order_draw(&a, plain, ROLE_FORGET, NULL, 1, 400000000, 5, 0, &e), "too many: %s", e.msg);
}

/* Rows of a role whose term has no weight are checked, and left out. */
static void test_unused(void)
{
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 9, [ROLE_RETAIN] = 3};
    const bool used[ROLE_COUNT] = {[ROLE_FORGET] = true};
    const char *text = "{\"forget\": [0, 1], \"retain\": [2, 2]}\n";
    struct order o;
    struct err e = {.msg = ""};
    char path[600];
    snprintf(path, sizeof path, "%s/unused.jsonl", test_dir());
    ok(!file_write(path, text, strlen(text), &e) && !order_read(&o, path, counts, used, &e) &&
           o.n == 1 && o.micro[0].n[ROLE_FORGET] == 2 && !o.micro[0].rows[ROLE_RETAIN] &&
           !o.micro[0].n[ROLE_RETAIN],
       "rows of an unused role are left out %s", e.msg);
    order_fini(&o);
    text = "{\"forget\": [0], \"retain\": [3]}\n";
    ok(!file_write(path, text, strlen(text), &e) && order_read(&o, path, counts, used, &e) &&
           strstr(e.msg, "no example 3"),
       "but not unread: %s", e.msg);
}

static void test_refused(void)
{
    static const char *const bad[][2] = {
        {"{\"forget\": [0]}\n{\"forgot\": [1]}\n", "line 2: 'forgot' is no role"},
        {"{\"forget\": [9]}\n", "no example 9"},
        {"{\"retain\": [0]}\n", "no example 0"},
        {"{\"forget\": [-1]}\n", "line 1"},
        {"{\"forget\": 3}\n", "line 1"},
        {"{\"forget\": []}\n", "empty"},
        {"{}\n", "empty"},
    };
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 9};
    char path[600];
    snprintf(path, sizeof path, "%s/bad.jsonl", test_dir());
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct order o;
        struct err e = {.msg = ""};
        ok(!file_write(path, bad[i][0], strlen(bad[i][0]), &e) &&
               order_read(&o, path, counts, NULL, &e) && strstr(e.msg, bad[i][1]),
           "order refused: %s", e.msg);
    }
}

/* Epochs of 3 and of 5 micro-batches, two of the first kind, cut to steps of 2: lengths, numbers
 * and what is in them. */
static void test_turns(void)
{
    static const int few[ROLE_COUNT] = {[ROLE_FORGET] = 9}, many[ROLE_COUNT] = {[ROLE_RETAIN] = 13};
    static const int begins[] = {0, 2, 6, 8, 12, 16}, epochs = 5;
    struct order o, first, then;
    struct err e;
    BUG_ON(order_draw(&first, few, ROLE_FORGET, NULL, 3, 2, 1, 0, &e) ||
           order_draw(&then, many, ROLE_RETAIN, NULL, 3, 3, 1, 0, &e));
    ok(!order_shape_turns(&o, 2, first.per_epoch, then.per_epoch, 2, &e) && o.per_turn == 2 &&
           o.per_epoch == 4,
       "turns of whole steps");
    int *rows[2] = {first.micro[3].rows[ROLE_FORGET], then.micro[10].rows[ROLE_RETAIN]};
    mem_fail_at(0);
    ok(order_take_turns(&o, &first, &then, epochs, &e) && strstr(e.msg, "out of memory"),
       "without memory: %s", e.msg);
    mem_fail_at(-1);
    ok(!order_take_turns(&o, &first, &then, epochs, &e) && o.n == 16, "16 micro-batches");
    int wrong = 0;
    for (int epoch = 0; epoch < epochs; epoch++) {
        enum role role = epoch == 0 || epoch == 2 ? ROLE_FORGET : ROLE_RETAIN;
        wrong += order_epoch_start(&o, epoch) != begins[epoch];
        wrong += order_is_turn(&o, epoch) != (role == ROLE_FORGET);
        for (int k = begins[epoch]; k < begins[epoch + 1]; k++)
            wrong += order_epoch(&o, k) != epoch || !o.micro[k].n[role];
    }
    ok(!wrong && order_epoch(&o, 16) == 5 && order_epoch(&o, 20) == 6, "in their epochs: %d wrong",
       wrong);
    ok(o.micro[6].rows[ROLE_FORGET] == rows[0] && o.micro[12].rows[ROLE_RETAIN] == rows[1],
       "each epoch begins where its own order's does");
    ok(order_shape_turns(&o, 2, 3, 5, 4, &e) && !strcmp(e.subject, "accumulate") &&
           !strcmp(e.range, "1 to 3"),
       "refused: %s", e.msg);
    order_fini(&o);
    order_fini(&first);
    order_fini(&then);
}

int main(void)
{
    static const int one[ROLE_COUNT] = {[ROLE_FORGET] = 160};
    static const int two[ROLE_COUNT] = {[ROLE_FORGET] = 40, [ROLE_RETAIN] = 120};
    test_golden();
    test_trace("golden_ou_smollm2/target/trace.json", one, 8, 0, 80);
    test_trace("golden_ou_smollm2/from_base/NPO/trace.json", two, 4, 0, 8);
    test_trace("golden_ou_smollm2/from_base/RMU/trace.json", two, 4, 576, 8); /* its direction */
    test_partner();
    test_turns();
    test_unused();
    test_refused();
    return done();
}
