// Rotary position embedding (Su et al. 2021), in the half-split form that Llama's checkpoints use.
#include "kernels.h"
#include "thread_pool.h"
#include "elements.h"

struct rotary_job {
    struct array out;
    struct matrix x;
    const float *cosines, *sines;
    int64_t T, H, D, rotary_dim;
    float direction;
};

// (a, b) -> (a cos - b sin, b cos + a sin)
BODY void rotate_head(const struct rotary_job *job, const int32_t out_dtype, const int32_t x_dtype, int64_t t, int64_t at,
                      int64_t half) {
    const float *cosines = job->cosines + t * half, *sines = job->sines + t * half;
    for (int64_t i = 0; i < half; i += LANES) {
        int64_t count = half - i;
        vector a = load_elements(job->x.data, x_dtype, at + i, count), b = load_elements(job->x.data, x_dtype, at + half + i, count);
        vector c = load_some(cosines + i, count), s = load_some(sines + i, count) * splat(job->direction);
        store_elements(job->out.data, out_dtype, at + i, a * c - b * s, count);
        store_elements(job->out.data, out_dtype, at + half + i, b * c + a * s, count);
    }
    for (int64_t d = 2 * half; d < job->D; d += LANES)
        store_elements(job->out.data, out_dtype, at + d, load_elements(job->x.data, x_dtype, at + d, job->D - d), job->D - d);
}

BODY void rotate(const struct rotary_job *job, const int32_t out_dtype, const int32_t x_dtype, int64_t first, int64_t last) {
    for (int64_t t = first; t < last; t++)
        for (int64_t h = 0; h < job->H; h++)
            rotate_head(job, out_dtype, x_dtype, t, (t * job->H + h) * job->D, job->rotary_dim / 2);
}

BODY void rotate_rows_body(const struct rotary_job *job, int64_t first, int64_t last) {
    bool to_f32 = job->out.dtype == GRAFT_F32, from_f32 = job->x.dtype == GRAFT_F32;
    if (to_f32 && from_f32)
        rotate(job, GRAFT_F32, GRAFT_F32, first, last);
    else if (to_f32)
        rotate(job, GRAFT_F32, GRAFT_BF16, first, last);
    else if (from_f32)
        rotate(job, GRAFT_BF16, GRAFT_F32, first, last);
    else
        rotate(job, GRAFT_BF16, GRAFT_BF16, first, last);
}
VARIANTS(rotate_rows, (const struct rotary_job *job, int64_t first, int64_t last), (job, first, last))

static void rotary_task(void *context, int64_t task) {
    const struct rotary_job *job = context;
    int64_t rows = rows_per_task(job->H * job->D);
    rotate_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

void graft_rotary(struct array out, struct matrix x, const float *cosines, const float *sines, int64_t T, int64_t H, int64_t D,
                  int64_t rotary_dim, bool inverse) {
    struct rotary_job job = {out, x, cosines, sines, T, H, D, rotary_dim, inverse ? -1.0f : 1.0f};
    pool_run("rotary", divide_up(T, rows_per_task(H * D)), rotary_task, &job);
}
