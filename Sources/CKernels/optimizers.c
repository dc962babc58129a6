// Optimizer steps, element by element, as torch.optim computes them.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

#include <math.h>

enum { CHUNK = 16384 };

struct adamw_job {
    float *w, *m, *v;
    const float *g;
    int64_t n;
    struct adamw_constants constants;
};

// w -= lr * decay * w;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2;
// w -= lr / correction1 * m / (sqrt(v) / sqrt(correction2) + eps)
BODY void adamw_chunk_body(const struct adamw_job *job, int64_t first, int64_t last) {
    struct adamw_constants k = job->constants;
    float keep = 1.0f - k.learning_rate * k.weight_decay, rate = k.learning_rate / k.bias_correction1;
    float root_correction2 = sqrtf(k.bias_correction2);
    float *restrict w = job->w, *restrict m = job->m, *restrict v = job->v;
    const float *restrict gradient = job->g;
    for (int64_t i = first; i < last; i++) {
        float g = gradient[i] * k.gradient_scale;
        m[i] = m[i] + k.beta1_rest * (g - m[i]);
        v[i] = v[i] * k.beta2 + k.beta2_rest * g * g;
        float denominator = sqrtf(v[i]) / root_correction2 + k.epsilon;
        w[i] = w[i] * keep - rate * (m[i] / denominator);
    }
}
VARIANTS(adamw_chunk, (const struct adamw_job *job, int64_t first, int64_t last), (job, first, last))

static void adamw_task(void *context, int64_t task) {
    const struct adamw_job *job = context;
    adamw_chunk(job, task * CHUNK, smaller(job->n, (task + 1) * CHUNK));
}

void graft_adamw_step(float *w, float *m, float *v, const float *g, int64_t n, struct adamw_constants constants) {
    struct adamw_job job = {w, m, v, g, n, constants};
    pool_run(divide_up(n, CHUNK), adamw_task, &job);
}

struct sgd_job {
    float *w, *momentum_buffer;
    const float *g;
    int64_t n;
    float learning_rate, momentum, weight_decay, gradient_scale;
    bool first_step;
};

// g += decay * w;  buffer = first step ? g : momentum * buffer + g;  w -= lr * buffer
BODY void sgd_chunk_body(const struct sgd_job *job, int64_t first, int64_t last) {
    float *restrict w = job->w, *restrict buffer = job->momentum_buffer;
    const float *restrict gradient = job->g;
    for (int64_t i = first; i < last; i++) {
        float g = gradient[i] * job->gradient_scale + job->weight_decay * w[i];
        if (buffer) g = buffer[i] = job->first_step ? g : job->momentum * buffer[i] + g;
        w[i] -= job->learning_rate * g;
    }
}
VARIANTS(sgd_chunk, (const struct sgd_job *job, int64_t first, int64_t last), (job, first, last))

static void sgd_task(void *context, int64_t task) {
    const struct sgd_job *job = context;
    sgd_chunk(job, task * CHUNK, smaller(job->n, (task + 1) * CHUNK));
}

void graft_sgd_step(float *w, float *momentum_buffer, const float *g, int64_t n, float learning_rate, float momentum,
                    float weight_decay, float gradient_scale, bool first_step) {
    struct sgd_job job = {w, momentum_buffer, g, n, learning_rate, momentum, weight_decay, gradient_scale, first_step};
    pool_run(divide_up(n, CHUNK), sgd_task, &job);
}
