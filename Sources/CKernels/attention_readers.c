// Builds the index of key blocks and their readers from a layout, once per backward call.
#include "attention_readers.h"

#include <stdlib.h>

struct builder {
    const struct attention_layout *layout;
    struct reader_index index;
    int32_t *block_of_row;   // [T]
    int64_t *outside_blocks; // first block of each outside array, -1 where it wants no gradient
    int64_t T;
};

// Marks rows with their sequence, -1 elsewhere.
static void mark_sequences(struct builder *b) {
    for (int64_t t = 0; t < b->T; t++) b->block_of_row[t] = -1;
    for (int32_t s = 0; s < b->layout->sequence_count; s++) {
        const struct attention_sequence *sequence = &b->layout->sequences[s];
        for (int64_t i = 0; i < sequence->count; i++) b->block_of_row[sequence->start + i] = s;
    }
}

static bool wants_gradient(const struct outside_keys *outside) { return outside->keys_gradient || outside->values_gradient; }

static int64_t most_blocks(const struct builder *b) {
    // Each sequence, and each gap between two, ends at most one short block.
    int64_t count = b->T / BLOCK + 2 * (int64_t)b->layout->sequence_count + 1;
    for (int32_t i = 0; i < b->layout->outside_count; i++) count += divide_up(b->layout->outside[i].count, BLOCK);
    return count;
}

static void add_batch_block(struct builder *b, int64_t row, int64_t count, int64_t first, int32_t sequence) {
    for (int64_t i = 0; i < count; i++) b->block_of_row[row + i] = (int32_t)b->index.block_count;
    b->index.blocks[b->index.block_count++] = (struct key_block){
        .outside = -1, .row = row, .count = count, .first = first, .sequence = sequence,
        .cost = sequence < 0 ? 0 : b->layout->sequences[sequence].count - first};
}

// Runs of rows with the same mark become blocks. Two sequences side by side differ in their mark; an empty one marks nothing.
static void add_batch_blocks(struct builder *b) {
    for (int64_t row = 0; row < b->T;) {
        int32_t sequence = b->block_of_row[row];
        int64_t end = row;
        while (end < b->T && b->block_of_row[end] == sequence) end++;
        for (int64_t start = row; row < end; row += BLOCK)
            add_batch_block(b, row, smaller(BLOCK, end - row), row - start, sequence);
        row = end;
    }
}

static void add_outside_blocks(struct builder *b) {
    for (int32_t i = 0; i < b->layout->outside_count; i++) {
        const struct outside_keys *outside = &b->layout->outside[i];
        b->outside_blocks[i] = wants_gradient(outside) ? b->index.block_count : -1;
        for (int64_t j = 0; wants_gradient(outside) && j < outside->count; j += BLOCK)
            b->index.blocks[b->index.block_count++] = (struct key_block){
                .outside = i, .row = j, .count = smaller(BLOCK, outside->count - j), .first = j, .sequence = -1};
    }
}

// Counts the readers of each block (readers NULL), or writes them behind those already written.
static void add_readers(struct builder *b, int32_t sequence, const struct key_segment *segment) {
    int64_t rows = b->layout->sequences[sequence].count, position = segment->start, end = segment->start + segment->count;
    bool is_outside = segment->outside >= 0;
    if (rows == 0 || (is_outside && b->outside_blocks[segment->outside] < 0)) return;
    while (position < end) {
        int64_t number = is_outside ? b->outside_blocks[segment->outside] + position / BLOCK : b->block_of_row[position];
        struct key_block *block = &b->index.blocks[number];
        int64_t high = smaller(block->count, end - block->row);
        if (b->index.readers)
            b->index.readers[block->first_reader + block->reader_count] =
                (struct reader){sequence, (int32_t)(position - block->row), (int32_t)high};
        else
            block->cost += rows;
        block->reader_count++;
        position = block->row + high;
    }
}

static void visit_segments(struct builder *b) {
    for (int32_t s = 0; s < b->layout->sequence_count; s++)
        for (int32_t i = 0; i < b->layout->sequences[s].segment_count; i++)
            add_readers(b, s, &b->layout->segments[b->layout->sequences[s].first_segment + i]);
}

static void index_readers(struct builder *b) {
    visit_segments(b);
    int64_t total = 0;
    for (int64_t i = 0; i < b->index.block_count; i++) {
        b->index.blocks[i].first_reader = total;
        total += b->index.blocks[i].reader_count;
        b->index.blocks[i].reader_count = 0;
    }
    b->index.reader_count = total;
    b->index.readers = working_space((size_t)total * sizeof *b->index.readers);
    visit_segments(b);
}

struct ranked_block {
    int64_t cost, block;
};

static int heavier_first(const void *a, const void *b) {
    const struct ranked_block *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block;
}

static void order_blocks(struct reader_index *index) {
    size_t bytes = (size_t)index->block_count * sizeof(struct ranked_block);
    struct ranked_block *ranked = working_space(bytes);
    for (int64_t i = 0; i < index->block_count; i++) ranked[i] = (struct ranked_block){index->blocks[i].cost, i};
    qsort(ranked, (size_t)index->block_count, sizeof *ranked, heavier_first);
    index->order = working_space((size_t)index->block_count * sizeof *index->order);
    for (int64_t i = 0; i < index->block_count; i++) index->order[i] = ranked[i].block;
    graft_release(ranked, bytes);
}

struct reader_index reader_index(const struct attention_layout *layout, int64_t T) {
    struct builder b = {.layout = layout, .T = T};
    b.index.block_capacity = most_blocks(&b);
    size_t rows_bytes = (size_t)T * sizeof *b.block_of_row, outside_bytes = (size_t)layout->outside_count * sizeof(int64_t);
    b.index.blocks = working_space((size_t)b.index.block_capacity * sizeof *b.index.blocks);
    b.block_of_row = working_space(rows_bytes);
    b.outside_blocks = working_space(outside_bytes);
    mark_sequences(&b);
    add_batch_blocks(&b);
    add_outside_blocks(&b);
    index_readers(&b);
    order_blocks(&b.index);
    graft_release(b.block_of_row, rows_bytes);
    graft_release(b.outside_blocks, outside_bytes);
    return b.index;
}

void release_reader_index(struct reader_index index) {
    graft_release(index.blocks, (size_t)index.block_capacity * sizeof *index.blocks);
    graft_release(index.readers, (size_t)index.reader_count * sizeof *index.readers);
    graft_release(index.order, (size_t)index.block_count * sizeof *index.order);
}
