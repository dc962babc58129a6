// Attention without a [T, T] array (Milakov and Gimelshein 2018; Dao et al. 2022): each task owns a block of queries of one head
// and meets the keys block by block, with a running maximum and sum.
//
// Scores are kept transposed, [keys, queries]: the softmax then runs down the lanes, and neither product needs its keys or values
// packed.
#include "attention_bf16.h"
#include "attention_tiles.h"

#include <math.h>

struct attention_job {
    float *out, *lse;
    const float *q, *k, *v;
    const struct attention_layout *layout;
    const struct query_block *blocks;
    int64_t H, K, D;
    float scale;
};

struct working_set {
    float *queries; // [D, 64], scaled
    float *scores;  // [64 keys, 64 queries]
    float *result;  // [64, D rounded up]
    float *values;  // [64, D rounded up]
    float maximum[BLOCK], sum[BLOCK], rescale[BLOCK];
    bool empty; // no key has been met
};

// Where a later key than the query's own row stands, minus infinity: exponentials of those scores are zero.
BODY void mask_future(float *scores, int64_t keys, int64_t queries) {
    for (int64_t j = 1; j < keys; j++)
        for (int64_t i = 0; i < smaller(j, queries); i++) scores[j * BLOCK + i] = -INFINITY;
}

// scores = exp(scores - new maximum), and the running maximum, sum and the factor that brings earlier sums to the new maximum.
BODY void online_softmax(struct working_set *w, int64_t keys, int64_t queries) {
    for (int64_t i = 0; i < queries; i += LANES) {
        float *scores = w->scores + i;
        vector old = w->empty ? splat(-INFINITY) : load(w->maximum + i), maximum = old;
        for (int64_t j = 0; j < keys; j++) maximum = vector_maximum(load(scores + j * BLOCK), maximum);
        vector rescale = vector_exp(old - maximum), sum = {0};
        for (int64_t j = 0; j < keys; j++) {
            vector e = vector_exp(load(scores + j * BLOCK) - maximum);
            store(scores + j * BLOCK, e);
            sum += e;
        }
        store(w->sum + i, w->empty ? sum : load(w->sum + i) * rescale + sum);
        store(w->maximum + i, maximum);
        store(w->rescale + i, rescale);
    }
}

BODY void rescale_result(struct working_set *w, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t d = 0; d < width; d += LANES)
            store(w->result + i * width + d, load(w->result + i * width + d) * splat(w->rescale[i]));
}

// At most 64 keys; `diagonal`: they are the block's own rows, of which a query sees those up to itself.
BODY void meet_keys(const struct attention_job *job, struct working_set *w, const float *keys, const float *values,
                    int64_t count, int64_t rows, bool diagonal, enum cpu_level level) {
    int64_t D = job->D, row = job->K * D, queries = round_to_lanes(rows), width = round_to_lanes(D), values_row;
    block_product(w->scores, BLOCK, (struct strided){keys, row, 1}, w->queries, BLOCK, count, queries, D, false, level);
    if (diagonal) mask_future(w->scores, count, queries);
    online_softmax(w, count, queries);
    if (!w->empty) rescale_result(w, rows, width);
    values = whole_vectors(w->values, values, row, count, D, &values_row);
    block_product(w->result, width, (struct strided){w->scores, 1, BLOCK}, values, values_row, rows, width, count,
                  !w->empty, level);
    w->empty = false;
}

BODY void write_result(const struct attention_job *job, const struct working_set *w, int64_t row, int64_t rows, int64_t head) {
    int64_t D = job->D, width = round_to_lanes(D);
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = (row + i) * job->H + head;
        job->lse[at] = w->maximum[i] + logf(w->sum[i]);
        for (int64_t d = 0; d < D; d += LANES)
            store_some(job->out + at * D + d, load(w->result + i * width + d) / splat(w->sum[i]), D - d);
    }
}

BODY void forward_block_body(const struct attention_job *job, int64_t task, enum cpu_level level) {
    const struct query_block *block = &job->blocks[task / job->H];
    const struct attention_sequence *sequence = &job->layout->sequences[block->sequence];
    int64_t head = task % job->H, D = job->D, row = job->K * D, width = round_to_lanes(D);
    int64_t first = sequence->start + block->first, key_head = head / (job->H / job->K) * D;
    float *buffer = pool_scratch((size_t)(BLOCK * (D + BLOCK + 2 * width)) * sizeof(float));
    struct working_set w = {.queries = buffer, .scores = buffer + BLOCK * D, .empty = true};
    w.result = w.scores + BLOCK * BLOCK, w.values = w.result + BLOCK * width;
    transpose_block(w.queries, job->q + (first * job->H + head) * D, job->H * D, block->rows, D, job->scale);
    for (int32_t s = 0; s < sequence->segment_count; s++) {
        struct segment_keys segment =
            keys_of_segment(job->layout, &job->layout->segments[sequence->first_segment + s], job->k, job->v, row);
        for (int64_t j = 0; j < segment.count; j += BLOCK)
            meet_keys(job, &w, segment.keys + j * row + key_head, segment.values + j * row + key_head,
                      smaller(BLOCK, segment.count - j), block->rows, false, level);
    }
    for (int64_t j = 0; j <= block->first; j += BLOCK) {
        int64_t at = (sequence->start + j) * row + key_head;
        meet_keys(job, &w, job->k + at, job->v + at, j < block->first ? BLOCK : block->rows, block->rows, j == block->first,
                  level);
    }
    write_result(job, &w, first, block->rows, head);
}
VARIANTS_BY_LEVEL(forward_block, (const struct attention_job *job, int64_t task), job, task)

static void attention_task(void *context, int64_t task) { forward_block(context, task); }

void graft_attention_forward(struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                             const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    bool is_bf16 = q.dtype == GRAFT_BF16;
    if (is_bf16 && bf16_attention_forward(matrix_unit(), out, lse, q, k, v, layout, T, H, K, D, scale)) return;
    int64_t queries = T * H * D, keys = T * K * D, count;
    struct attention_job job = {
        .out = narrowed(out, queries), .lse = lse, .q = widened(q, queries), .k = widened(k, keys), .v = widened(v, keys),
        .layout = layout, .blocks = query_blocks(layout, &count), .H = H, .K = K, .D = D, .scale = scale};
    if (!covers_all_rows(layout, T)) {
        graft_fill(job.out, 0, queries);
        graft_fill(lse, 0, T * H);
    }
    pool_run("attention", count * H, attention_task, &job);
    release_query_blocks((struct query_block *)job.blocks, count);
    release_widened(job.q, q, queries), release_widened(job.k, k, keys), release_widened(job.v, v, keys);
    finish_narrowed(job.out, out, queries);
}
