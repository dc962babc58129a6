// The list of query blocks, and the keys of a segment.
#include "attention_tiles.h"

#include <stdlib.h>

static int heavier_first(const void *a, const void *b) {
    const struct query_block *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    if (x->sequence != y->sequence) return x->sequence < y->sequence ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static int64_t count_query_blocks(const struct attention_layout *layout) {
    int64_t count = 0;
    for (int32_t s = 0; s < layout->sequence_count; s++) count += divide_up(layout->sequences[s].count, BLOCK);
    return count;
}

static int64_t keys_before(const struct attention_layout *layout, const struct attention_sequence *sequence) {
    int64_t keys = 0;
    for (int32_t i = 0; i < sequence->segment_count; i++) keys += layout->segments[sequence->first_segment + i].count;
    return keys;
}

struct query_block *query_blocks(const struct attention_layout *layout, int64_t *count) {
    *count = count_query_blocks(layout);
    struct query_block *blocks = working_space((size_t)*count * sizeof *blocks);
    int64_t next = 0;
    for (int32_t s = 0; s < layout->sequence_count; s++) {
        const struct attention_sequence *sequence = &layout->sequences[s];
        int64_t before = keys_before(layout, sequence);
        for (int64_t first = 0; first < sequence->count; first += BLOCK) {
            int64_t rows = smaller(BLOCK, sequence->count - first);
            blocks[next++] = (struct query_block){first, rows, before + first + rows, s};
        }
    }
    qsort(blocks, (size_t)*count, sizeof *blocks, heavier_first);
    return blocks;
}

void release_query_blocks(struct query_block *blocks, int64_t count) {
    graft_release(blocks, (size_t)count * sizeof *blocks);
}

struct segment_keys keys_of_segment(const struct attention_layout *layout, const struct key_segment *segment, const float *k,
                                    const float *v, int64_t row_width) {
    if (segment->outside >= 0) {
        k = layout->outside[segment->outside].keys;
        v = layout->outside[segment->outside].values;
    }
    return (struct segment_keys){k + segment->start * row_width, v + segment->start * row_width, segment->count};
}

bool covers_all_rows(const struct attention_layout *layout, int64_t T) {
    int64_t rows = 0;
    for (int32_t s = 0; s < layout->sequence_count; s++) rows += layout->sequences[s].count;
    return rows == T;
}

const float *widened(struct matrix x, int64_t n) {
    if (x.dtype == GRAFT_F32) return x.data;
    float *data = working_space((size_t)n * sizeof *data);
    graft_convert(data, GRAFT_F32, x.data, x.dtype, n);
    return data;
}

void release_widened(const float *data, struct matrix x, int64_t n) {
    if (data != x.data) graft_release((void *)data, (size_t)n * sizeof *data);
}

float *narrowed(struct array out, int64_t n) {
    return out.dtype == GRAFT_F32 ? out.data : working_space((size_t)n * sizeof(float));
}

void finish_narrowed(float *data, struct array out, int64_t n) {
    if (data == out.data) return;
    graft_convert(out.data, out.dtype, data, GRAFT_F32, n);
    graft_release(data, (size_t)n * sizeof *data);
}
