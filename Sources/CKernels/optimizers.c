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
    vector keep = splat(1.0f - k.learning_rate * k.weight_decay), rate = splat(k.learning_rate / k.bias_correction1);
    vector root_correction2 = splat(sqrtf(k.bias_correction2)), beta2 = splat(k.beta2), scale = splat(k.gradient_scale);
    vector rest1 = splat(k.beta1_rest), rest2 = splat(k.beta2_rest), epsilon = splat(k.epsilon);
    for (int64_t i = first; i < last; i += LANES) {
        int64_t count = last - i;
        vector g = load_some(job->g + i, count) * scale, m = load_some(job->m + i, count);
        m = rest1 * (g - m) + m;
        vector v = load_some(job->v + i, count) * beta2 + rest2 * g * g;
        vector step = m / (__builtin_elementwise_sqrt(v) / root_correction2 + epsilon);
        store_some(job->m + i, m, count);
        store_some(job->v + i, v, count);
        store_some(job->w + i, load_some(job->w + i, count) * keep - rate * step, count);
    }
}
VARIANTS(adamw_chunk, (const struct adamw_job *job, int64_t first, int64_t last), (job, first, last))

static void adamw_task(void *context, int64_t task) {
    const struct adamw_job *job = context;
    adamw_chunk(job, task * CHUNK, smaller(job->n, (task + 1) * CHUNK));
}

void graft_adamw_step(float *w, float *m, float *v, const float *g, int64_t n, struct adamw_constants constants) {
    struct adamw_job job = {w, m, v, g, n, constants};
    pool_run("optimizer", divide_up(n, CHUNK), adamw_task, &job);
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
    pool_run("optimizer", divide_up(n, CHUNK), sgd_task, &job);
}
