// Which blocks are copied for the tasks that meet them, and the units that attention runs on.
#include "attention_strips.h"

#include <stdlib.h>

// Rows [start, start + count): the own rows of a sequence (first >= 0), or what a segment names.
struct row_run {
    int64_t start, count, first; // first: its first block
    int32_t outside, sequence, segment;
};

// Runs of the same rows side by side, a sequence's before segments.
static int in_order(const void *a, const void *b) {
    const struct row_run *x = a, *y = b;
    if (x->outside != y->outside) return x->outside < y->outside ? -1 : 1;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    if (x->sequence != y->sequence) return x->sequence > y->sequence ? -1 : 1;
    return x->segment < y->segment ? -1 : x->segment > y->segment;
}

static void add_blocks(struct met_blocks *met, struct row_run *run) {
    run->first = met->count;
    for (int64_t i = 0; i < run->count; i += BLOCK)
        met->blocks[met->count++] = (struct row_block){run->outside, run->start + i, smaller(BLOCK, run->count - i)};
}

// Segments that name the same rows share their blocks.
static void add_segments(struct met_blocks *met, struct row_run *runs, int64_t count) {
    qsort(runs, (size_t)count, sizeof *runs, in_order);
    for (int64_t i = 0; i < count; i++) {
        struct row_run *run = &runs[i], *before = i > 0 ? run - 1 : NULL;
        if (run->sequence >= 0) continue;
        bool is_known = before && before->outside == run->outside && before->start == run->start && before->count == run->count;
        if (is_known)
            run->first = before->first;
        else
            add_blocks(met, run);
        met->of_segment[run->segment] = run->first;
    }
}

struct met_blocks met_blocks(const struct attention_layout *layout) {
    struct met_blocks met = {.sequence_count = layout->sequence_count, .segment_count = layout->segment_count};
    int64_t count = met.sequence_count + met.segment_count;
    for (int64_t i = 0; i < met.sequence_count; i++) met.capacity += divide_up(layout->sequences[i].count, BLOCK);
    for (int64_t i = 0; i < met.segment_count; i++) met.capacity += divide_up(layout->segments[i].count, BLOCK);
    size_t runs_bytes = (size_t)count * sizeof(struct row_run);
    struct row_run *runs = working_space(runs_bytes);
    met.blocks = working_space((size_t)met.capacity * sizeof *met.blocks);
    met.of_sequence = working_space((size_t)met.sequence_count * sizeof *met.of_sequence);
    met.of_segment = working_space((size_t)met.segment_count * sizeof *met.of_segment);
    for (int32_t i = 0; i < layout->sequence_count; i++) {
        runs[i] = (struct row_run){layout->sequences[i].start, layout->sequences[i].count, 0, -1, i, -1};
        add_blocks(&met, &runs[i]);
        met.of_sequence[i] = runs[i].first;
    }
    met.own_count = met.count;
    for (int32_t i = 0; i < layout->segment_count; i++) {
        const struct key_segment *segment = &layout->segments[i];
        runs[met.sequence_count + i] =
            (struct row_run){segment->start, segment->count, 0, segment->outside < 0 ? -1 : segment->outside, -1, i};
    }
    add_segments(&met, runs, count);
    graft_release(runs, runs_bytes);
    return met;
}

void release_met_blocks(struct met_blocks met) {
    graft_release(met.blocks, (size_t)met.capacity * sizeof *met.blocks);
    graft_release(met.of_sequence, (size_t)met.sequence_count * sizeof *met.of_sequence);
    graft_release(met.of_segment, (size_t)met.segment_count * sizeof *met.of_segment);
}

const struct bf16_unit *attention_unit(enum matrix_unit unit) {
    switch (unit) {
    case TILES_TWIN: return &bf16_tiles_twin;
#if defined(__x86_64__)
    case TILES: return &bf16_tiles_unit;
#endif
    default: return NULL;
    }
}
