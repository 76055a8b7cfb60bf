#include "model/config.h"

#include <math.h>

/* arXiv 2407.21783 as released: long wavelengths are slowed by `factor`, short ones kept, blended
 * between. */
double rope_llama3_scale(const struct rope_config *r, double inv_freq)
{
    double wavelen = 2 * M_PI / inv_freq, context = r->original_positions;
    if (wavelen < context / r->high_freq)
        return inv_freq;
    if (wavelen > context / r->low_freq)
        return inv_freq / r->factor;
    double smooth = (context / wavelen - r->low_freq) / (r->high_freq - r->low_freq);
    return (1 - smooth) * inv_freq / r->factor + smooth * inv_freq;
}

double rope_yarn_magnitude(double factor, double scale)
{
    return factor > 1 ? 0.1 * scale * log(factor) + 1 : 1;
}

/* The pair that turns so many times within the context. */
static double yarn_pair(const struct rope_config *r, double turns)
{
    return r->rot * log(r->original_positions / (turns * 2 * M_PI)) / (2 * log(r->base));
}

/* Pairs up to that of beta_fast turns are kept, from that of beta_slow on slowed by `factor`,
 * blended between. */
static float yarn_frequency(const struct rope_config *r, int i, float power)
{
    const double low = fmax(floor(yarn_pair(r, r->beta_fast)), 0);
    const double high = fmin(ceil(yarn_pair(r, r->beta_slow)), r->rot - 1);
    const double width = high == low ? 0.001 : high - low;
    const float kept = 1 - (float)fmin(fmax(((double)i - low) / width, 0), 1);
    return 1.0f / ((float)r->factor * power) * (1 - kept) + 1.0f / power * kept;
}

struct rope_config rope_local(const struct rope_config *r)
{
    struct rope_config local = *r;
    local.kind = ROPE_PLAIN;
    local.base = r->local_base;
    local.magnitude = 1;
    return local;
}

/* The angle between neighbours of pair i. */
static float frequency(const struct rope_config *r, int i, bool long_context)
{
    float power = (float)pow(r->base, 2.0 * i / r->rot);
    double inv = (double)(1.0f / power);
    switch (r->kind) {
    case ROPE_PLAIN:
    case ROPE_DYNAMIC:
        break;
    case ROPE_LINEAR:
        return (float)(inv / r->factor);
    case ROPE_LLAMA3:
        return (float)rope_llama3_scale(r, inv);
    case ROPE_YARN:
        return yarn_frequency(r, i, power);
    case ROPE_LONG:
        return 1.0f / ((float)(long_context ? r->long_factor : r->short_factor)[i] * power);
    }
    return (float)inv;
}

void rope_tables(const struct rope_config *r, int n_pos, bool long_context, float *cs, float *sn)
{
    const size_t half = (size_t)r->rot / 2;
    const float magnitude = (float)r->magnitude;
    for (size_t i = 0; i < half; i++) {
        float freq = frequency(r, (int)i, long_context);
        for (size_t p = 0; p < (size_t)n_pos; p++) {
            float angle = (float)p * freq;
            cs[p * half + i] = (float)cos((double)angle) * magnitude;
            sn[p * half + i] = (float)sin((double)angle) * magnitude;
        }
    }
}
