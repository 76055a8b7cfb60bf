/* Operations on whole matrices: the decompositions of PiSSA and OLoRA, row and column norms of
 * DoRA, factors of low rank and their product; eigenvectors of Kronecker factors, second moments,
 * symmetric systems. Matrices are [rows, cols], row by row; sums are f64.
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
/* The upper triangle of a [n,n] becomes the lower one, and all is multiplied. */
void matrix_mirror(float *a, int n, double scale);
/* to [cols, rows] = w^T. */
void matrix_transpose(float *to, const float *w, int rows, int cols);

/* The symmetric part of a [n,n] is replaced by its eigenvectors, one a row, in the ascending order
 * of their eigenvalues, which go to value [n]; computed in f64 by LAPACK. Fails on numbers that are
 * not finite. */
int matrix_eigen(float *a, int n, double *value, struct err *e);
/* The same of a symmetric matrix in f64, which is finite. */
int matrix_eigen_f64(double *a, int n, double *value, struct err *e);
/* gram [cols,cols] += x^T x of x [rows,cols], the upper triangle. */
int matrix_add_gram(double *gram, const float *x, int rows, int cols, struct err *e);
/* The upper triangle of a symmetric positive definite a [n,n] becomes U with a^-1 = U^T U; the
 * lower one is not used, and undefined then. */
int matrix_inverse_factor(double *a, int n, struct err *e);
/* x [n] = a^-1 x for a symmetric positive definite a [n,n], whose lower triangle is overwritten by
 * its Cholesky factor. */
int matrix_solve(double *a, int n, double *x, struct err *e);
/* The same of m vectors, the rows of x [m,n]. */
int matrix_solve_rows(double *a, int n, double *x, int m, struct err *e);
/* sum [in,in] += x^T x, x [n,in]. */
void matrix_add_moments(float *sum, const float *x, int n, int in);
/* to [m,k] = a [m,n] b^T, b [k,n]; and to [m,k] = a [m,n] b, b [n,k]. */
void matrix_times_transposed(double *to, const double *a, const double *b, int m, int n, int k);
void matrix_times(double *to, const double *a, const double *b, int m, int n, int k);

#endif
