// Products of a few rows, for decoding: bound by reading the weights. A task owns some rows of b, reads them once from memory, one
// after the other as the processor's own prefetching likes it best, and keeps them in its caches while the rows of a pass by.
//
// An element is one chain of multiply-adds a lane over k, 32 numbers a step, whatever tile it falls into: a row's result does not
// depend on how many rows there are.
#include "allocator.h"
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"
#include "weight_storage.h"

enum {
    STEP = 2 * LANES,
    TASK_BYTES = 96 << 10,    // of b, in a second-level cache
    MOST_PRODUCTS = 32,       // that share their tasks
    INPUT_BYTES = 20 << 10,   // of a, in a first-level cache beside a few rows of b
    UNPACKED_BYTES = 12 << 10 // of b, in a first-level cache
};

// Rows of a and of b in a tile whose sums fill the registers of a level.
#if defined(__x86_64__)
#define DOT_ROWS(level) ((level) == CPU_AVX512 ? 4 : (level) == CPU_AVX2 ? 2 : 1)
#define DOT_COLUMNS(level) ((level) == CPU_AVX512 ? 4 : 2)
#else
#define DOT_ROWS(level) 3
#define DOT_COLUMNS(level) 2
#endif

struct matvec_job {
    float *out;
    const float *a; // [m, depth]: rows of whole steps, in the order in which b's numbers come
    const float *addend;
    struct matrix b;
    int64_t m, n, k, depth;
    int64_t columns, rows; // of b in a task, of a in a pass over them
    int64_t first_task;
    float factor;
    bool is_arranged; // a is a copy in that order, made by this job
    bool is_unpacked; // b is in a cache already
};

// The jobs of one call, whose tasks follow each other.
struct matvec_jobs {
    struct matvec_job *jobs;
    int32_t count;
};

// Half a step of a row of b: the even or the odd ones of bf16, where both come from the same words; the first or the second half of
// f32.
BODY vector load_half(const char *row, bool is_bf16, int64_t i, int half) {
    if (!is_bf16) return load((const float *)row + i + half * LANES);
    word_vector pairs;
    memcpy(&pairs, row + i * 2, sizeof pairs);
    return half == 0 ? (vector)(pairs << 16) : (vector)(pairs & 0xFFFF0000);
}

// The row of a for one of b: padded with zeros, and in steps of even and odd elements for bf16.
BODY void arrange_row_body(float *to, const float *from, int64_t k, bool is_bf16) {
    for (int64_t i = 0; i < k; i += STEP, to += STEP) {
        vector low = load_some(from + i, k - i), high = splat(0);
        if (k - i > LANES) high = load_some(from + i + LANES, k - i - LANES);
        vector even = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        vector odd = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        store(to, is_bf16 ? even : low);
        store(to + LANES, is_bf16 ? odd : high);
    }
}
VARIANTS(arrange_row, (float *to, const float *from, int64_t k, bool is_bf16), (to, from, k, is_bf16))

BODY void add_step(vector sum[4][4], const float *a, int64_t depth, const char *b, int64_t row_bytes, bool is_bf16, int64_t i,
                   const int rows, const int columns) {
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
        vector w[4];
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) w[c] = load_half(b + c * row_bytes, is_bf16, i, half);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
            for (int c = 0; c < columns; c++) sum[c][r] = load(a + r * depth + half * LANES) * w[c] + sum[c][r];
    }
}

// out[row + r][column + c] for constant numbers of rows of a and of b.
BODY void dot_tile(const struct matvec_job *job, bool is_bf16, int64_t row, int64_t column, const int rows, const int columns,
                   const char *ahead, int64_t advance) {
    int64_t k = job->k, depth = job->depth, width = is_bf16 ? 2 : 4, i = 0;
    const char *b = (const char *)job->b.data + column * k * width;
    const float *a = job->a + row * depth;
    vector sum[4][4];
#pragma clang loop unroll(full)
    for (int c = 0; c < columns; c++)
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) sum[c][r] = splat(0);
    for (; i + STEP <= k; i += STEP, ahead += advance) {
        if (advance > 0) __builtin_prefetch(ahead);
        add_step(sum, a + i, depth, b, k * width, is_bf16, i, rows, columns);
    }
    if (i < k) { // the last step is filled up with zeros
        char rest[4][STEP * sizeof(float)] = {0};
        for (int c = 0; c < columns; c++) memcpy(rest[c], b + (c * k + i) * width, (size_t)((k - i) * width));
        add_step(sum, a + i, depth, rest[0], sizeof rest[0], is_bf16, 0, rows, columns);
    }
#pragma clang loop unroll(full)
    for (int c = 0; c < columns; c++)
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            int64_t at = (row + r) * job->n + column + c;
            job->out[at] = job->factor * lane_sum(sum[c][r]) + (job->addend ? job->addend[at] : 0);
        }
}

// Rows [first, last) of a against constant numbers of rows of b. Where `asks`, the rows of b two tiles further on are asked for
// meanwhile, a share of them by each pass of a.
BODY void dot_columns(const struct matvec_job *job, bool is_bf16, int64_t first, int64_t last, int64_t column, const int rows,
                      const int columns, bool asks) {
    int64_t row_bytes = job->k * (is_bf16 ? 2 : 4), share = columns * row_bytes * rows / (last - first), r = first;
    int64_t advance = asks ? columns * STEP * (is_bf16 ? 2 : 4) * rows / (last - first) : 0;
    const char *ahead = (const char *)job->b.data + (column + 2 * columns) * row_bytes;
    for (; r + rows <= last; r += rows, ahead += share) dot_tile(job, is_bf16, r, column, rows, columns, ahead, advance);
    for (; r + 2 <= last && rows > 2; r += 2) dot_tile(job, is_bf16, r, column, 2, columns, ahead, advance);
    for (; r < last; r++) dot_tile(job, is_bf16, r, column, 1, columns, ahead, advance);
}

BODY void dot_task(const struct matvec_job *job, bool is_bf16, int64_t first, int64_t last, enum cpu_level level) {
    const int rows = DOT_ROWS(level), columns = DOT_COLUMNS(level);
    bool asks = !job->is_unpacked;
    if (job->m <= rows && !job->is_unpacked) {
        // One pass over one stream: the processor foresees what comes next better than we do.
        for (int64_t j = first; j < last; j++) dot_columns(job, is_bf16, 0, job->m, j, rows, 1, false);
        return;
    }
    for (int64_t row = 0; row < job->m; row += job->rows) {
        int64_t end = smaller(job->m, row + job->rows), j = first;
        for (; j + columns <= last; j += columns) dot_columns(job, is_bf16, row, end, j, rows, columns, asks);
        for (; j < last; j++) dot_columns(job, is_bf16, row, end, j, rows, 1, asks);
    }
}

BODY void matvec_columns_body(const struct matvec_job *job, int64_t first, int64_t last, enum cpu_level level) {
    if (job->b.dtype == GRAFT_BF16)
        dot_task(job, true, first, last, level);
    else
        dot_task(job, false, first, last, level);
}
VARIANTS_BY_LEVEL(matvec_columns, (const struct matvec_job *job, int64_t first, int64_t last), job, first, last)

// A few rows of b at a time become f32 in a first-level cache, with the columns of out that belong to them.
static void run_quantized_columns(const struct matvec_job *job, int64_t first, int64_t last) {
    int64_t k = job->k, most = larger(4, UNPACKED_BYTES / (k * 4) / 4 * 4);
    float *rows = pool_scratch((size_t)(most * k) * sizeof(float));
    struct matvec_job unpacked = *job;
    unpacked.b = (struct matrix){.data = rows, .dtype = GRAFT_F32}, unpacked.is_unpacked = true;
    for (; first < last; first += most) {
        int64_t count = smaller(most, last - first);
        unpack_run(rows, job->b, first * k, count * k);
        unpacked.out = job->out + first;
        if (job->addend) unpacked.addend = job->addend + first;
        matvec_columns(&unpacked, 0, count);
    }
}

static void run_columns(const struct matvec_job *job, int64_t first, int64_t last) {
    (is_quantized(job->b) ? run_quantized_columns : matvec_columns)(job, first, last);
}

static void matvec_task(void *context, int64_t task) {
    const struct matvec_jobs *all = context;
    int32_t i = all->count - 1;
    while (all->jobs[i].first_task > task) i--;
    const struct matvec_job *job = &all->jobs[i];
    int64_t first = (task - job->first_task) * job->columns;
    run_columns(job, first, smaller(job->n, first + job->columns));
}

static struct matvec_job job_of(const struct matvec_product *p, int64_t m) {
    struct matvec_job job = {.out = p->out, .a = p->a, .addend = p->addend, .b = p->b, .m = m, .n = p->n, .k = p->k};
    job.factor = p->factor;
    job.depth = divide_up(p->k, STEP) * STEP;
    job.columns = larger(4, TASK_BYTES / larger(1, p->k * (p->b.dtype == GRAFT_BF16 ? 2 : 4)) / 4 * 4);
    job.rows = larger(12, INPUT_BYTES / (larger(1, job.depth) * 4) / 12 * 12);
    return job;
}

static size_t arranged_bytes(const struct matvec_job *job) { return (size_t)(job->m * job->depth) * sizeof(float); }

// Puts a in order where b asks for it; products of one a share the copy.
static void arrange(struct matvec_job *job, const float *a, const struct matvec_job *before, const float *a_before) {
    bool is_bf16 = job->b.dtype == GRAFT_BF16;
    if (!is_bf16 && job->depth == job->k) return;
    if (before && a_before == a && before->k == job->k && (before->b.dtype == GRAFT_BF16) == is_bf16) {
        job->a = before->a;
        return;
    }
    float *arranged = working_space(arranged_bytes(job));
    for (int64_t r = 0; r < job->m; r++) arrange_row(arranged + r * job->depth, a + r * job->k, job->k, is_bf16);
    job->a = arranged, job->is_arranged = true;
}

void graft_matvec_nt(const struct matvec_product *products, int32_t count, int64_t m) {
    struct matvec_job jobs[MOST_PRODUCTS];
    for (; count > MOST_PRODUCTS; products += MOST_PRODUCTS, count -= MOST_PRODUCTS)
        graft_matvec_nt(products, MOST_PRODUCTS, m);
    int64_t tasks = 0;
    for (int32_t i = 0; i < count; i++) {
        jobs[i] = job_of(&products[i], m);
        arrange(&jobs[i], products[i].a, i > 0 ? &jobs[i - 1] : NULL, i > 0 ? products[i - 1].a : NULL);
        jobs[i].first_task = tasks;
        tasks += divide_up(jobs[i].n, jobs[i].columns);
    }
    struct matvec_jobs all = {jobs, count};
    pool_run("matvec", tasks, matvec_task, &all);
    for (int32_t i = 0; i < count; i++)
        if (jobs[i].is_arranged) graft_release((void *)jobs[i].a, arranged_bytes(&jobs[i]));
}
