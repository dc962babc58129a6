// The gated activation of SwiGLU (Shazeer 2020): out = silu(gate) * up, silu(g) = g * s, s = 1 / (1 + exp(-g)).
#include "kernels.h"
#include "thread_pool.h"
#include "elements.h"

enum { CHUNK = 8192 };

struct silu_job {
    struct array out, dgate, dup;
    struct matrix dout, gate, up;
    int64_t n;
};

BODY void forward_elements(const struct silu_job *job, const int32_t dtype, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
        int64_t count = last - i;
        vector g = load_elements(job->gate.data, dtype, i, count);
        vector silu = g / (splat(1.0f) + vector_exp(-g));
        store_elements(job->out.data, dtype, i, silu * load_elements(job->up.data, dtype, i, count), count);
    }
}

BODY void forward_chunk_body(const struct silu_job *job, int64_t first, int64_t last) {
    if (job->gate.dtype == GRAFT_F32)
        forward_elements(job, GRAFT_F32, first, last);
    else
        forward_elements(job, GRAFT_BF16, first, last);
}
VARIANTS(forward_chunk, (const struct silu_job *job, int64_t first, int64_t last), (job, first, last))

// dup = dout * g * s; dgate = dout * up * s * (1 + g * (1 - s)), where 1 - s = exp(-g) s is taken without cancellation and with
// exp(-g) kept finite. All inputs are read before either output is written.
BODY void backward_elements(const struct silu_job *job, const int32_t dtype, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i += LANES) {
        int64_t count = last - i;
        vector g = load_elements(job->gate.data, dtype, i, count), dout = load_elements(job->dout.data, dtype, i, count);
        vector up = load_elements(job->up.data, dtype, i, count);
        vector e = vector_exp(choose_lanes(g < splat(-87.0f), splat(87.0f), -g)), s = splat(1.0f) / (splat(1.0f) + e);
        vector slope = s * (g * (e * s) + splat(1.0f));
        store_elements(job->dgate.data, dtype, i, dout * up * slope, count);
        store_elements(job->dup.data, dtype, i, dout * (g * s), count);
    }
}

BODY void backward_chunk_body(const struct silu_job *job, int64_t first, int64_t last) {
    if (job->gate.dtype == GRAFT_F32)
        backward_elements(job, GRAFT_F32, first, last);
    else
        backward_elements(job, GRAFT_BF16, first, last);
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

void graft_silu_multiply_forward(struct array out, struct matrix gate, struct matrix up, int64_t n) {
    struct silu_job job = {.out = out, .gate = gate, .up = up, .n = n};
    pool_run("silu multiply", divide_up(n, CHUNK), forward_task, &job);
}

void graft_silu_multiply_backward(struct array dgate, struct array dup, struct matrix dout, struct matrix gate,
                                  struct matrix up, int64_t n) {
    struct silu_job job = {.dgate = dgate, .dup = dup, .dout = dout, .gate = gate, .up = up, .n = n};
    pool_run("silu multiply backward", divide_up(n, CHUNK), backward_task, &job);
}
