/* Extraction likelihood (arXiv 2210.01504): how much of a text the model generates from its
 * prefixes.
 */
#ifndef EVAL_EXTRACT_H
#define EVAL_EXTRACT_H

#include "base/err.h"
#include "model/model.h"

/* EL_n of ids x[0..len): the mean over the prefixes x[0..t), t = first .. len-n, of
 *     |n-grams of f(x[0..t)) that are in x[t..len)| / |n-grams of x[t..len)|,
 * where f is the greedy continuation to length len. As in the authors' program, repeated n-grams of
 * f count each time. `first`, at least 1, is the length of the shortest prefix: 1 for a text, the
 * prompt's length for an answer. All prefixes are generated in one batch that shares their prefix
 * computation. NaN if there is no such prefix. The paper uses n = 10 and len = 200. */
int extract_likelihood(struct model *m, const int *ids, int len, int first, int n, double *out,
                       struct err *e);

#endif
