// Products of a few rows, for decoding: bound by reading the weights, so each task reads its rows of b once and keeps up to four
// rows of a in flight against them.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

enum { ROWS = 4 };

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

// out[r][j] for `rows` rows of a; two accumulators a row hide the latency of the additions.
BODY void dot_rows(const struct matvec_job *job, const void *weights, bool is_bf16, int64_t j, int64_t first, int rows) {
    int64_t k = job->k;
    vector even[ROWS] = {0}, odd[ROWS] = {0};
    for (int64_t i = 0; i < k; i += 2 * LANES) {
        vector w = load_weights(weights, is_bf16, i, k - i);
        for (int r = 0; r < rows; r++) even[r] = load_some(job->a + (first + r) * k + i, k - i) * w + even[r];
        if (k - i <= LANES) break;
        w = load_weights(weights, is_bf16, i + LANES, k - i - LANES);
        for (int r = 0; r < rows; r++)
            odd[r] = load_some(job->a + (first + r) * k + i + LANES, k - i - LANES) * w + odd[r];
    }
    for (int r = 0; r < rows; r++) job->out[(first + r) * job->n + j] = lane_sum(even[r] + odd[r]);
}

BODY void dot_columns(const struct matvec_job *job, bool is_bf16, int64_t first, int64_t last) {
    size_t row_bytes = (size_t)job->k * (is_bf16 ? 2 : 4);
    for (int64_t j = first; j < last; j++) {
        const void *weights = (const char *)job->b.data + (size_t)j * row_bytes;
        int64_t r = 0;
        for (; r + ROWS <= job->m; r += ROWS) dot_rows(job, weights, is_bf16, j, r, ROWS);
        for (; r < job->m; r++) dot_rows(job, weights, is_bf16, j, r, 1);
    }
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
    struct matvec_job job = {out, a, b, m, n, k, rows_per_task(k)};
    pool_run(divide_up(n, job.columns), matvec_task, &job);
}
