// Rotary position embedding (Su et al. 2021), in the half-split form that Llama's checkpoints use.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

struct rotary_job {
    float *out;
    const float *x, *cosines, *sines;
    int64_t T, H, D, rotary_dim;
    float direction;
};

// (a, b) -> (a cos - b sin, b cos + a sin)
BODY void rotate_head_body(float *out, const float *x, const float *cosines, const float *sines, int64_t half,
                           float direction) {
    for (int64_t i = 0; i < half; i += LANES) {
        int64_t count = half - i;
        vector a = load_some(x + i, count), b = load_some(x + half + i, count);
        vector c = load_some(cosines + i, count), s = load_some(sines + i, count) * splat(direction);
        store_some(out + i, a * c - b * s, count);
        store_some(out + half + i, b * c + a * s, count);
    }
}

BODY void rotate_rows_body(const struct rotary_job *job, int64_t first, int64_t last) {
    int64_t D = job->D, half = job->rotary_dim / 2, rotated = half * 2;
    for (int64_t t = first; t < last; t++) {
        for (int64_t h = 0; h < job->H; h++) {
            int64_t at = (t * job->H + h) * D;
            rotate_head_body(job->out + at, job->x + at, job->cosines + t * half, job->sines + t * half, half,
                             job->direction);
            if (rotated < D && job->out != job->x)
                memcpy(job->out + at + rotated, job->x + at + rotated, (size_t)(D - rotated) * sizeof(float));
        }
    }
}
VARIANTS(rotate_rows, (const struct rotary_job *job, int64_t first, int64_t last), (job, first, last))

static void rotary_task(void *context, int64_t task) {
    const struct rotary_job *job = context;
    int64_t rows = rows_per_task(job->H * job->D);
    rotate_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

void graft_rotary(float *out, const float *x, const float *cosines, const float *sines, int64_t T, int64_t H, int64_t D,
                  int64_t rotary_dim, bool inverse) {
    struct rotary_job job = {out, x, cosines, sines, T, H, D, rotary_dim, inverse ? -1.0f : 1.0f};
    pool_run("rotary", divide_up(T, rows_per_task(H * D)), rotary_task, &job);
}
