/* How much of a text a model says by itself: extraction likelihood (arXiv 2210.01504).
 */
#ifndef EVAL_EXTRACT_H
#define EVAL_EXTRACT_H

#include "base/err.h"
#include "model/model.h"

/* EL_n of ids x[0..len): the mean over the prefixes x[0..t), t = first .. len-n, of
 *     |n-grams of f(x[0..t)) that are in x[t..len)| / |n-grams of x[t..len)|,
 * where f is the greedy continuation to length len, as the authors' program counts: n-grams of f as
 * often as they occur. `first`, at least 1, is where what is to be extracted begins: 1 in a text,
 * behind the prompt in an answer. All prefixes are continued together, and their beginnings
 * computed once. NaN if there is no such prefix. The paper has n = 10 and len = 200. */
int extract_likelihood(struct model *m, const int *ids, int len, int first, int n, double *out,
                       struct err *e);

#endif
