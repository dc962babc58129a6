// For the backward pass: blocks of keys, and for each the sequences that read it.
#ifndef GRAFT_ATTENTION_READERS_H
#define GRAFT_ATTENTION_READERS_H

#include "attention_tiles.h"

// At most 64 keys whose gradients one task owns: rows of a sequence, rows that no sequence covers, or keys outside the batch.
struct key_block {
    int32_t outside; // the array that the keys stand in; -1 for the batch
    int64_t row;     // where they start in it
    int64_t count;
    int64_t first;    // row of its sequence where the block starts
    int32_t sequence; // whose rows these are: read causally by its own rows; -1 for none
    int64_t first_reader, reader_count;
    int64_t cost;
};

// A sequence whose every row reads keys [low, high) of the block.
struct reader {
    int32_t sequence, low, high;
};

// Blocks in `order` of falling cost; readers of a block in rising order of their sequence and segment.
struct reader_index {
    struct key_block *blocks;
    struct reader *readers;
    int64_t *order;
    int64_t block_count, block_capacity, reader_count;
};

// T: rows of the batch.
struct reader_index reader_index(const struct attention_layout *layout, int64_t T);
void release_reader_index(struct reader_index index);

#endif
