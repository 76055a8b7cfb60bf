/* Operations on whole weights: the decompositions of PiSSA and OLoRA, row and column norms of DoRA,
 * factors of low rank and their product. Matrices are [rows, cols], row by
 * row; sums are f64.
 */
#ifndef TENSOR_MATRIX_H
#define TENSOR_MATRIX_H

#include "base/err.h"

/* w -= its best approximation of rank r, the part of its r largest singular values (PiSSA, arXiv
 * 2404.02948). r <= rows, cols. */
int matrix_take_principal(float *w, int rows, int cols, int r, struct err *e);
/* w -= scale Q R of its QR decomposition, Q's first r columns and R's first r rows (OLoRA, arXiv
 * 2406.01775). r <= rows, cols. */
int matrix_take_qr(float *w, int rows, int cols, int r, double scale, struct err *e);
/* The best approximation of w in rank r, b [rows,r] a [r,cols], by its r largest singular values;
 * *left: sum of squares of w - b a. r <= rows, cols. */
int matrix_factor(float *b, float *a, double *left, const double *w, int rows, int cols, int r,
                  struct err *e);
/* to [rows,cols] = scale b [rows,r] a [r,cols]. */
void matrix_product(float *to, const float *b, const float *a, int rows, int cols, int r,
                    double scale);
/* Row i, or column i, gets the length |length[i]|, and its sign is flipped if that is negative
 * (DoRA, arXiv 2402.09353). */
void matrix_set_row_lengths(float *w, int rows, int cols, const float *length);
int matrix_set_column_lengths(float *w, int rows, int cols, const float *length, struct err *e);
/* to [cols, rows] = w^T. */
void matrix_transpose(float *to, const float *w, int rows, int cols);

#endif
