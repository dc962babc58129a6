// Root-mean-square normalisation (Zhang and Sennrich 2019): y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
#include "kernels.h"
#include "thread_pool.h"
#include "elements.h"

#include <math.h>

// Rows whose contributions to dweight form one partial sum.
enum { BLOCK = 256 };

struct rms_norm_job {
    struct array out;
    float *rstd;
    const float *x, *weight;
    int64_t T, C;
    float eps;
};

BODY void norm_rows(const struct rms_norm_job *job, const int32_t dtype, int64_t first, int64_t last) {
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        const float *x = job->x + t * C;
        vector squares = {0};
        for (int64_t c = 0; c < C; c += LANES) {
            vector v = load_some(x + c, C - c);
            squares = v * v + squares;
        }
        float rstd = 1.0f / sqrtf(lane_sum(squares) / (float)C + job->eps);
        job->rstd[t] = rstd;
        for (int64_t c = 0; c < C; c += LANES)
            store_elements(job->out.data, dtype, t * C + c,
                           load_some(x + c, C - c) * splat(rstd) * load_some(job->weight + c, C - c), C - c);
    }
}

BODY void forward_rows_body(const struct rms_norm_job *job, int64_t first, int64_t last) {
    if (job->out.dtype == GRAFT_F32)
        norm_rows(job, GRAFT_F32, first, last);
    else
        norm_rows(job, GRAFT_BF16, first, last);
}
VARIANTS(forward_rows, (const struct rms_norm_job *job, int64_t first, int64_t last), (job, first, last))

static void forward_task(void *context, int64_t task) {
    const struct rms_norm_job *job = context;
    int64_t rows = rows_per_task(job->C);
    forward_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

void graft_rms_norm_forward(struct array out, float *rstd, const float *x, const float *weight, int64_t T, int64_t C,
                            float eps) {
    struct rms_norm_job job = {out, rstd, x, weight, T, C, eps};
    pool_run("rms norm", divide_up(T, rows_per_task(C)), forward_task, &job);
}

struct rms_norm_backward_job {
    float *dx, *dweight;
    struct matrix dout;
    const float *x, *weight, *rstd;
    int64_t T, C;
};

// With n = x * rstd and g = dout * weight: dx = rstd * (g - n * mean(g * n)).
BODY void backward_rows_body(const struct rms_norm_backward_job *job, int64_t first, int64_t last) {
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        const float *x = job->x + t * C;
        float *dx = job->dx + t * C;
        float rstd = job->rstd[t];
        vector products = {0};
        for (int64_t c = 0; c < C; c += LANES) {
            vector g = load_elements(job->dout.data, job->dout.dtype, t * C + c, C - c) * load_some(job->weight + c, C - c);
            products = g * load_some(x + c, C - c) + products;
        }
        float projection = lane_sum(products) * rstd * rstd / (float)C;
        for (int64_t c = 0; c < C; c += LANES) {
            vector g = load_elements(job->dout.data, job->dout.dtype, t * C + c, C - c) * load_some(job->weight + c, C - c);
            vector v = g - load_some(x + c, C - c) * splat(projection);
            store_some(dx + c, v * splat(rstd), C - c);
        }
    }
}
VARIANTS(backward_rows, (const struct rms_norm_backward_job *job, int64_t first, int64_t last), (job, first, last))

static void backward_task(void *context, int64_t task) {
    const struct rms_norm_backward_job *job = context;
    int64_t rows = rows_per_task(job->C);
    backward_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

// dweight[c] += sum over t of dout * x * rstd, for the channels of one vector.
BODY void weight_channels_body(const struct rms_norm_backward_job *job, int64_t c) {
    int64_t T = job->T, C = job->C;
    vector total = load_some(job->dweight + c, C - c);
    for (int64_t block = 0; block < T; block += BLOCK) {
        vector partial = {0};
        for (int64_t t = block; t < smaller(T, block + BLOCK); t++) {
            vector n = load_some(job->x + t * C + c, C - c) * splat(job->rstd[t]);
            partial = load_elements(job->dout.data, job->dout.dtype, t * C + c, C - c) * n + partial;
        }
        total += partial;
    }
    store_some(job->dweight + c, total, C - c);
}
VARIANTS(weight_channels, (const struct rms_norm_backward_job *job, int64_t c), (job, c))

static void weight_task(void *context, int64_t task) { weight_channels(context, task * LANES); }

void graft_rms_norm_backward(float *dx, float *dweight, struct matrix dout, const float *x, const float *weight,
                             const float *rstd, int64_t T, int64_t C) {
    struct rms_norm_backward_job job = {dx, dweight, dout, x, weight, rstd, T, C};
    // First, since dx may replace dout or x.
    if (dweight) pool_run("rms norm backward", divide_up(C, LANES), weight_task, &job);
    pool_run("rms norm backward", divide_up(T, rows_per_task(C)), backward_task, &job);
}
