// Every row times one vector, and the gradient of that vector.
#include "convert.h"
#include "elements.h"
#include "kernels.h"
#include "thread_pool.h"

enum { BLOCK = 256 };

struct scale_job {
    struct array out;
    struct matrix x;
    const float *scale, *bias, *addend;
    int64_t T, C;
};

BODY void scale_rows_body(const struct scale_job *job, int64_t first, int64_t last) {
    int64_t C = job->C;
    for (int64_t t = first; t < last; t++) {
        for (int64_t c = 0; c < C; c += LANES) {
            int64_t count = C - c, at = t * C + c;
            vector sum = load_elements(job->x.data, job->x.dtype, at, count) * load_some(job->scale + c, count);
            if (job->bias) sum += load_some(job->bias + c, count);
            if (job->addend) sum += load_some(job->addend + at, count);
            store_elements(job->out.data, job->out.dtype, at, sum, count);
        }
    }
}
VARIANTS(scale_rows, (const struct scale_job *job, int64_t first, int64_t last), (job, first, last))

static void scale_task(void *context, int64_t task) {
    const struct scale_job *job = context;
    int64_t rows = rows_per_task(job->C);
    scale_rows(job, task * rows, smaller(job->T, (task + 1) * rows));
}

void graft_scale_columns(struct array out, struct matrix x, const float *scale, const float *bias, const float *addend, int64_t T,
                         int64_t C) {
    struct scale_job job = {.out = out, .x = x, .scale = scale, .bias = bias, .addend = addend, .T = T, .C = C};
    pool_run("scale columns", divide_up(T, rows_per_task(C)), scale_task, &job);
}

struct products_job {
    float *out;
    struct matrix a, b;
    int64_t T, C;
};

// Partial sums of 256 rows, added in order; a task owns the channels of one vector.
BODY void sum_products_panel_body(const struct products_job *job, int64_t c) {
    int64_t C = job->C, count = C - c;
    vector total = load_some(job->out + c, count);
    for (int64_t block = 0; block < job->T; block += BLOCK) {
        vector partial = {0};
        for (int64_t t = block; t < smaller(job->T, block + BLOCK); t++)
            partial += load_elements(job->a.data, job->a.dtype, t * C + c, count) *
                       load_elements(job->b.data, job->b.dtype, t * C + c, count);
        total += partial;
    }
    store_some(job->out + c, total, count);
}
VARIANTS(sum_products_panel, (const struct products_job *job, int64_t c), (job, c))

static void products_task(void *context, int64_t task) { sum_products_panel(context, task * LANES); }

void graft_sum_products(float *out, struct matrix a, struct matrix b, int64_t T, int64_t C) {
    struct products_job job = {.out = out, .a = a, .b = b, .T = T, .C = C};
    pool_run("scale gradient", divide_up(C, LANES), products_task, &job);
}
