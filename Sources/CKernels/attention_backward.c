// The gradients of attention. In the forward pass, for query i and key j:
//     p[i, j] = exp(scale q[i] k[j] - lse[i])      out[i] = sum over j of p[i, j] v[j]
// so with dp[i, j] = dout[i] v[j], delta[i] = dout[i] out[i] and ds[i, j] = p[i, j] (dp[i, j] - delta[i]):
//     dq[i] = scale sum over j of ds[i, j] k[j]
//     dk[j] = scale sum over i of ds[i, j] q[i]    dv[j] = sum over i of p[i, j] dout[i]
//
// A task owns the dq of a block of queries, or the dk and dv of a block of keys, whose readers it visits in order. Both compute p
// and ds anew: that costs two products of seven, and no sum is split.
#include "attention_bf16.h"
#include "attention_readers.h"

struct backward_job {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse, *q, *k, *v;
    float *delta; // [T, H]
    const struct attention_layout *layout;
    const struct query_block *queries;
    struct reader_index keys;
    int64_t T, H, K, D;
    float scale;
};

BODY void delta_rows_body(const struct backward_job *job, int64_t first, int64_t last) {
    int64_t D = job->D;
    for (int64_t i = first; i < last; i++) {
        vector sum = {0};
        for (int64_t d = 0; d < D; d += LANES)
            sum = load_some(job->dout + i * D + d, D - d) * load_some(job->out + i * D + d, D - d) + sum;
        job->delta[i] = lane_sum(sum);
    }
}
VARIANTS(delta_rows, (const struct backward_job *job, int64_t first, int64_t last), (job, first, last))

static void delta_task(void *context, int64_t task) {
    const struct backward_job *job = context;
    int64_t rows = rows_per_task(job->D);
    delta_rows(job, task * rows, smaller(job->T * job->H, (task + 1) * rows));
}

// Working set of a task: of two operands the transposes, of two the copies with whole vectors, and the two tiles.
struct tiles {
    float *left, *right;  // [D, 64]
    float *p, *ds;        // [64, 64]
    float *first, *second; // results, [64, D rounded up]
    float *copy;          // [64, D rounded up]
};

static struct tiles make_tiles(int64_t D) {
    int64_t width = round_to_lanes(D);
    float *buffer = pool_scratch((size_t)(BLOCK * (2 * D + 2 * BLOCK + 3 * width)) * sizeof(float));
    struct tiles t = {.left = buffer, .right = buffer + BLOCK * D};
    t.p = t.right + BLOCK * D, t.ds = t.p + BLOCK * BLOCK;
    t.first = t.ds + BLOCK * BLOCK, t.second = t.first + BLOCK * width, t.copy = t.second + BLOCK * width;
    return t;
}

BODY void write_rows(float *out, int64_t out_row, const float *in, int64_t rows, int64_t D, float factor, bool adds) {
    int64_t width = round_to_lanes(D);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t d = 0; d < D; d += LANES) {
            float *to = out + i * out_row + d;
            vector value = load(in + i * width + d) * splat(factor);
            store_some(to, adds ? load_some(to, D - d) + value : value, D - d);
        }
}

// dq: tiles are transposed, [keys, queries], as in the forward pass.
BODY void queries_meet_keys(const struct backward_job *job, const struct tiles *t, const float *lse, const float *delta,
                            const float *keys, const float *values, int64_t count, int64_t rows, bool diagonal, bool first,
                            enum cpu_level level) {
    int64_t D = job->D, row = job->K * D, queries = round_to_lanes(rows), width = round_to_lanes(D), keys_row;
    block_product(t->p, BLOCK, (struct strided){keys, row, 1}, t->left, BLOCK, count, queries, D, false, level);
    block_product(t->ds, BLOCK, (struct strided){values, row, 1}, t->right, BLOCK, count, queries, D, false, level);
    for (int64_t j = 0; j < count; j++) {
        for (int64_t i = 0; i < queries; i += LANES) {
            vector p = vector_exp(load(t->p + j * BLOCK + i) - load(lse + i));
            store(t->ds + j * BLOCK + i, p * (load(t->ds + j * BLOCK + i) - load(delta + i)));
        }
        for (int64_t i = 0; diagonal && i < smaller(j, queries); i++) t->ds[j * BLOCK + i] = 0;
    }
    keys = whole_vectors(t->copy, keys, row, count, D, &keys_row);
    block_product(t->first, width, (struct strided){t->ds, 1, BLOCK}, keys, keys_row, rows, width, count, !first, level);
}

BODY void query_gradient_body(const struct backward_job *job, int64_t task, enum cpu_level level) {
    const struct query_block *block = &job->queries[task / job->H];
    const struct attention_sequence *sequence = &job->layout->sequences[block->sequence];
    int64_t H = job->H, D = job->D, row = job->K * D, head = task % H, key_head = head / (H / job->K) * D;
    int64_t start = sequence->start + block->first, at = (start * H + head) * D;
    struct tiles t = make_tiles(D);
    float lse[BLOCK] = {0}, delta[BLOCK] = {0};
    for (int64_t i = 0; i < block->rows; i++)
        lse[i] = job->lse[(start + i) * H + head], delta[i] = job->delta[(start + i) * H + head];
    transpose_block(t.left, job->q + at, H * D, block->rows, D, job->scale);
    transpose_block(t.right, job->dout + at, H * D, block->rows, D, 1.0f);
    bool first = true;
    for (int32_t s = 0; s < sequence->segment_count; s++) {
        struct segment_keys segment =
            keys_of_segment(job->layout, &job->layout->segments[sequence->first_segment + s], job->k, job->v, row);
        for (int64_t j = 0; j < segment.count; j += BLOCK, first = false)
            queries_meet_keys(job, &t, lse, delta, segment.keys + j * row + key_head, segment.values + j * row + key_head,
                              smaller(BLOCK, segment.count - j), block->rows, false, first, level);
    }
    for (int64_t j = 0; j <= block->first; j += BLOCK, first = false) {
        int64_t from = (sequence->start + j) * row + key_head;
        bool diagonal = j == block->first;
        queries_meet_keys(job, &t, lse, delta, job->k + from, job->v + from, diagonal ? block->rows : BLOCK, block->rows,
                          diagonal, first, level);
    }
    write_rows(job->dq + at, H * D, t.first, block->rows, D, job->scale, false);
}
VARIANTS_BY_LEVEL(query_gradient, (const struct backward_job *job, int64_t task), job, task)

// What a block of keys meets: `rows` query rows from `row` of the batch, of which keys [low, high) are read; where the keys are
// the rows' own sequence, query i reads keys up to i + past.
struct visit {
    int64_t row, rows, low, high, past;
};

// dk and dv: tiles are [queries, keys].
BODY void keys_meet_queries(const struct backward_job *job, const struct tiles *t, const struct key_block *block,
                            struct visit visit, int64_t head, bool adds, enum cpu_level level) {
    int64_t H = job->H, D = job->D, at = (visit.row * H + head) * D, keys = round_to_lanes(block->count);
    int64_t width = round_to_lanes(D), operand_row;
    block_product(t->p, BLOCK, (struct strided){job->q + at, H * D, 1}, t->left, BLOCK, visit.rows, keys, D, false, level);
    block_product(t->ds, BLOCK, (struct strided){job->dout + at, H * D, 1}, t->right, BLOCK, visit.rows, keys, D, false, level);
    for (int64_t i = 0; i < visit.rows; i++) {
        float *p = t->p + i * BLOCK, *ds = t->ds + i * BLOCK;
        int64_t scalars = (visit.row + i) * H + head, high = smaller(visit.high, i + visit.past + 1);
        vector lse = splat(job->lse[scalars]), delta = splat(job->delta[scalars]);
        for (int64_t j = 0; j < keys; j += LANES) {
            vector probability = vector_exp(load(p + j) - lse);
            store(p + j, probability);
            store(ds + j, probability * (load(ds + j) - delta));
        }
        for (int64_t j = 0; j < visit.low; j++) p[j] = ds[j] = 0;
        for (int64_t j = high; j < block->count; j++) p[j] = ds[j] = 0;
    }
    const float *operand = whole_vectors(t->copy, job->dout + at, H * D, visit.rows, D, &operand_row);
    block_product(t->second, width, (struct strided){t->p, 1, BLOCK}, operand, operand_row, block->count, width,
                  visit.rows, adds, level);
    operand = whole_vectors(t->copy, job->q + at, H * D, visit.rows, D, &operand_row);
    block_product(t->first, width, (struct strided){t->ds, 1, BLOCK}, operand, operand_row, block->count, width,
                  visit.rows, adds, level);
}

// All rows of a sequence from row `first` on; own rows of the block are read causally.
BODY void visit_sequence(const struct backward_job *job, const struct tiles *t, const struct key_block *block, int64_t key_head,
                         int32_t reader, int64_t low, int64_t high, bool own, bool *adds, enum cpu_level level) {
    const struct attention_sequence *sequence = &job->layout->sequences[reader];
    int64_t group = job->H / job->K, from = own ? block->first : 0;
    for (int64_t i = from; i < sequence->count; i += BLOCK) {
        struct visit visit = {sequence->start + i, smaller(BLOCK, sequence->count - i), low, high, own ? i - from : BLOCK};
        for (int64_t g = 0; g < group; g++, *adds = true) 
            keys_meet_queries(job, t, block, visit, key_head * group + g, *adds, level);
    }
}

// Where a block's first key, its value and their gradients stand. A gradient is NULL where it is not wanted.
struct key_place {
    const float *keys, *values;
    float *dkeys, *dvalues;
};

static float *offset(float *base, int64_t by) { return base ? base + by : NULL; }

static struct key_place place_of(const struct backward_job *job, const struct key_block *block) {
    int64_t at = block->row * job->K * job->D;
    if (block->outside < 0) return (struct key_place){job->k + at, job->v + at, job->dk + at, job->dv + at};
    const struct outside_keys *outside = &job->layout->outside[block->outside];
    return (struct key_place){(const float *)outside->keys + at, (const float *)outside->values + at,
                              offset(outside->keys_gradient, at), offset(outside->values_gradient, at)};
}

BODY void key_gradient_body(const struct backward_job *job, int64_t task, enum cpu_level level) {
    const struct key_block *block = &job->keys.blocks[job->keys.order[task / job->K]];
    int64_t D = job->D, row = job->K * D, key_head = task % job->K, width = round_to_lanes(D);
    struct tiles t = make_tiles(D);
    struct key_place place = place_of(job, block);
    transpose_block(t.left, place.keys + key_head * D, row, block->count, D, job->scale);
    transpose_block(t.right, place.values + key_head * D, row, block->count, D, 1.0f);
    bool adds = false;
    if (block->sequence >= 0)
        visit_sequence(job, &t, block, key_head, block->sequence, 0, block->count, true, &adds, level);
    for (int64_t r = 0; r < block->reader_count; r++) {
        struct reader reader = job->keys.readers[block->first_reader + r];
        visit_sequence(job, &t, block, key_head, reader.sequence, reader.low, reader.high, false, &adds, level);
    }
    if (!adds) memset(t.first, 0, (size_t)(2 * BLOCK * width) * sizeof(float)); // nobody reads these keys
    bool adds_to = block->outside >= 0;
    if (place.dkeys) write_rows(place.dkeys + key_head * D, row, t.first, block->count, D, job->scale, adds_to);
    if (place.dvalues) write_rows(place.dvalues + key_head * D, row, t.second, block->count, D, 1.0f, adds_to);
}
VARIANTS_BY_LEVEL(key_gradient, (const struct backward_job *job, int64_t task), job, task)

static void gradient_task(void *context, int64_t task) {
    const struct backward_job *job = context;
    int64_t key_tasks = job->keys.block_count * job->K;
    if (task < key_tasks)
        key_gradient(job, task);
    else
        query_gradient(job, task - key_tasks);
}

static void run_backward(struct backward_job job) {
    int64_t query_count, scalars = job.T * job.H;
    if (!covers_all_rows(job.layout, job.T)) graft_fill(job.dq, 0, scalars * job.D);
    struct query_block *queries = query_blocks(job.layout, &query_count);
    job.queries = queries;
    job.delta = working_space((size_t)scalars * sizeof *job.delta);
    job.keys = reader_index(job.layout, job.T);
    pool_run("attention backward", divide_up(scalars, rows_per_task(job.D)), delta_task, &job);
    pool_run("attention backward", job.keys.block_count * job.K + query_count * job.H, gradient_task, &job);
    release_reader_index(job.keys);
    graft_release(job.delta, (size_t)scalars * sizeof *job.delta);
    release_query_blocks(queries, query_count);
}

void graft_attention_backward(struct array dq, struct array dk, struct array dv, struct matrix dout, struct matrix out,
                              const float *lse, struct matrix q, struct matrix k, struct matrix v,
                              const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    bool is_bf16 = q.dtype == GRAFT_BF16;
    if (is_bf16 && bf16_attention_backward(matrix_unit(), dq, dk, dv, dout, out, lse, q, k, v, layout, T, H, K, D, scale)) return;
    int64_t queries = T * H * D, keys = T * K * D;
    struct backward_job job = {
        .dq = narrowed(dq, queries), .dk = narrowed(dk, keys), .dv = narrowed(dv, keys), .dout = widened(dout, queries),
        .out = widened(out, queries), .lse = lse, .q = widened(q, queries), .k = widened(k, keys), .v = widened(v, keys),
        .layout = layout, .T = T, .H = H, .K = K, .D = D, .scale = scale};
    run_backward(job);
    release_widened(job.dout, dout, queries), release_widened(job.out, out, queries), release_widened(job.q, q, queries);
    release_widened(job.k, k, keys), release_widened(job.v, v, keys);
    finish_narrowed(job.dq, dq, queries), finish_narrowed(job.dk, dk, keys), finish_narrowed(job.dv, dv, keys);
}
