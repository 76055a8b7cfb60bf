/* Rotary positions: the tables of cosines and sines, as HF computes them. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "model/config.h"

/* One frequency under llama3 scaling. */
double rope_llama3_scale(const struct rope_config *r, double inv_freq);
/* That of layers with local_base: the same rotations without scaling. */
struct rope_config rope_local(const struct rope_config *r);
/* What yarn multiplies cosines and sines by, and so q and k. */
double rope_yarn_magnitude(double factor, double scale);
/* Tables cs, sn [n_pos, rot/2]: f32 angles pos * inv_freq. long_context: sequences are longer than
 * original_positions, which matters to longrope only. */
void rope_tables(const struct rope_config *r, int n_pos, bool long_context, float *cs, float *sn);

#endif
