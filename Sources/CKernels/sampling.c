// What choosing a token from its logits needs over the whole vocabulary.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

#include <math.h>

struct sampling_job {
    float *out;
    double *sums;
    const float *x;
    float maximum, factor;
    int64_t n;
};

BODY void largest_body(const float *x, int64_t n, int64_t *index) {
    vector best = splat(-INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) best = vector_maximum(load(x + i), best);
    float value = lane_maximum(best);
    for (; i < n; i++) value = x[i] > value ? x[i] : value;
    for (i = 0; i < n && x[i] != value; i++) {}
    *index = i < n ? i : -1;
}
VARIANTS(largest, (const float *x, int64_t n, int64_t *index), (x, n, index))

int64_t graft_largest(const float *x, int64_t n) {
    int64_t index;
    largest(x, n, &index);
    return index;
}

BODY void exponential_block_body(const struct sampling_job *job, int64_t block) {
    int64_t last = smaller(job->n, (block + 1) * GRAFT_SUM_BLOCK);
    double_vector sum = {0};
    for (int64_t i = block * GRAFT_SUM_BLOCK; i < last; i += LANES) {
        int64_t count = last - i;
        vector e = vector_exp((load_some(job->x + i, count) - splat(job->maximum)) * splat(job->factor));
        store_some(job->out + i, e, count);
        for (int lane = (int)smaller(count, LANES); lane < LANES; lane++) e[lane] = 0;
        sum += __builtin_convertvector(e, double_vector);
    }
    job->sums[block] = lane_sum_double(sum);
}
VARIANTS(exponential_block, (const struct sampling_job *job, int64_t block), (job, block))

static void exponential_task(void *context, int64_t task) {
    const struct sampling_job *job = context;
    int64_t blocks = divide_up(job->n, GRAFT_SUM_BLOCK), per_task = 16;
    for (int64_t block = task * per_task; block < smaller(blocks, (task + 1) * per_task); block++) exponential_block(job, block);
}

void graft_exponentials(float *out, double *sums, const float *x, float maximum, float factor, int64_t n) {
    struct sampling_job job = {out, sums, x, maximum, factor, n};
    pool_run("sampling", divide_up(divide_up(n, GRAFT_SUM_BLOCK), 16), exponential_task, &job);
}
