/* Sampling a token from logits: how often each comes, and logits that none can be taken from. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "model/generate.h"
#include "tap.h"

/* Frequencies of many draws against softmax(z / temperature), cut at top_p: chi-square over the
 * tokens that may come, whose 0.999 quantile is about k + 3 sqrt(2k) + 5; and none that may not. */
static void check_draws(double temperature, double top_p, int kept)
{
    enum { V = 12, DRAWS = 40000 };
    const float z[V] = {1, 3, -2, 2.5f, 0, 0.5f, -1, 2, 1.5f, -3, 0.25f, -0.5f};
    struct err e;
    struct rng r;
    double p[V], total = 0, mass = 0, chi = 0;
    int seen[V] = {0}, order[V], outside = 0;
    float margin = 0;
    for (int i = 0; i < V; i++) {
        total += p[i] = exp((double)z[i] / temperature);
        int at = i;
        for (; at > 0 && z[order[at - 1]] < z[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    rng_seed(&r, 5);
    for (int k = 0; k < DRAWS; k++)
        seen[sample_token(z, V, temperature, top_p, &r, &margin, &e)]++;
    for (int k = 0; k < kept; k++)
        mass += p[order[k]];
    ok(mass >= top_p * total * (1 - 1e-12) && mass - p[order[kept - 1]] < top_p * total,
       "top_p %g keeps %d of %d tokens", top_p, kept, V);
    for (int k = 0; k < V; k++) {
        double want = DRAWS * p[order[k]] / mass, off = seen[order[k]] - want;
        chi += k < kept ? off * off / want : 0;
        outside += k < kept ? 0 : seen[order[k]];
    }
    ok(outside == 0, "temperature %g, top_p %g: no token below the cut", temperature, top_p);
    ok(chi < kept + 3 * sqrt(2.0 * kept) + 5,
       "temperature %g, top_p %g: chi-square %.1f of %d tokens", temperature, top_p, chi, kept);
    near((double)margin, 0.5, 1e-6, 0, "margin");
}

static void check_limits(void)
{
    struct err e;
    struct rng r;
    float margin, none[3] = {NAN, NAN, NAN}, tied[4] = {1, 2, 2, 0};
    rng_seed(&r, 1);
    ok(sample_token(none, 3, 0, 1, &r, &margin, &e) == -1 && strstr(e.msg, "no finite logit"),
       "no finite logit: %s", e.msg);
    ok(sample_token(tied, 4, 0, 1, &r, &margin, &e) == 1 && margin == 0,
       "ties go to the lowest id");
}

int main(void)
{
    check_draws(1, 1, 12);
    check_draws(0.5, 1, 12);
    check_draws(1, 0.5, 2);
    check_draws(2, 0.8, 7);
    check_draws(1, 1e-9, 1);
    check_limits();
    return done();
}
