// The forward pass of attention on a unit for bf16; the plan is in attention_strips.h. The task's own rows are queries, those that it
// meets keys. As in attention.c there is a running maximum and sum, here of scores in powers of two: exp(scale s) = 2^(factor s).
#include "attention_bf16.h"
#include "attention_strips.h"

struct forward_job {
    struct array out;
    float *lse;
    struct matrix q, k, v;
    const struct attention_layout *layout;
    struct met_blocks met;
    struct met_copies keys, values;
    const struct query_block *blocks;
    const struct bf16_unit *unit;
    bool native;
    int64_t H, K, D;
    float factor;
};

struct forward_state {
    uint16_t *queries, *pairs;  // [strip][depth, 32]; of a strip's exponentials, [64, 32]
    float *scores, *result;     // [64, 32]; [strip][depth, 32]
    float maximum[BLOCK], sum[BLOCK];
    bool has_result[STRIPS];
};

// Pairs of the exponentials of one strip's scores; brings maximum, sum and result to the new maximum.
BODY void exponentials_of_strip(struct forward_state *s, int64_t strip, int64_t rows, int64_t depth, int64_t D, float factor,
                                const int halves, const bool native) {
    float *result = s->result + strip * depth * STRIP, *running = s->maximum + strip * STRIP, *sums = s->sum + strip * STRIP;
    vector maximum[2], of_odd[2], rescale[2], sum[2];
    for (int h = 0; h < halves; h++) maximum[h] = of_odd[h] = load(running + h * LANES);
    for (int64_t j = 0; j < rows; j += 2)
#pragma clang loop unroll(full)
        for (int h = 0; h < halves; h++) {
            const float *scores = s->scores + j * STRIP + h * LANES;
            maximum[h] = vector_maximum(load(scores) * splat(factor), maximum[h]);
            of_odd[h] = vector_maximum(load(scores + STRIP) * splat(factor), of_odd[h]);
        }
    for (int h = 0; h < halves; h++) {
        maximum[h] = vector_maximum(of_odd[h], maximum[h]);
        rescale[h] = power_of_two(load(running + h * LANES) - maximum[h]);
        sum[h] = load(sums + h * LANES) * rescale[h];
        store(running + h * LANES, maximum[h]);
    }
    for (int64_t j = 0; j < rows; j += 2)
#pragma clang loop unroll(full)
        for (int h = 0; h < halves; h++) {
            const float *scores = s->scores + j * STRIP + h * LANES;
            vector even = power_of_two(load(scores) * splat(factor) - maximum[h]);
            vector odd = power_of_two(load(scores + STRIP) * splat(factor) - maximum[h]);
            sum[h] += even;
            sum[h] += odd;
            store_pairs(s->pairs + place_of_pair(j, h), even, odd, native);
        }
    for (int h = 0; h < halves; h++) {
        store(sums + h * LANES, sum[h]);
        if (!s->has_result[strip] || !__builtin_reduce_or(rescale[h] != splat(1))) continue;
        for (int64_t d = 0; d < D; d++)
            store(result + d * STRIP + h * LANES, load(result + d * STRIP + h * LANES) * rescale[h]);
    }
}

// `diagonal`: the block is the queries' own, of which query i sees keys up to i.
BODY void meet_key_block(const struct forward_job *job, struct forward_state *s, int64_t block, int64_t key_head, int64_t count,
                         int64_t queries, bool diagonal, const bool native) {
    int64_t D = job->D, depth = whole_steps(D), at = (block * job->K + key_head) * BLOCK * depth;
    for (int64_t strip = 0; strip * STRIP < queries; strip++) {
        int64_t columns = smaller(queries - strip * STRIP, STRIP);
        int64_t last = diagonal ? smaller(count, (strip + 1) * STRIP) : count, rows = whole_steps(last);
        strip_of_product(job->unit, s->scores, job->keys.rows + at, depth, s->queries + strip * depth * STRIP, rows, columns,
                         depth / STEP, false);
        for (int64_t j = strip * STRIP; diagonal && j < last; j++) hide_outside(s->scores + j * STRIP, j - strip * STRIP, STRIP);
        hide_rows(s->scores, last, rows);
        if (columns > LANES)
            exponentials_of_strip(s, strip, rows, depth, D, job->factor, 2, native);
        else
            exponentials_of_strip(s, strip, rows, depth, D, job->factor, 1, native);
        strip_of_product(job->unit, s->result + strip * depth * STRIP, job->values.channels + at, BLOCK, s->pairs, D, columns,
                         rows / STEP, s->has_result[strip]);
        s->has_result[strip] = true;
    }
}

BODY void write_queries(const struct forward_job *job, struct forward_state *s, int64_t row, int64_t rows, int64_t head,
                        const bool native) {
    float inverse[BLOCK];
    for (int64_t i = 0; i < BLOCK; i += LANES) store(inverse + i, splat(1) / load(s->sum + i));
    for (int64_t i = 0; i < rows; i++)
        job->lse[(row + i) * job->H + head] = s->maximum[i] * 0.693147180559945f + logf(s->sum[i]);
    write_columns(job->out, (row * job->H + head) * job->D, job->H * job->D, s->result, rows, job->D, inverse, false, native);
}

BODY void forward_task(const struct forward_job *job, int64_t task, const bool native) {
    const struct query_block *block = &job->blocks[task / job->H];
    const struct attention_sequence *sequence = &job->layout->sequences[block->sequence];
    int64_t head = task % job->H, D = job->D, depth = whole_steps(D), first = sequence->start + block->first;
    int64_t key_head = head / (job->H / job->K);
    float *buffer = pool_scratch((size_t)(BLOCK * (STRIP + depth)) * sizeof(float) +
                                 (size_t)(BLOCK * (depth + STRIP)) * sizeof(uint16_t));
    struct forward_state s = {.scores = buffer, .result = buffer + BLOCK * STRIP};
    s.queries = (uint16_t *)(s.result + BLOCK * depth), s.pairs = s.queries + BLOCK * depth;
    for (int64_t i = 0; i < BLOCK; i++) s.maximum[i] = -INFINITY, s.sum[i] = 0;
    pack_own_rows(s.queries, job->q, job->H * D, first, block->rows, head * D, D, native);
    job->unit->begin();
    for (int32_t i = 0; i < sequence->segment_count; i++) {
        int32_t number = sequence->first_segment + i;
        int64_t count = job->layout->segments[number].count, met = job->met.of_segment[number];
        for (int64_t j = 0; j < count; j += BLOCK, met++)
            meet_key_block(job, &s, met, key_head, smaller(BLOCK, count - j), block->rows, false, native);
    }
    for (int64_t j = 0, met = job->met.of_sequence[block->sequence]; j <= block->first; j += BLOCK, met++)
        meet_key_block(job, &s, met, key_head, j < block->first ? BLOCK : block->rows, block->rows, j == block->first, native);
    job->unit->end();
    write_queries(job, &s, first, block->rows, head, native);
}
TWIN_AND_NATIVE(forward_task, struct forward_job)

BODY void copy_task(const struct forward_job *job, int64_t task, const bool native) {
    const struct row_block *from = &job->met.blocks[task];
    copy_heads(job->keys, keys_of(job->layout, job->k, from->outside), from, task, job->K, job->D, native);
    copy_heads(job->values, values_of(job->layout, job->v, from->outside), from, task, job->K, job->D, native);
}
TWIN_AND_NATIVE(copy_task, struct forward_job)

static void run_copy_task(void *context, int64_t task) {
    const struct forward_job *job = context;
    (job->native ? copy_task_native : copy_task_twin)(job, task);
}

static void run_forward_task(void *context, int64_t task) {
    const struct forward_job *job = context;
    (job->native ? forward_task_native : forward_task_twin)(job, task);
}

bool bf16_attention_forward(enum matrix_unit unit, struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                            const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    const struct bf16_unit *loops = attention_unit(unit);
    if (!loops) return false;
    int64_t count;
    struct forward_job job = {.out = out, .lse = lse, .q = q, .k = k, .v = v, .layout = layout, .met = met_blocks(layout),
                              .blocks = query_blocks(layout, &count), .unit = loops, .native = unit >= PAIRS, .H = H, .K = K,
                              .D = D, .factor = scale * LOG2_E};
    size_t bytes = bytes_of_copies(job.met.count, K, D);
    job.keys.rows = working_space(bytes), job.values.channels = working_space(bytes);
    if (!covers_all_rows(layout, T)) {
        memset(out.data, 0, (size_t)(T * H * D) * sizeof(uint16_t));
        graft_fill(lse, 0, T * H);
    }
    pool_run("attention", job.met.count, run_copy_task, &job);
    pool_run("attention", count * H, run_forward_task, &job);
    graft_release(job.keys.rows, bytes), graft_release(job.values.channels, bytes);
    release_query_blocks((struct query_block *)job.blocks, count);
    release_met_blocks(job.met);
    return true;
}

bool graft_attention_forward_on(const char *unit, struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                                const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    return bf16_attention_forward(matrix_unit_named(unit), out, lse, q, k, v, layout, T, H, K, D, scale);
}
