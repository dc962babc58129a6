// The gradients of attention on a unit for bf16: the equations of attention_backward.c, the plan of attention_strips.h. A task owns
// queries and meets keys, for dq, or owns keys and meets the queries that read them, in order, for dk and dv.
#include "attention_bf16.h"
#include "attention_readers.h"
#include "attention_strips.h"

struct backward_job {
    struct array dq, dk, dv;
    struct matrix dout, out, q, k, v;
    const float *lse;
    const struct attention_layout *layout;
    struct met_blocks met;
    struct met_copies keys, values, queries, upstream;
    float *log_sums, *deltas; // [block of queries, head][64]: lse as a power of two, and dout out
    const struct query_block *query_blocks;
    struct reader_index readers;
    const struct bf16_unit *unit;
    bool native;
    int64_t H, K, D;
    float scale, factor;
};

// `first` and `second` are what the two products of the scores' side read: queries and upstream gradients, or keys and values.
struct backward_state {
    uint16_t *first, *second;         // the task's own, [strip][depth, 32]
    float *scores, *slopes;           // [64, 32]: q k and dout v
    uint16_t *p, *ds;                 // pairs of [64, 32]
    float *first_sums, *second_sums;  // [strip][depth, 32]
    bool has_sums[STRIPS];
};

static struct backward_state make_state(int64_t D) {
    int64_t own = BLOCK * whole_steps(D), strip = BLOCK * STRIP;
    float *buffer = pool_scratch((size_t)(2 * own + 2 * strip) * (sizeof(float) + sizeof(uint16_t)));
    struct backward_state s = {.scores = buffer, .slopes = buffer + strip};
    s.first_sums = s.slopes + strip, s.second_sums = s.first_sums + own;
    s.first = (uint16_t *)(s.second_sums + own), s.second = s.first + own;
    s.p = s.second + own, s.ds = s.p + strip;
    return s;
}

// p = exp(scale q k - lse) and ds = p (dout v - delta) of rows [first, last), both even, as pairs; p is not kept where the task owns
// queries, whose log_sums and deltas then go along the columns.
BODY void gradients_of_strip(struct backward_state *s, int64_t first, int64_t last, const float *log_sums, const float *deltas,
                             float factor, const int halves, const bool owns_queries, const bool native) {
    for (int64_t i = first; i < last; i += 2)
#pragma clang loop unroll(full)
        for (int h = 0; h < halves; h++) {
            int64_t at = i * STRIP + h * LANES, place = place_of_pair(i, h);
            vector p[2], ds[2];
#pragma clang loop unroll(full)
            for (int r = 0; r < 2; r++) {
                vector log_sum = owns_queries ? load(log_sums + h * LANES) : splat(log_sums[i + r]);
                vector delta = owns_queries ? load(deltas + h * LANES) : splat(deltas[i + r]);
                p[r] = power_of_two(load(s->scores + at + r * STRIP) * splat(factor) - log_sum);
                ds[r] = p[r] * (load(s->slopes + at + r * STRIP) - delta);
            }
            if (!owns_queries) store_pairs(s->p + place, p[0], p[1], native);
            store_pairs(s->ds + place, ds[0], ds[1], native);
        }
}

BODY void query_meets_keys(const struct backward_job *job, struct backward_state *s, int64_t block, int64_t key_head, int64_t count,
                           const float *log_sums, const float *deltas, int64_t queries, bool diagonal, const bool native) {
    int64_t D = job->D, depth = whole_steps(D), steps = depth / STEP, at = (block * job->K + key_head) * BLOCK * depth;
    for (int64_t strip = 0; strip * STRIP < queries; strip++) {
        int64_t own = strip * depth * STRIP, before = strip * STRIP, columns = smaller(queries - before, STRIP);
        int64_t last = diagonal ? smaller(count, before + STRIP) : count, rows = whole_steps(last);
        strip_of_product(job->unit, s->scores, job->keys.rows + at, depth, s->first + own, rows, columns, steps, false);
        strip_of_product(job->unit, s->slopes, job->values.rows + at, depth, s->second + own, rows, columns, steps, false);
        for (int64_t j = before; diagonal && j < last; j++) hide_outside(s->scores + j * STRIP, j - before, STRIP);
        hide_rows(s->scores, last, rows);
        if (columns > LANES)
            gradients_of_strip(s, 0, rows, log_sums + before, deltas + before, job->factor, 2, true, native);
        else
            gradients_of_strip(s, 0, rows, log_sums + before, deltas + before, job->factor, 1, true, native);
        strip_of_product(job->unit, s->first_sums + own, job->keys.channels + at, BLOCK, s->ds, D, columns, rows / STEP,
                         s->has_sums[strip]);
        s->has_sums[strip] = true;
    }
}

BODY void query_gradient(const struct backward_job *job, int64_t task, const bool native) {
    const struct query_block *block = &job->query_blocks[task / job->H];
    const struct attention_sequence *sequence = &job->layout->sequences[block->sequence];
    int64_t H = job->H, D = job->D, head = task % H, key_head = head / (H / job->K), row = sequence->start + block->first;
    int64_t own = job->met.of_sequence[block->sequence], scalars = ((own + block->first / BLOCK) * H + head) * BLOCK;
    const float *log_sums = job->log_sums + scalars, *deltas = job->deltas + scalars;
    struct backward_state s = make_state(D);
    float factors[BLOCK];
    pack_own_rows(s.first, job->q, H * D, row, block->rows, head * D, D, native);
    pack_own_rows(s.second, job->dout, H * D, row, block->rows, head * D, D, native);
    job->unit->begin();
    for (int32_t i = 0; i < sequence->segment_count; i++) {
        int32_t number = sequence->first_segment + i;
        int64_t count = job->layout->segments[number].count, met = job->met.of_segment[number];
        for (int64_t j = 0; j < count; j += BLOCK, met++)
            query_meets_keys(job, &s, met, key_head, smaller(BLOCK, count - j), log_sums, deltas, block->rows, false, native);
    }
    for (int64_t j = 0; j <= block->first; j += BLOCK)
        query_meets_keys(job, &s, own + j / BLOCK, key_head, j < block->first ? BLOCK : block->rows, log_sums, deltas, block->rows,
                         j == block->first, native);
    job->unit->end();
    for (int64_t i = 0; i < BLOCK; i += LANES) store(factors + i, splat(job->scale));
    write_columns(job->dq, (row * H + head) * D, H * D, s.first_sums, block->rows, D, factors, false, native);
}
TWIN_AND_NATIVE(query_gradient, struct backward_job)

// What a block of keys meets: a block of queries that read its keys [low, high), where `diagonal` query i up to key i of them.
struct visit {
    int64_t block, queries, low, high;
    bool diagonal;
};

BODY void keys_meet_queries(const struct backward_job *job, struct backward_state *s, struct visit visit, int64_t head, int64_t keys,
                            const bool native) {
    int64_t D = job->D, depth = whole_steps(D), steps = depth / STEP, index = visit.block * job->H + head;
    int64_t at = index * BLOCK * depth;
    const float *log_sums = job->log_sums + index * BLOCK, *deltas = job->deltas + index * BLOCK;
    for (int64_t strip = 0; strip * STRIP < keys; strip++) {
        int64_t own = strip * depth * STRIP, before = strip * STRIP, columns = smaller(keys - before, STRIP);
        if (before >= visit.high || before + STRIP <= visit.low) continue;
        // Where keys are met by queries of their own rows, those before the strip see none of it.
        int64_t first = visit.diagonal ? before : 0, last = whole_steps(visit.queries), rows = last - first;
        strip_of_product(job->unit, s->scores + first * STRIP, job->queries.rows + at + first * depth, depth, s->first + own, rows,
                         columns, steps, false);
        strip_of_product(job->unit, s->slopes + first * STRIP, job->upstream.rows + at + first * depth, depth, s->second + own,
                         rows, columns, steps, false);
        bool hides = visit.diagonal || visit.low > before || visit.high < before + columns;
        for (int64_t i = first; hides && i < visit.queries; i++)
            hide_outside(s->scores + i * STRIP, visit.low - before,
                         smaller(visit.high, visit.diagonal ? i + 1 : visit.high) - before);
        hide_rows(s->scores, visit.queries, last);
        if (columns > LANES)
            gradients_of_strip(s, first, last, log_sums, deltas, job->factor, 2, false, native);
        else
            gradients_of_strip(s, first, last, log_sums, deltas, job->factor, 1, false, native);
        strip_of_product(job->unit, s->second_sums + own, job->upstream.channels + at + first, BLOCK, s->p + first * STRIP, D,
                         columns, rows / STEP, s->has_sums[strip]);
        strip_of_product(job->unit, s->first_sums + own, job->queries.channels + at + first, BLOCK, s->ds + first * STRIP, D,
                         columns, rows / STEP, s->has_sums[strip]);
        s->has_sums[strip] = true;
    }
}

// All rows of a sequence from row `first` on; own rows of the block are read causally.
BODY void visit_sequence(const struct backward_job *job, struct backward_state *s, const struct key_block *block, int64_t key_head,
                         struct reader reader, bool own, const bool native) {
    int64_t count = job->layout->sequences[reader.sequence].count, group = job->H / job->K, from = own ? block->first : 0;
    for (int64_t i = from; i < count; i += BLOCK) {
        struct visit visit = {job->met.of_sequence[reader.sequence] + i / BLOCK, smaller(BLOCK, count - i), reader.low, reader.high,
                              own && i == from};
        for (int64_t g = 0; g < group; g++) keys_meet_queries(job, s, visit, key_head * group + g, block->count, native);
    }
}

BODY void write_keys(struct array out, const struct key_block *block, const float *sums, int64_t key_head, int64_t K, int64_t D,
                     float factor, const bool native) {
    float factors[BLOCK];
    for (int64_t i = 0; i < BLOCK; i += LANES) store(factors + i, splat(factor));
    int64_t at = (block->row * K + key_head) * D;
    if (out.data) write_columns(out, at, K * D, sums, block->count, D, factors, block->outside >= 0, native);
}

BODY void key_gradient(const struct backward_job *job, int64_t task, const bool native) {
    const struct key_block *block = &job->readers.blocks[job->readers.order[task / job->K]];
    int64_t K = job->K, D = job->D, key_head = task % K, own = STRIP * whole_steps(D);
    struct backward_state s = make_state(D);
    struct array dk = job->dk, dv = job->dv;
    if (block->outside >= 0) {
        const struct outside_keys *outside = &job->layout->outside[block->outside];
        dk = (struct array){outside->keys_gradient, GRAFT_F32}, dv = (struct array){outside->values_gradient, GRAFT_F32};
    }
    pack_own_rows(s.first, keys_of(job->layout, job->k, block->outside), K * D, block->row, block->count, key_head * D, D, native);
    pack_own_rows(s.second, values_of(job->layout, job->v, block->outside), K * D, block->row, block->count, key_head * D, D,
                  native);
    job->unit->begin();
    if (block->sequence >= 0)
        visit_sequence(job, &s, block, key_head, (struct reader){block->sequence, 0, (int32_t)block->count}, true, native);
    for (int64_t r = 0; r < block->reader_count; r++)
        visit_sequence(job, &s, block, key_head, job->readers.readers[block->first_reader + r], false, native);
    job->unit->end();
    for (int64_t strip = 0; strip < STRIPS; strip++) {
        if (s.has_sums[strip]) continue; // nobody reads these keys
        memset(s.first_sums + strip * own, 0, (size_t)own * sizeof(float));
        memset(s.second_sums + strip * own, 0, (size_t)own * sizeof(float));
    }
    write_keys(dk, block, s.first_sums, key_head, K, D, job->scale, native);
    write_keys(dv, block, s.second_sums, key_head, K, D, 1, native);
}
TWIN_AND_NATIVE(key_gradient, struct backward_job)

BODY void scalars_of_rows(const struct backward_job *job, const struct row_block *from, int64_t block, int64_t head) {
    float *log_sums = job->log_sums + (block * job->H + head) * BLOCK, *deltas = job->deltas + (block * job->H + head) * BLOCK;
    for (int64_t i = 0; i < BLOCK; i++) {
        int64_t row = (from->row + i) * job->H + head, at = row * job->D;
        vector sum = {0};
        for (int64_t d = 0; d < job->D && i < from->count; d += LANES)
            sum = load_elements(job->dout.data, GRAFT_BF16, at + d, job->D - d) *
                      load_elements(job->out.data, GRAFT_BF16, at + d, job->D - d) + sum;
        log_sums[i] = i < from->count ? job->lse[row] * LOG2_E : 0;
        deltas[i] = lane_sum(sum);
    }
}

// Keys and values of a block of any kind; of a block of own rows the queries' side too.
BODY void prepare_block(const struct backward_job *job, int64_t task, const bool native) {
    const struct row_block *from = &job->met.blocks[task];
    copy_heads(job->keys, keys_of(job->layout, job->k, from->outside), from, task, job->K, job->D, native);
    copy_heads(job->values, values_of(job->layout, job->v, from->outside), from, task, job->K, job->D, native);
    if (task >= job->met.own_count) return;
    copy_heads(job->queries, job->q, from, task, job->H, job->D, native);
    copy_heads(job->upstream, job->dout, from, task, job->H, job->D, native);
    for (int64_t head = 0; head < job->H; head++) scalars_of_rows(job, from, task, head);
}
TWIN_AND_NATIVE(prepare_block, struct backward_job)

static void prepare_task(void *context, int64_t task) {
    const struct backward_job *job = context;
    (job->native ? prepare_block_native : prepare_block_twin)(job, task);
}

static void gradient_task(void *context, int64_t task) {
    const struct backward_job *job = context;
    int64_t key_tasks = job->readers.block_count * job->K;
    if (task < key_tasks)
        (job->native ? key_gradient_native : key_gradient_twin)(job, task);
    else
        (job->native ? query_gradient_native : query_gradient_twin)(job, task - key_tasks);
}

static void run_backward(struct backward_job job, int64_t T) {
    size_t key_bytes = bytes_of_copies(job.met.count, job.K, job.D);
    size_t query_bytes = bytes_of_copies(job.met.own_count, job.H, job.D);
    size_t scalar_bytes = (size_t)(job.met.own_count * job.H * BLOCK) * sizeof(float);
    job.keys = (struct met_copies){working_space(key_bytes), working_space(key_bytes)};
    job.values = (struct met_copies){.rows = working_space(key_bytes)};
    job.queries = (struct met_copies){working_space(query_bytes), working_space(query_bytes)};
    job.upstream = (struct met_copies){working_space(query_bytes), working_space(query_bytes)};
    job.log_sums = working_space(scalar_bytes), job.deltas = working_space(scalar_bytes);
    int64_t query_count;
    struct query_block *blocks = query_blocks(job.layout, &query_count);
    job.query_blocks = blocks, job.readers = reader_index(job.layout, T);
    pool_run("attention backward", job.met.count, prepare_task, &job);
    pool_run("attention backward", job.readers.block_count * job.K + query_count * job.H, gradient_task, &job);
    release_reader_index(job.readers);
    release_query_blocks(blocks, query_count);
    graft_release(job.log_sums, scalar_bytes), graft_release(job.deltas, scalar_bytes);
    graft_release(job.upstream.rows, query_bytes), graft_release(job.upstream.channels, query_bytes);
    graft_release(job.queries.rows, query_bytes), graft_release(job.queries.channels, query_bytes);
    graft_release(job.values.rows, key_bytes);
    graft_release(job.keys.rows, key_bytes), graft_release(job.keys.channels, key_bytes);
}

bool bf16_attention_backward(enum matrix_unit unit, struct array dq, struct array dk, struct array dv, struct matrix dout,
                             struct matrix out, const float *lse, struct matrix q, struct matrix k, struct matrix v,
                             const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    const struct bf16_unit *loops = attention_unit(unit);
    if (!loops) return false;
    struct backward_job job = {.dq = dq, .dk = dk, .dv = dv, .dout = dout, .out = out, .q = q, .k = k, .v = v, .lse = lse,
                               .layout = layout, .met = met_blocks(layout), .unit = loops, .native = unit >= PAIRS, .H = H, .K = K,
                               .D = D, .scale = scale, .factor = scale * LOG2_E};
    if (!covers_all_rows(layout, T)) memset(dq.data, 0, (size_t)(T * H * D) * sizeof(uint16_t));
    run_backward(job, T);
    release_met_blocks(job.met);
    return true;
}

bool graft_attention_backward_on(const char *unit, struct array dq, struct array dk, struct array dv, struct matrix dout,
                                 struct matrix out, const float *lse, struct matrix q, struct matrix k, struct matrix v,
                                 const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    enum matrix_unit named = matrix_unit_named(unit);
    return bf16_attention_backward(named, dq, dk, dv, dout, out, lse, q, k, v, layout, T, H, K, D, scale);
}
