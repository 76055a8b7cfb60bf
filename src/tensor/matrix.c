#include "tensor/matrix.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

/* Eigenvalues and eigenvectors of a symmetric matrix. Weak: OpenBLAS may be built without LAPACK.
 */
extern void dsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a,
                    const int *lda, const double *vl, const double *vu, const int *il,
                    const int *iu, const double *abstol, int *m, double *w, double *z,
                    const int *ldz, int *isuppz, double *work, const int *lwork, int *iwork,
                    const int *liwork, int *info, size_t, size_t, size_t) __attribute__((weak));

extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                    double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info, size_t, size_t) __attribute__((weak));

/* Cholesky factor, and inverse from it. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t)
    __attribute__((weak));
extern void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t)
    __attribute__((weak));

static void widen(double *to, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (double)w[i];
}

/* gram [n,n] = W^T W where cols are fewer, else W W^T; the lower triangle. */
static void fill_gram(double *gram, const double *w, int rows, int cols)
{
    if (cols <= rows)
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, cols, rows, 1, w, cols, 0, gram, cols);
    else
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, rows, cols, 1, w, cols, 0, gram, rows);
}

/* z [r,n]: the eigenvectors of the r largest eigenvalues of a symmetric matrix [n,n], which is
 * overwritten. */
static int top_vectors(double *z, double *matrix, int n, int r, struct err *e)
{
    if (!dsyevr_)
        return err_set(e, "singular values need LAPACK, which this BLAS library lacks");
    const int first = n - r + 1, lwork = 32 * n, liwork = 12 * n;
    const double none = 0;
    int found = 0, info = -1;
    double *values = mem_alloc((size_t)n, sizeof *values, e),
           *work = values ? mem_alloc((size_t)lwork, sizeof *work, e) : NULL;
    int *support = work ? mem_alloc((size_t)(2 * r), sizeof *support, e) : NULL,
        *iwork = support ? mem_alloc((size_t)liwork, sizeof *iwork, e) : NULL;
    int rc = -1;
    if (iwork) { /* the lower triangle by rows is the upper one by columns */
        dsyevr_("V", "I", "U", &n, matrix, &n, &none, &none, &first, &n, &none, &found, values, z,
                &n, support, work, &lwork, iwork, &liwork, &info, 1, 1, 1);
        rc = !info && found == r ? 0 : err_set(e, "its singular values cannot be computed");
    }
    free(values);
    free(work);
    free(support);
    free(iwork);
    return rc;
}

/* w -= scale times the part of `wide` that lies in the space of z's rows, which are orthonormal:
 * on the left, of columns, z [r,rows]; else of rows, z [r,cols]. */
static int take_part(float *w, const double *wide, int rows, int cols, const double *z, int r,
                     bool left, double scale, struct err *e)
{
    size_t count = (size_t)rows * (size_t)cols;
    double *part = mem_alloc(count, sizeof *part, e),
           *in = part ? mem_alloc((size_t)r * (size_t)(left ? cols : rows), sizeof *in, e) : NULL;
    if (!in) {
        free(part);
        return -1;
    }
    if (left) { /* in [r,cols] = z W; part = z^T in */
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, r, cols, rows, 1, z, rows, wide,
                    cols, 0, in, cols);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, cols, r, scale, z, rows, in,
                    cols, 0, part, cols);
    } else { /* in [rows,r] = W z^T; part = in z */
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, r, cols, 1, wide, cols, z, cols,
                    0, in, r);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, cols, r, scale, in, r, z, cols,
                    0, part, cols);
    }
    for (size_t i = 0; i < count; i++)
        w[i] = (float)(wide[i] - part[i]);
    free(part);
    free(in);
    return 0;
}

int matrix_take_principal(float *w, int rows, int cols, int r, struct err *e)
{
    const int n = rows < cols ? rows : cols;
    size_t count = (size_t)rows * (size_t)cols;
    BUG_ON(r > n);
    double *wide = mem_alloc(count, sizeof *wide, e),
           *gram = wide ? mem_alloc((size_t)n * (size_t)n, sizeof *gram, e) : NULL,
           *z = gram ? mem_alloc((size_t)n * (size_t)r, sizeof *z, e) : NULL;
    int rc = -1;
    if (z) {
        widen(wide, w, count);
        fill_gram(gram, wide, rows, cols);
        rc = top_vectors(z, gram, n, r, e) ||
             take_part(w, wide, rows, cols, z, r, cols > rows, 1, e);
    }
    free(wide);
    free(gram);
    free(z);
    return rc;
}

int matrix_factor(float *b, float *a, double *left, const double *w, int rows, int cols, int r,
                  struct err *e)
{
    const bool wide = cols > rows; /* then b is orthonormal, else a */
    const int n = wide ? rows : cols, m = wide ? cols : rows;
    BUG_ON(r > n);
    double *gram = mem_alloc((size_t)n * (size_t)n, sizeof *gram, e),
           *z = gram ? mem_alloc((size_t)n * (size_t)r, sizeof *z, e) : NULL,
           *in = z ? mem_alloc((size_t)m * (size_t)r, sizeof *in, e) : NULL;
    int rc = -1;
    if (in) {
        fill_gram(gram, w, rows, cols);
        rc = top_vectors(z, gram, n, r, e);
    }
    if (!rc) {
        double all = 0, kept = 0;
        if (wide) /* in [r,cols] = z W */
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, r, cols, rows, 1, z, rows, w,
                        cols, 0, in, cols);
        else /* in [rows,r] = W z^T */
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, r, cols, 1, w, cols, z, cols,
                        0, in, r);
        for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++)
            all += w[i] * w[i];
        for (size_t i = 0; i < (size_t)m * (size_t)r; i++)
            kept += in[i] * in[i];
        *left = all > kept ? all - kept : 0;
        for (size_t i = 0; i < (size_t)rows * (size_t)r; i++)
            b[i] = (float)(wide ? z[i % (size_t)r * (size_t)rows + i / (size_t)r] : in[i]);
        for (size_t i = 0; i < (size_t)cols * (size_t)r; i++)
            a[i] = (float)(wide ? in[i] : z[i]);
    }
    free(gram);
    free(z);
    free(in);
    return rc;
}

void matrix_product(float *to, const float *b, const float *a, int rows, int cols, int r,
                    double scale)
{
    for (int i = 0; i < rows; i++, to += cols, b += r)
        for (int j = 0; j < cols; j++) {
            double sum = 0;
            for (int k = 0; k < r; k++)
                sum += (double)b[k] * (double)a[(size_t)k * (size_t)cols + (size_t)j];
            to[j] = (float)(scale * sum);
        }
}

/* Makes row k of z [.,n] orthonormal to those before it, by Gram-Schmidt twice. False: it is
 * linearly dependent. */
static bool orthonormalise(double *z, int k, int n)
{
    double *row = z + (size_t)k * (size_t)n, before = cblas_dnrm2(n, row, 1), after;
    for (int twice = 0; twice < 2; twice++)
        for (int j = 0; j < k; j++) {
            const double *other = z + (size_t)j * (size_t)n;
            cblas_daxpy(n, -cblas_ddot(n, other, 1, row, 1), other, 1, row, 1);
        }
    after = cblas_dnrm2(n, row, 1);
    if (!(after > 1e-12 * before))
        return false;
    cblas_dscal(n, 1 / after, row, 1);
    return true;
}

int matrix_take_qr(float *w, int rows, int cols, int r, double scale, struct err *e)
{
    size_t count = (size_t)rows * (size_t)cols;
    BUG_ON(r > rows || r > cols);
    double *wide = mem_alloc(count, sizeof *wide, e),
           *z = wide ? mem_alloc((size_t)r * (size_t)rows, sizeof *z, e) : NULL;
    int rc = z ? 0 : -1;
    if (z)
        widen(wide, w, count);
    for (int k = 0; k < r && !rc; k++) {
        for (int i = 0; i < rows; i++)
            z[(size_t)k * (size_t)rows + (size_t)i] = wide[(size_t)i * (size_t)cols + (size_t)k];
        if (!orthonormalise(z, k, rows))
            rc = err_set(e, "its first %d columns are linearly dependent", r);
    }
    rc = rc || take_part(w, wide, rows, cols, z, r, true, scale, e);
    free(wide);
    free(z);
    return rc;
}

static float factor(double squares, float length)
{
    return (float)((double)length / sqrt(squares));
}

void matrix_set_row_lengths(float *w, int rows, int cols, const float *length)
{
    for (int i = 0; i < rows; i++, w += cols) {
        double squares = 0;
        for (int j = 0; j < cols; j++)
            squares += (double)w[j] * (double)w[j];
        float by = factor(squares, length[i]);
        for (int j = 0; j < cols; j++)
            w[j] *= by;
    }
}

int matrix_set_column_lengths(float *w, int rows, int cols, const float *length, struct err *e)
{
    double *squares = mem_alloc((size_t)cols, sizeof *squares, e);
    if (!squares)
        return -1;
    const float *row = w;
    for (int i = 0; i < rows; i++, row += cols)
        for (int j = 0; j < cols; j++)
            squares[j] += (double)row[j] * (double)row[j];
    for (int i = 0; i < rows; i++, w += cols)
        for (int j = 0; j < cols; j++)
            w[j] *= factor(squares[j], length[j]);
    free(squares);
    return 0;
}

void matrix_transpose(float *to, const float *w, int rows, int cols)
{
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < (size_t)cols; j++)
            to[j * (size_t)rows + i] = w[i * (size_t)cols + j];
}

int matrix_eigen_f64(double *a, int n, double *value, struct err *e)
{
    if (!dsyevd_)
        return err_set(e, "eigenvalues need LAPACK, which this BLAS library lacks");
    const int liwork = 3 + 5 * n;
    int lwork = -1, info = -1, ignored = 0;
    double best = 0;
    dsyevd_("V", "L", &n, a, &n, value, &best, &lwork, &ignored, &(int){-1}, &info, 1, 1);
    lwork = (int)best;
    double *work = mem_alloc((size_t)lwork, sizeof *work, e);
    int *iwork = work ? mem_alloc((size_t)liwork, sizeof *iwork, e) : NULL;
    int rc = -1;
    if (iwork) { /* columns of a matrix by columns are the rows of one by rows */
        dsyevd_("V", "L", &n, a, &n, value, work, &lwork, iwork, &liwork, &info, 1, 1);
        rc = info ? err_set(e, "its eigenvalues cannot be computed") : 0;
    }
    free(work);
    free(iwork);
    return rc;
}

void matrix_mirror(float *a, int n, double scale)
{
    const size_t side = (size_t)n;
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j <= i; j++)
            a[j * side + i] = a[i * side + j] = (float)(scale * (double)a[i * side + j]);
}

int matrix_eigen(float *a, int n, double *value, struct err *e)
{
    const size_t side = (size_t)n, count = side * side;
    double *wide = mem_alloc(count, sizeof *wide, e);
    if (!wide)
        return -1;
    bool finite = true;
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++) {
            wide[i * side + j] = ((double)a[i * side + j] + (double)a[j * side + i]) / 2;
            finite &= (bool)isfinite(wide[i * side + j]);
        }
    int rc = finite ? matrix_eigen_f64(wide, n, value, e)
                    : err_code(e, ERR_NOT_FINITE, "it holds a number that is not finite");
    for (size_t i = 0; i < count && !rc; i++)
        a[i] = (float)wide[i];
    free(wide);
    return rc;
}

/* The lower triangle of a becomes its Cholesky factor. */
static int factor_cholesky(double *a, int n, struct err *e)
{
    for (int j = 0; j < n; j++) {
        double *row = a + (size_t)j * (size_t)n;
        for (int k = 0; k <= j; k++) {
            const double *other = a + (size_t)k * (size_t)n;
            const double left = row[k] - cblas_ddot(k, row, 1, other, 1);
            if (k == j && !(left > 0))
                return err_set(e, "the matrix is not positive definite");
            row[k] = k == j ? sqrt(left) : left / other[k];
        }
    }
    return 0;
}

int matrix_solve(double *a, int n, double *x, struct err *e)
{
    if (factor_cholesky(a, n, e))
        return -1;
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, n, a, n, x, 1);
    cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, n, a, n, x, 1);
    return 0;
}

int matrix_solve_rows(double *a, int n, double *x, int m, struct err *e)
{
    if (factor_cholesky(a, n, e))
        return -1;
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, m, n, 1, a, n, x,
                n);
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, m, n, 1, a, n, x,
                n);
    return 0;
}

void matrix_add_moments(float *sum, const float *x, int n, int in)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, in, n, 1, x, in, x, in, 1, sum, in);
}

void matrix_times_transposed(double *to, const double *a, const double *b, int m, int n, int k)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, k, n, 1, a, n, b, n, 0, to, k);
}

void matrix_times(double *to, const double *a, const double *b, int m, int n, int k)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, a, n, b, k, 0, to, k);
}

int matrix_add_gram(double *gram, const float *x, int rows, int cols, struct err *e)
{
    enum { AT_ONCE = 256 };
    const size_t width = (size_t)cols;
    double *wide = mem_alloc((size_t)(rows < AT_ONCE ? rows : AT_ONCE) * width, sizeof *wide, e);
    for (int i = 0; wide && i < rows; i += AT_ONCE) {
        const int n = rows - i < AT_ONCE ? rows - i : AT_ONCE;
        widen(wide, x + (size_t)i * width, (size_t)n * width);
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, cols, n, 1, wide, cols, 1, gram, cols);
    }
    free(wide);
    return wide || !rows ? 0 : -1;
}

int matrix_inverse_factor(double *a, int n, struct err *e)
{
    int info[3] = {0};
    if (!dpotrf_ || !dpotri_)
        return err_set(e, "an inverse needs LAPACK, which this BLAS library lacks");
    /* LAPACK's lower triangle by columns is the upper one by rows. */
    dpotrf_("L", &n, a, &n, &info[0], 1);
    if (!info[0])
        dpotri_("L", &n, a, &n, &info[1], 1);
    if (!info[0] && !info[1])
        dpotrf_("L", &n, a, &n, &info[2], 1);
    return info[0] || info[1] || info[2] ? err_set(e, "the matrix is not positive definite") : 0;
}
