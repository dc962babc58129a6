// The gated activation of SwiGLU (Shazeer 2020): out = silu(gate) * up, silu(g) = g * s, s = 1 / (1 + exp(-g)).
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

enum { CHUNK = 8192 };

struct silu_job {
    float *out, *dgate, *dup;
    const float *dout, *gate, *up;
    int64_t n;
};

BODY void forward_chunk_body(const struct silu_job *job, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
        int64_t count = last - i;
        vector g = load_some(job->gate + i, count);
        vector silu = g / (splat(1.0f) + vector_exp(-g));
        store_some(job->out + i, silu * load_some(job->up + i, count), count);
    }
}
VARIANTS(forward_chunk, (const struct silu_job *job, int64_t first, int64_t last), (job, first, last))

// dup = dout * g * s; dgate = dout * up * s * (1 + g * (1 - s)), where 1 - s = exp(-g) s is taken without cancellation and with
// exp(-g) kept finite. All inputs are read before either output is written.
BODY void backward_chunk_body(const struct silu_job *job, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
        int64_t count = last - i;
        vector g = load_some(job->gate + i, count), dout = load_some(job->dout + i, count);
        vector up = load_some(job->up + i, count);
        vector e = vector_exp(choose_lanes(g < splat(-87.0f), splat(87.0f), -g)), s = splat(1.0f) / (splat(1.0f) + e);
        vector slope = s * (g * (e * s) + splat(1.0f));
        store_some(job->dgate + i, dout * up * slope, count);
        store_some(job->dup + i, dout * (g * s), count);
    }
}
VARIANTS(backward_chunk, (const struct silu_job *job, int64_t first, int64_t last), (job, first, last))

static void forward_task(void *context, int64_t task) {
    const struct silu_job *job = context;
    forward_chunk(job, task * CHUNK, smaller(job->n, (task + 1) * CHUNK));
}

static void backward_task(void *context, int64_t task) {
    const struct silu_job *job = context;
    backward_chunk(job, task * CHUNK, smaller(job->n, (task + 1) * CHUNK));
}

void graft_silu_multiply_forward(float *out, const float *gate, const float *up, int64_t n) {
    struct silu_job job = {.out = out, .gate = gate, .up = up, .n = n};
    pool_run("silu multiply", divide_up(n, CHUNK), forward_task, &job);
}

void graft_silu_multiply_backward(float *dgate, float *dup, const float *dout, const float *gate, const float *up, int64_t n) {
    struct silu_job job = {.dgate = dgate, .dup = dup, .dout = dout, .gate = gate, .up = up, .n = n};
    pool_run("silu multiply backward", divide_up(n, CHUNK), backward_task, &job);
}
