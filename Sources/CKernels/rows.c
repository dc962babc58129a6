// Rows by index, a bias added to every row, and the sum of rows.
#include "convert.h"
#include "kernels.h"
#include "thread_pool.h"
#include "elements.h"
#include "weight_storage.h"

// Channels of a task where rows are summed: each task owns its channels and meets the rows in order.
enum { PANEL = 4 * LANES, BLOCK = 256 };

struct rows_job {
    struct array out;
    struct matrix in;
    const int32_t *rows;
    int64_t R, C;
};

static void gather_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    int64_t per_task = rows_per_task(job->C);
    size_t out_bytes = (size_t)job->C * size_of_dtype(job->out.dtype);
    bool unpacks = is_quantized(job->in);
    size_t row_bytes = unpacks ? 0 : (size_t)job->C * size_of_dtype(job->in.dtype);
    float *unpacked = unpacks ? pool_scratch((size_t)job->C * sizeof(float)) : NULL;
    for (int64_t i = task * per_task; i < smaller(job->R, (task + 1) * per_task); i++) {
        const char *row = unpacks ? (const char *)unpacked : (const char *)job->in.data + (size_t)job->rows[i] * row_bytes;
        if (unpacks) unpack_run(unpacked, job->in, job->rows[i] * job->C, job->C);
        convert_run((char *)job->out.data + (size_t)i * out_bytes, job->out.dtype, row, unpacks ? GRAFT_F32 : job->in.dtype,
                    job->C);
    }
}

void graft_gather_rows(struct array out, struct matrix x, const int32_t *rows, int64_t R, int64_t C) {
    struct rows_job job = {.out = out, .in = x, .rows = rows, .R = R, .C = C};
    pool_run("gather rows", divide_up(R, rows_per_task(C)), gather_task, &job);
}

BODY void scatter_panel_body(const struct rows_job *job, int64_t first, int64_t last) {
    for (int64_t i = 0; i < job->R; i++) {
        float *out = (float *)job->out.data + (int64_t)job->rows[i] * job->C;
        const float *in = (const float *)job->in.data + i * job->C;
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
    struct rows_job job = {.out = {out, GRAFT_F32}, .in = {in, GRAFT_F32}, .rows = rows, .R = R, .C = C};
    pool_run("scatter rows", divide_up(C, PANEL), scatter_task, &job);
}

BODY void bias_rows_body(const struct rows_job *job, int64_t first, int64_t last) {
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        for (int64_t c = 0; c < C; c += LANES) {
            vector sum = load_elements(job->out.data, job->out.dtype, t * C + c, C - c);
            sum += load_some((const float *)job->in.data + c, C - c);
            store_elements(job->out.data, job->out.dtype, t * C + c, sum, C - c);
        }
    }
}
VARIANTS(bias_rows, (const struct rows_job *job, int64_t first, int64_t last), (job, first, last))

static void bias_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    int64_t rows = rows_per_task(job->C);
    bias_rows(job, task * rows, smaller(job->R, (task + 1) * rows));
}

void graft_add_bias(struct array out, const float *bias, int64_t T, int64_t C) {
    struct rows_job job = {.out = out, .in = {bias, GRAFT_F32}, .R = T, .C = C};
    pool_run("bias", divide_up(T, rows_per_task(C)), bias_task, &job);
}

// Partial sums of 256 rows, added in order.
BODY void sum_panel_body(const struct rows_job *job, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c += LANES) {
        int64_t count = last - c;
        vector total = load_some((const float *)job->out.data + c, count);
        for (int64_t block = 0; block < job->R; block += BLOCK) {
            vector partial = {0};
            for (int64_t t = block; t < smaller(job->R, block + BLOCK); t++)
                partial += load_elements(job->in.data, job->in.dtype, t * job->C + c, count);
            total += partial;
        }
        store_some((float *)job->out.data + c, total, count);
    }
}
VARIANTS(sum_panel, (const struct rows_job *job, int64_t first, int64_t last), (job, first, last))

static void sum_task(void *context, int64_t task) {
    const struct rows_job *job = context;
    sum_panel(job, task * LANES, smaller(job->C, (task + 1) * LANES));
}

void graft_sum_rows(float *out, struct matrix in, int64_t T, int64_t C) {
    struct rows_job job = {.out = {out, GRAFT_F32}, .in = in, .R = T, .C = C};
    pool_run("bias gradient", divide_up(C, LANES), sum_task, &job);
}
