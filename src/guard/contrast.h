/* Rules on rows of logits of two or three models (spec: raw logits, before temperature). All change
 * z [vocab], the guarded model's.
 */
#ifndef GUARD_CONTRAST_H
#define GUARD_CONTRAST_H

#include <stdbool.h>

/* arXiv 2310.02238: z - alpha relu(reinforced - z); normed: of log-probabilities. */
void contrast_whp(float *z, const float *reinforced, int vocab, double alpha, bool normed);
/* arXiv 2406.08607. Tokens whose log-probability reaches contrast_threshold get z + w assistant,
 * others -1000, or where `scoring` they stay. r = 0: no filter, of log-probabilities unless
 * `scoring`. room [vocab]. */
void contrast_uld(float *z, const float *assistant, int vocab, double w, double r, bool scoring,
                  float *room);
/* min(log p of rank floor(r V), largest log p + ln r); a rank of 0 is the last. room [vocab]. */
double contrast_threshold(const float *z, int vocab, double r, float *room);
/* arXiv 2404.11045: z + w (trained - plain); normed: of log-probabilities. */
void contrast_offset(float *z, const float *trained, const float *plain, int vocab, double w,
                     bool normed);

#endif
