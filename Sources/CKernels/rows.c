// Rows by index, a bias added to every row, and the sum of rows.
#include "convert.h"
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

// Channels of a task where rows are summed: each task owns its channels and meets the rows in order.
enum { PANEL = 4 * LANES, BLOCK = 256 };

struct rows_job {
    float *out;
    const float *in;
    struct matrix x;
    const int32_t *rows;
    int64_t R, C;
};

static void gather_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    int64_t per_task = rows_per_task(job->C);
    size_t row_bytes = (size_t)job->C * size_of_dtype(job->x.dtype);
    for (int64_t i = task * per_task; i < smaller(job->R, (task + 1) * per_task); i++)
        convert_run(job->out + i * job->C, GRAFT_F32, (const char *)job->x.data + (size_t)job->rows[i] * row_bytes, job->x.dtype,
                    job->C);
}

void graft_gather_rows(float *out, struct matrix x, const int32_t *rows, int64_t R, int64_t C) {
    struct rows_job job = {.out = out, .x = x, .rows = rows, .R = R, .C = C};
    pool_run("gather rows", divide_up(R, rows_per_task(C)), gather_task, &job);
}

BODY void scatter_panel_body(const struct rows_job *job, int64_t first, int64_t last) {
    for (int64_t i = 0; i < job->R; i++) {
        float *out = job->out + (int64_t)job->rows[i] * job->C;
        const float *in = job->in + i * job->C;
        for (int64_t c = first; c < last; c += LANES)
            store_some(out + c, load_some(out + c, last - c) + load_some(in + c, last - c), last - c);
    }
}
VARIANTS(scatter_panel, (const struct rows_job *job, int64_t first, int64_t last), (job, first, last))

static void scatter_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    scatter_panel(job, task * PANEL, smaller(job->C, (task + 1) * PANEL));
}

void graft_scatter_add_rows(float *out, const float *in, const int32_t *rows, int64_t R, int64_t C) {
    struct rows_job job = {.out = out, .in = in, .rows = rows, .R = R, .C = C};
    pool_run("scatter rows", divide_up(C, PANEL), scatter_task, &job);
}

BODY void bias_rows_body(const struct rows_job *job, int64_t first, int64_t last) {
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        float *out = job->out + t * C;
        for (int64_t c = 0; c < C; c += LANES)
            store_some(out + c, load_some(out + c, C - c) + load_some(job->in + c, C - c), C - c);
    }
}
VARIANTS(bias_rows, (const struct rows_job *job, int64_t first, int64_t last), (job, first, last))

static void bias_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    int64_t rows = rows_per_task(job->C);
    bias_rows(job, task * rows, smaller(job->R, (task + 1) * rows));
}

void graft_add_bias(float *out, const float *bias, int64_t T, int64_t C) {
    struct rows_job job = {.out = out, .in = bias, .R = T, .C = C};
    pool_run("bias", divide_up(T, rows_per_task(C)), bias_task, &job);
}

// Partial sums of 256 rows, added in order.
BODY void sum_panel_body(const struct rows_job *job, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c += LANES) {
        int64_t count = last - c;
        vector total = load_some(job->out + c, count);
        for (int64_t block = 0; block < job->R; block += BLOCK) {
            vector partial = {0};
            for (int64_t t = block; t < smaller(job->R, block + BLOCK); t++)
                partial += load_some(job->in + t * job->C + c, count);
            total += partial;
        }
        store_some(job->out + c, total, count);
    }
}
VARIANTS(sum_panel, (const struct rows_job *job, int64_t first, int64_t last), (job, first, last))

static void sum_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    sum_panel(job, task * LANES, smaller(job->C, (task + 1) * LANES));
}

void graft_sum_rows(float *out, const float *in, int64_t T, int64_t C) {
    struct rows_job job = {.out = out, .in = in, .R = T, .C = C};
    pool_run("bias gradient", divide_up(C, LANES), sum_task, &job);
}
