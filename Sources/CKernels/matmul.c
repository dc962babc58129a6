// Matrix products on OpenBLAS, one call a task on one thread.
//
// OpenBLAS rounds a row differently for some row counts, so nt and nn products always run on blocks of exactly 256 rows; the last
// block goes through a buffer filled up with zeros. The panels of columns depend on n only. A row's bits then depend on that row
// alone. tn products, which sum over rows, add up blocks of 256 rows in order.
#include "convert.h"
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

#include <cblas.h>

enum { BLOCK = 256, PANEL = 192 };

struct product {
    float *out;
    const float *a;
    struct matrix b;
    int64_t m, n, k, panels, panel;
    float factor;
    bool accumulate, b_transposed;
};

// As few panels as fit PANEL columns each, of nearly equal width: a multiple of 16 but for the last.
static int64_t panel_width(int64_t n) {
    int64_t panels = divide_up(n, PANEL);
    return panels <= 1 ? n : divide_up(divide_up(n, panels), 16) * 16;
}

// Columns [first, first + columns) of op(b) in f32: in place, or converted into `buffer`.
static const float *panel_of_b(const struct product *p, int64_t first, int64_t columns, float *buffer, int64_t *stride) {
    const char *data = p->b.data;
    size_t size = size_of_dtype(p->b.dtype);
    *stride = p->b_transposed ? p->k : p->n;
    const char *start = data + size * (size_t)(p->b_transposed ? first * p->k : first);
    if (p->b.dtype == GRAFT_F32) return (const float *)start;
    if (p->b_transposed) {
        convert_run(buffer, GRAFT_F32, start, p->b.dtype, columns * p->k);
    } else {
        for (int64_t i = 0; i < p->k; i++)
            convert_run(buffer + i * columns, GRAFT_F32, start + size * (size_t)(i * p->n), p->b.dtype, columns);
        *stride = columns;
    }
    return buffer;
}

static void multiply_block(const struct product *p, float *out, int64_t out_stride, const float *a, const float *b,
                           int64_t b_stride, int64_t columns) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, p->b_transposed ? CblasTrans : CblasNoTrans, BLOCK, (int)columns, (int)p->k,
                p->factor, a, (int)p->k, b, (int)b_stride, p->accumulate ? 1.0f : 0.0f, out, (int)out_stride);
}

static void copy_rows(float *out, int64_t out_stride, const float *in, int64_t in_stride, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * out_stride, in + i * in_stride, (size_t)columns * sizeof(float));
}

// The last, short block: rows of a and out in buffers of 256 rows, zeros below.
static void multiply_last_rows(const struct product *p, float *out, const float *a, const float *b, int64_t b_stride,
                               int64_t rows, int64_t columns, float *buffer) {
    float *a_rows = buffer, *out_rows = buffer + BLOCK * p->k;
    copy_rows(a_rows, p->k, a, p->k, rows, p->k);
    memset(a_rows + rows * p->k, 0, (size_t)((BLOCK - rows) * p->k) * sizeof(float));
    if (p->accumulate) {
        copy_rows(out_rows, columns, out, p->n, rows, columns);
        memset(out_rows + rows * columns, 0, (size_t)((BLOCK - rows) * columns) * sizeof(float));
    }
    multiply_block(p, out_rows, columns, a_rows, b, b_stride, columns);
    copy_rows(out, p->n, out_rows, columns, rows, columns);
}

static void product_task(void *context, int64_t task) {
    const struct product *p = context;
    int64_t block = task / p->panels, first = task % p->panels * p->panel;
    int64_t columns = smaller(p->panel, p->n - first), rows = smaller(BLOCK, p->m - block * BLOCK), b_stride;
    bool converts = p->b.dtype != GRAFT_F32;
    size_t b_elements = converts ? (size_t)(p->panel * p->k) : 0;
    size_t row_elements = rows < BLOCK ? (size_t)(BLOCK * (p->k + columns)) : 0;
    float *buffer = pool_scratch((b_elements + row_elements) * sizeof(float));
    const float *b = panel_of_b(p, first, columns, buffer, &b_stride), *a = p->a + block * BLOCK * p->k;
    float *out = p->out + block * BLOCK * p->n + first;
    if (rows == BLOCK)
        multiply_block(p, out, p->n, a, b, b_stride, columns);
    else
        multiply_last_rows(p, out, a, b, b_stride, rows, columns, buffer + b_elements);
}

static void run_product(struct product product) {
    if (product.m == 0 || product.n == 0) return;
    if (product.k == 0) {
        if (!product.accumulate) graft_fill(product.out, 0, product.m * product.n);
        return;
    }
    (void)cpu_level(); // sets OpenBLAS to one thread
    product.panel = panel_width(product.n);
    product.panels = divide_up(product.n, product.panel);
    pool_run(divide_up(product.m, BLOCK) * product.panels, product_task, &product);
}

void graft_matmul_nt(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .a = a, .b = b, .m = m, .n = n, .k = k, .factor = factor,
                                 .accumulate = accumulate, .b_transposed = true});
}

void graft_matmul_nn(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k, float factor,
                     bool accumulate) {
    run_product((struct product){.out = out, .a = a, .b = b, .m = m, .n = n, .k = k, .factor = factor,
                                 .accumulate = accumulate, .b_transposed = false});
}

struct token_sum {
    float *out;
    const float *a, *b;
    int64_t m, n, t, row_panel, column_panel, column_panels;
    float factor;
    bool accumulate;
};

static void token_sum_task(void *context, int64_t task) {
    const struct token_sum *s = context;
    int64_t row = task / s->column_panels * s->row_panel, column = task % s->column_panels * s->column_panel;
    int64_t rows = smaller(s->row_panel, s->m - row), columns = smaller(s->column_panel, s->n - column);
    float *out = s->out + row * s->n + column;
    for (int64_t first = 0; first < s->t; first += BLOCK)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)rows, (int)columns, (int)smaller(BLOCK, s->t - first),
                    s->factor, s->a + first * s->m + row, (int)s->m, s->b + first * s->n + column, (int)s->n,
                    s->accumulate || first > 0 ? 1.0f : 0.0f, out, (int)s->n);
}

void graft_matmul_tn(float *out, const float *a, const float *b, int64_t m, int64_t n, int64_t t, float factor,
                     bool accumulate) {
    if (m == 0 || n == 0) return;
    if (t == 0 && !accumulate) return graft_fill(out, 0, m * n);
    (void)cpu_level(); // sets OpenBLAS to one thread
    struct token_sum sum = {out, a, b, m, n, t, panel_width(m), panel_width(n), 0, factor, accumulate};
    sum.column_panels = divide_up(n, sum.column_panel);
    pool_run(divide_up(m, sum.row_panel) * sum.column_panels, token_sum_task, &sum);
}
