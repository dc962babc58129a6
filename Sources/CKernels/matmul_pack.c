// The columns of one operand, converted to f32 and laid out in strips for the inner loop: once for all rows of the other.
#include "elements.h"
#include "product.h"
#include "thread_pool.h"
#include "weight_storage.h"

// 16 elements of b, of which `count` exist, as they enter the product.
BODY vector load_b(const struct product *p, struct matrix b, int64_t at, int64_t count) {
    vector v = load_elements(b.data, b.dtype, at, count);
    return p->rounds_weights && b.dtype != GRAFT_BF16 ? round_to_bf16(v) : v;
}

// 16 rows of transposed b become 16 columns, zeros past the last. Quantised rows are unpacked some columns ahead.
BODY void pack_transposed(const struct product *p, const struct product_span *span, float *packed, int64_t column) {
    int64_t columns = p->n - column, depth = span->last - span->first, first = column * span->term->k + span->first;
    struct matrix b = span->term->b, rows = {.dtype = GRAFT_F32};
    float *unpacked = is_quantized(b) ? pool_scratch(LANES * UNPACKED * sizeof(float)) : NULL;
    rows.data = unpacked;
    for (int64_t k = 0; k < depth; k += LANES) {
        for (int64_t j = 0; unpacked && k % UNPACKED == 0 && j < smaller(LANES, columns); j++)
            unpack_run(unpacked + j * UNPACKED, b, first + j * span->term->k + k, smaller(UNPACKED, depth - k));
        vector block[LANES];
        for (int j = 0; j < LANES; j++)
            block[j] = j >= columns ? splat(0)
                       : unpacked   ? load_b(p, rows, j * UNPACKED + k % UNPACKED, depth - k)
                                    : load_b(p, b, first + j * span->term->k + k, depth - k);
        transpose_16(block);
        for (int64_t i = 0; i < smaller(LANES, depth - k); i++) store(packed + (k + i) * p->strip, block[i]);
    }
}

struct pack_job {
    const struct product *p;
    int64_t first_task[MOST_SPANS + 1];
};

// Transposed b is packed strip by strip, b itself a few rows at a time: both then read b in order.
BODY void pack_body(const struct product *p, const struct product_span *span, int64_t task) {
    int64_t depth = span->last - span->first, columns = p->last_column - p->first_column;
    float *packed = p->packed + span->packed * divide_up(columns, p->strip) * p->strip;
    if (span->term->b_transposed) {
        for (int64_t j = 0; j < p->strip; j += LANES)
            pack_transposed(p, span, packed + task * p->strip * depth + j, p->first_column + task * p->strip + j);
        return;
    }
    struct matrix b = span->term->b, row = {.dtype = GRAFT_F32};
    float *unpacked = is_quantized(b) ? pool_scratch(UNPACKED * sizeof(float)) : NULL;
    row.data = unpacked;
    for (int64_t k = task * PACKED_ROWS; k < smaller(depth, (task + 1) * PACKED_ROWS); k++)
        for (int64_t j = 0; j < divide_up(columns, p->strip) * p->strip; j += LANES) {
            int64_t column = p->first_column + j, at = (span->first + k) * p->n + column, left = p->n - column;
            if (unpacked && j % UNPACKED == 0) unpack_run(unpacked, b, at, smaller(UNPACKED, left));
            vector v = left <= 0 ? splat(0) : unpacked ? load_b(p, row, j % UNPACKED, left) : load_b(p, b, at, left);
            store(packed + j / p->strip * p->strip * depth + k * p->strip + j % p->strip, v);
        }
}
VARIANTS(pack, (const struct product *p, const struct product_span *span, int64_t task), (p, span, task))

static void pack_task(void *context, int64_t task) {
    const struct pack_job *job = context;
    int32_t s = 0;
    while (task >= job->first_task[s + 1]) s++;
    pack(job->p, &job->p->spans[s], task - job->first_task[s]);
}

void pack_columns(struct product *p) {
    struct pack_job job = {.p = p};
    for (int32_t s = 0; s < p->span_count; s++) {
        const struct product_span *span = &p->spans[s];
        int64_t tasks = span->term->b_transposed ? divide_up(p->last_column - p->first_column, p->strip)
                                                 : divide_up(span->last - span->first, PACKED_ROWS);
        job.first_task[s + 1] = job.first_task[s] + tasks;
    }
    pool_run("packing", job.first_task[p->span_count], pack_task, &job);
}
