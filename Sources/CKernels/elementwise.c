// Elementwise arithmetic and the two sums over all elements.
#include "allocator.h"
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

// Elements of a task. A multiple of the vector, so that an element's place in its vector does not depend on the task.
enum { CHUNK = 16384 };

struct elementwise_job {
    void (*chunk)(float *out, const float *a, const float *b, float factor, int64_t n);
    float *out;
    const float *a, *b;
    float factor;
    int64_t n;
};

static void elementwise_task(void *context, int64_t task) {
    const struct elementwise_job *job = context;
    int64_t start = task * CHUNK;
    job->chunk(job->out + start, job->a ? job->a + start : NULL, job->b ? job->b + start : NULL, job->factor,
               smaller(CHUNK, job->n - start));
}

static void run_elementwise(struct elementwise_job job) {
    pool_run("elementwise", divide_up(job.n, CHUNK), elementwise_task, &job);
}

#define ELEMENTWISE(name, expression)                                                                                  \
    BODY void name##_body(float *out, const float *a, const float *b, float factor, int64_t n) {                       \
        (void)a, (void)b, (void)factor;                                                                                \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            int64_t count = n - i;                                                                                     \
            store_some(out + i, expression, count);                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    VARIANTS(name, (float *out, const float *a, const float *b, float factor, int64_t n), (out, a, b, factor, n))

#define A load_some(a + i, count)
#define B load_some(b + i, count)
#define OUT load_some(out + i, count)
ELEMENTWISE(fill_chunk, splat(factor))
ELEMENTWISE(add_chunk, A + B)
ELEMENTWISE(multiply_chunk, A *B)
ELEMENTWISE(scale_chunk, A *splat(factor))
ELEMENTWISE(add_scaled_chunk, A *splat(factor) + OUT)

void graft_fill(float *out, float value, int64_t n) {
    run_elementwise((struct elementwise_job){fill_chunk, out, NULL, NULL, value, n});
}

void graft_add(float *out, const float *a, const float *b, int64_t n) {
    run_elementwise((struct elementwise_job){add_chunk, out, a, b, 0, n});
}

void graft_multiply(float *out, const float *a, const float *b, int64_t n) {
    run_elementwise((struct elementwise_job){multiply_chunk, out, a, b, 0, n});
}

void graft_scale(float *out, const float *a, float factor, int64_t n) {
    run_elementwise((struct elementwise_job){scale_chunk, out, a, NULL, factor, n});
}

void graft_add_scaled(float *out, const float *a, float factor, int64_t n) {
    run_elementwise((struct elementwise_job){add_scaled_chunk, out, a, NULL, factor, n});
}

// Sums: one partial sum in f64 for each block of fixed size, added in order.
struct sum_job {
    void (*block)(double *out, const float *a, int64_t n);
    double *partial;
    const float *a;
    int64_t n;
};

static void sum_task(void *context, int64_t task) {
    const struct sum_job *job = context;
    int64_t start = task * CHUNK;
    job->block(job->partial + task, job->a + start, smaller(CHUNK, job->n - start));
}

static double run_sum(void (*block)(double *, const float *, int64_t), const float *a, int64_t n) {
    int64_t blocks = divide_up(n, CHUNK);
    double *partial = working_space((size_t)blocks * sizeof *partial), total = 0;
    pool_run("sums", blocks, sum_task, &(struct sum_job){block, partial, a, n});
    for (int64_t i = 0; i < blocks; i++) total += partial[i];
    graft_release(partial, (size_t)blocks * sizeof *partial);
    return total;
}

#define SUM(name, expression)                                                                                          \
    BODY void name##_body(double *out, const float *a, int64_t n) {                                                    \
        double_vector total = {0};                                                                                     \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            double_vector x = __builtin_convertvector(load_some(a + i, n - i), double_vector);                         \
            total += expression;                                                                                       \
        }                                                                                                              \
        *out = lane_sum_double(total);                                                                                 \
    }                                                                                                                  \
    VARIANTS(name, (double *out, const float *a, int64_t n), (out, a, n))

SUM(sum_block, x)
SUM(sum_of_squares_block, x *x)

double graft_sum(const float *a, int64_t n) { return run_sum(sum_block, a, n); }

double graft_sum_of_squares(const float *a, int64_t n) { return run_sum(sum_of_squares_block, a, n); }
