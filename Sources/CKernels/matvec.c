// Products of a few rows, for decoding: bound by reading the weights, so each task reads its rows of b once and keeps them in the
// first-level cache while the rows of a pass in pairs.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

enum { COLUMNS = 3 };

struct matvec_job {
    float *out;
    const float *a;
    struct matrix b;
    int64_t m, n, k, columns;
};

BODY vector load_weights(const void *row, bool is_bf16, int64_t i, int64_t count) {
    if (!is_bf16) return load_some((const float *)row + i, count);
    if (count >= LANES) return widen_bf16((const uint16_t *)row + i);
    uint16_t some[LANES] = {0};
    memcpy(some, (const uint16_t *)row + i, (size_t)count * sizeof(uint16_t));
    return widen_bf16(some);
}

// out[first_row + r][j + c] for constant numbers of rows of a and columns of out; one chain of additions a lane for each of them,
// so a row's result does not depend on how many there are.
BODY void dot_tile(const struct matvec_job *job, bool is_bf16, int64_t j, int64_t first_row, const int columns, const int rows,
                   const bool first_rows) {
    int64_t k = job->k;
    size_t row_bytes = (size_t)k * (is_bf16 ? 2 : 4);
    const char *weights = (const char *)job->b.data + (size_t)j * row_bytes;
    const float *a = job->a + first_row * k;
    vector sum[COLUMNS][2] = {0};
    for (int64_t i = 0; i < k; i += LANES) {
        vector x[2];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) x[r] = load_some(a + r * k + i, k - i);
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) {
            vector w = load_weights(weights + (size_t)c * row_bytes, is_bf16, i, k - i);
            // Rows are too short for the processor to foresee the next ones by itself.
            if (first_rows) __builtin_prefetch(weights + (size_t)(c + columns) * row_bytes + (size_t)i * (is_bf16 ? 2 : 4));
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) sum[c][r] = x[r] * w + sum[c][r];
        }
    }
#pragma clang loop unroll(full)
    for (int c = 0; c < columns; c++)
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) job->out[(first_row + r) * job->n + j + c] = lane_sum(sum[c][r]);
}

BODY void dot_rows(const struct matvec_job *job, bool is_bf16, int64_t j, const int columns) {
    if (job->m == 1) return dot_tile(job, is_bf16, j, 0, columns, 1, true);
    dot_tile(job, is_bf16, j, 0, columns, 2, true);
    int64_t r = 2;
    for (; r + 2 <= job->m; r += 2) dot_tile(job, is_bf16, j, r, columns, 2, false);
    if (r < job->m) dot_tile(job, is_bf16, j, r, columns, 1, false);
}

BODY void dot_columns(const struct matvec_job *job, bool is_bf16, int64_t first, int64_t last) {
    int64_t j = first;
    for (; j + COLUMNS <= last; j += COLUMNS) dot_rows(job, is_bf16, j, COLUMNS);
    for (; j < last; j++) dot_rows(job, is_bf16, j, 1);
}

BODY void matvec_columns_body(const struct matvec_job *job, int64_t first, int64_t last) {
    if (job->b.dtype == GRAFT_BF16)
        dot_columns(job, true, first, last);
    else
        dot_columns(job, false, first, last);
}
VARIANTS(matvec_columns, (const struct matvec_job *job, int64_t first, int64_t last), (job, first, last))

static void matvec_task(void *context, int64_t task) {
    const struct matvec_job *job = context;
    matvec_columns(job, task * job->columns, smaller(job->n, (task + 1) * job->columns));
}

void graft_matvec_nt(float *out, const float *a, struct matrix b, int64_t m, int64_t n, int64_t k) {
    struct matvec_job job = {out, a, b, m, n, k, divide_up(rows_per_task(k), COLUMNS) * COLUMNS};
    pool_run("matvec", divide_up(n, job.columns), matvec_task, &job);
}
