/* When threads stop spinning, and when they do again. */
#include "base/waiting.h"

#include "tap.h"

/* Ticks in a row with n switches each; the last one's `shared`. */
static bool ticks(struct waiting *w, int count, long n)
{
    for (int i = 0; i < count; i++)
        waiting_tick(w, w->switches + n);
    return w->shared;
}

int main(void)
{
    struct waiting w = {0};
    ok(!ticks(&w, 100, 16), "some switches are no contention");
    ok(!ticks(&w, 1, 25), "nor are 25 in a tick");
    ok(ticks(&w, 1, 26), "26 are");
    ok(ticks(&w, 4, 0), "for four calm ticks more");
    ok(!ticks(&w, 1, 0), "not for five");
    ok(ticks(&w, 1, 300), "it comes back");
    for (int i = 0; i < 20; i++)
        ok(ticks(&w, 4, 2) && ticks(&w, 1, 50), "and stays while one tick in five is busy (%d)", i);
    return done();
}
