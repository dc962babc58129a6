// The activations of small layers beside the model, as bottlenecks have them: one element after the other with the C library's
// functions, since there are few of them.
#include "kernels.h"
#include "thread_pool.h"

#include <math.h>

enum { CHUNK = 4096 };

static const float INVERSE_SQRT_2 = 0.70710678118654752f, INVERSE_SQRT_2_PI = 0.39894228040143268f;

static float value_at(float x, enum activation kind) {
    switch (kind) {
    case GRAFT_RELU: return x > 0 ? x : 0;
    case GRAFT_GELU: return 0.5f * x * (1 + erff(x * INVERSE_SQRT_2));
    case GRAFT_SILU: return x / (1 + expf(-x));
    default: return tanhf(x);
    }
}

static float slope_at(float x, enum activation kind) {
    switch (kind) {
    case GRAFT_RELU: return x > 0 ? 1 : 0;
    case GRAFT_GELU: return 0.5f * (1 + erff(x * INVERSE_SQRT_2)) + x * expf(-0.5f * x * x) * INVERSE_SQRT_2_PI;
    case GRAFT_SILU: {
        float s = 1 / (1 + expf(-x));
        return s * (1 + x * (1 - s));
    }
    default: {
        float y = tanhf(x);
        return 1 - y * y;
    }
    }
}

struct activation_job {
    float *out;
    const float *x, *dout; // dout: NULL forward
    enum activation kind;
    int64_t n;
};

static void activation_task(void *context, int64_t task) {
    const struct activation_job *job = context;
    for (int64_t i = task * CHUNK; i < smaller(job->n, (task + 1) * CHUNK); i++)
        job->out[i] = job->dout ? job->dout[i] * slope_at(job->x[i], job->kind) : value_at(job->x[i], job->kind);
}

void graft_activation_forward(float *out, const float *x, enum activation kind, int64_t n) {
    struct activation_job job = {.out = out, .x = x, .kind = kind, .n = n};
    pool_run("activation", divide_up(n, CHUNK), activation_task, &job);
}

void graft_activation_backward(float *dx, const float *dout, const float *x, enum activation kind, int64_t n) {
    struct activation_job job = {.out = dx, .x = x, .dout = dout, .kind = kind, .n = n};
    pool_run("activation backward", divide_up(n, CHUNK), activation_task, &job);
}
