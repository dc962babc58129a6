// Attention of one query a sequence, as decoding has it: bound by reading keys and values, so each task reads its keys once for all
// query heads that share them.
//
// Keys fall into chunks counted from the start of their segment, so that a long context keeps several threads busy. A chunk gives its
// largest score, its sum of exponentials and its sum of values; a second pass puts the chunks of a sequence together in order, with
// the sequence's own row last.
#include "allocator.h"
#include "elements.h"
#include "kernels.h"
#include "thread_pool.h"

#include <math.h>

enum { CHUNK = 128, HEADS = 3 }; // keys of a chunk, query heads that meet them at once

struct chunk {
    const char *keys, *values; // of the first key head
    int64_t count;
    int32_t sequence;
    int32_t dtype;
};

struct decode_job {
    float *out;
    const float *q, *k, *v;
    const struct attention_layout *layout;
    const struct chunk *chunks;
    const int64_t *first_chunk; // of each sequence, and the end
    float *partial;             // [chunks, H, D + 2]: sum of values, largest score, sum of exponentials
    int64_t H, K, D;
    float scale;
};

// Keys or values of one head, and how far apart they stand.
struct rows {
    const char *first;
    int64_t bytes, count;
    int32_t dtype;
};

// scores [heads, CHUNK] of a constant number of query heads, which stand one after the other.
BODY void score_keys(float *scores, const float *q, struct rows keys, int64_t D, float scale, const int heads, const bool whole) {
    for (int64_t j = 0; j < keys.count; j++) {
        vector sum[HEADS];
#pragma clang loop unroll(full)
        for (int h = 0; h < heads; h++) sum[h] = splat(0);
        for (int64_t d = 0; d < D; d += LANES) {
            vector k = load_elements(keys.first + j * keys.bytes, keys.dtype, d, whole ? LANES : D - d);
#pragma clang loop unroll(full)
            for (int h = 0; h < heads; h++) sum[h] = load_some(q + h * D + d, whole ? LANES : D - d) * k + sum[h];
        }
#pragma clang loop unroll(full)
        for (int h = 0; h < heads; h++) scores[h * CHUNK + j] = scale * lane_sum(sum[h]);
    }
}

// Scores become exponentials; returns their sum. Past the last score there is room for a whole vector.
BODY float exponentials(float *scores, int64_t count, float *maximum) {
    for (int64_t j = count; j % LANES != 0; j++) scores[j] = -INFINITY;
    vector largest = load(scores), sum = splat(0);
    for (int64_t j = LANES; j < count; j += LANES) largest = vector_maximum(load(scores + j), largest);
    *maximum = lane_maximum(largest);
    for (int64_t j = 0; j < count; j += LANES) {
        vector e = vector_exp(load(scores + j) - splat(*maximum));
        store(scores + j, e);
        sum += e;
    }
    return lane_sum(sum);
}

// out [heads, D + 2] = sum over the chunk's keys of weight * value.
BODY void sum_values(float *out, const float *weights, struct rows values, int64_t D, const int heads, const bool whole) {
    for (int64_t d = 0; d < D; d += LANES) {
        vector sum[HEADS];
#pragma clang loop unroll(full)
        for (int h = 0; h < heads; h++) sum[h] = splat(0);
        for (int64_t j = 0; j < values.count; j++) {
            vector v = load_elements(values.first + j * values.bytes, values.dtype, d, whole ? LANES : D - d);
#pragma clang loop unroll(full)
            for (int h = 0; h < heads; h++) sum[h] = splat(weights[h * CHUNK + j]) * v + sum[h];
        }
#pragma clang loop unroll(full)
        for (int h = 0; h < heads; h++) store_some(out + h * (D + 2) + d, sum[h], whole ? LANES : D - d);
    }
}

// A constant number of query heads from `head` on, which read one key head.
BODY void meet_heads(const struct decode_job *job, int64_t number, int64_t head, struct rows keys, struct rows values,
                     const int heads, const bool whole) {
    int64_t D = job->D;
    float scores[HEADS * CHUNK], *out = job->partial + (number * job->H + head) * (D + 2);
    const float *q = job->q + (job->chunks[number].sequence * job->H + head) * D;
    score_keys(scores, q, keys, D, job->scale, heads, whole);
    for (int h = 0; h < heads; h++)
        out[h * (D + 2) + D + 1] = exponentials(scores + h * CHUNK, keys.count, &out[h * (D + 2) + D]);
    sum_values(out, scores, values, D, heads, whole);
}

BODY void meet_chunk(const struct decode_job *job, int64_t number, int64_t key_head, int32_t dtype, const bool whole) {
    const struct chunk *chunk = &job->chunks[number];
    int64_t group = job->H / job->K, width = dtype == GRAFT_BF16 ? 2 : 4, row_bytes = job->K * job->D * width;
    struct rows keys = {chunk->keys + key_head * job->D * width, row_bytes, chunk->count, dtype};
    struct rows values = {chunk->values + key_head * job->D * width, row_bytes, chunk->count, dtype};
    int64_t head = key_head * group, end = head + group;
    for (; head + 3 <= end; head += 3) meet_heads(job, number, head, keys, values, 3, whole);
    if (head + 2 == end) meet_heads(job, number, head, keys, values, 2, whole);
    if (head + 1 == end) meet_heads(job, number, head, keys, values, 1, whole);
}

BODY void chunk_task_body(const struct decode_job *job, int64_t task) {
    int64_t number = task / job->K, key_head = task % job->K;
    bool whole = job->D % LANES == 0;
    if (!whole)
        meet_chunk(job, number, key_head, job->chunks[number].dtype, false);
    else if (job->chunks[number].dtype == GRAFT_BF16)
        meet_chunk(job, number, key_head, GRAFT_BF16, true);
    else
        meet_chunk(job, number, key_head, GRAFT_F32, true);
}
VARIANTS(chunk_task, (const struct decode_job *job, int64_t task), (job, task))

// out += factor * x
BODY void add_weighted(float *out, const float *x, float factor, int64_t D) {
    for (int64_t d = 0; d < D; d += LANES)
        store_some(out + d, splat(factor) * load_some(x + d, D - d) + load_some(out + d, D - d), D - d);
}

BODY void join_head(const struct decode_job *job, int64_t sequence, int64_t h) {
    int64_t D = job->D, key_head = h / (job->H / job->K), own = (sequence * job->K + key_head) * D;
    const float *q = job->q + (sequence * job->H + h) * D;
    float *out = job->out + (sequence * job->H + h) * D, score, total = 0;
    score_keys(&score, q, (struct rows){(const char *)(job->k + own), 0, 1, GRAFT_F32}, D, job->scale, 1, false);
    float maximum = score;
    for (int64_t c = job->first_chunk[sequence]; c < job->first_chunk[sequence + 1]; c++)
        maximum = fmaxf(maximum, job->partial[(c * job->H + h) * (D + 2) + D]);
    for (int64_t d = 0; d < D; d++) out[d] = 0;
    for (int64_t c = job->first_chunk[sequence]; c < job->first_chunk[sequence + 1]; c++) {
        const float *partial = job->partial + (c * job->H + h) * (D + 2);
        float factor = expf(partial[D] - maximum);
        total += factor * partial[D + 1];
        add_weighted(out, partial, factor, D);
    }
    float factor = expf(score - maximum);
    total += factor;
    add_weighted(out, job->v + own, factor, D);
    for (int64_t d = 0; d < D; d += LANES) store_some(out + d, load_some(out + d, D - d) / splat(total), D - d);
}

BODY void join_sequence_body(const struct decode_job *job, int64_t sequence) {
    for (int64_t h = 0; h < job->H; h++) join_head(job, sequence, h);
}
VARIANTS(join_sequence, (const struct decode_job *job, int64_t sequence), (job, sequence))

static void meet_task(void *context, int64_t task) { chunk_task(context, task); }
static void join_task(void *context, int64_t task) { join_sequence(context, task); }

// Adds the chunks of a segment, or counts them where there is no list yet.
static int64_t add_chunks(struct chunk *chunks, int64_t next, const struct decode_job *job, const struct key_segment *segment,
                          int32_t sequence) {
    const struct outside_keys *outside = segment->outside < 0 ? NULL : &job->layout->outside[segment->outside];
    int32_t dtype = outside ? outside->dtype : GRAFT_F32;
    int64_t row_bytes = job->K * job->D * (dtype == GRAFT_BF16 ? 2 : 4);
    const char *keys = outside ? outside->keys : job->k, *values = outside ? outside->values : job->v;
    for (int64_t j = 0; j < segment->count; j += CHUNK, next++) {
        if (!chunks) continue;
        int64_t at = (segment->start + j) * row_bytes;
        chunks[next] = (struct chunk){keys + at, values + at, smaller(CHUNK, segment->count - j), sequence, dtype};
    }
    return next;
}

static int64_t list_chunks(struct chunk *chunks, int64_t *first_chunk, const struct decode_job *job) {
    int64_t next = 0;
    for (int32_t s = 0; s < job->layout->sequence_count; s++) {
        const struct attention_sequence *sequence = &job->layout->sequences[s];
        if (chunks) first_chunk[s] = next;
        for (int32_t i = 0; i < sequence->segment_count; i++)
            next = add_chunks(chunks, next, job, &job->layout->segments[sequence->first_segment + i], s);
    }
    if (chunks) first_chunk[job->layout->sequence_count] = next;
    return next;
}

void graft_attention_decode(float *out, const float *q, const float *k, const float *v, const struct attention_layout *layout,
                            int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    struct decode_job job = {.out = out, .q = q, .k = k, .v = v, .layout = layout, .H = H, .K = K, .D = D, .scale = scale};
    int64_t count = list_chunks(NULL, NULL, &job);
    size_t chunk_bytes = (size_t)larger(count, 1) * sizeof(struct chunk), first_bytes = (size_t)(T + 1) * sizeof(int64_t);
    size_t partial_bytes = (size_t)(count * H * (D + 2)) * sizeof(float);
    struct chunk *chunks = working_space(chunk_bytes);
    int64_t *first_chunk = working_space(first_bytes);
    job.partial = working_space(partial_bytes);
    list_chunks(chunks, first_chunk, &job);
    job.chunks = chunks, job.first_chunk = first_chunk;
    pool_run("attention decode", count * K, meet_task, &job);
    pool_run("attention decode", T, join_task, &job);
    graft_release(chunks, chunk_bytes);
    graft_release(first_chunk, first_bytes);
    graft_release(job.partial, partial_bytes);
}
