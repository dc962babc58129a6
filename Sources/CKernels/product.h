// A product in parts: which columns of out and which part of the inner dimension are in work, and how they lie packed.
#ifndef GRAFT_PRODUCT_H
#define GRAFT_PRODUCT_H

#include "kernels.h"
#include "tile.h"

enum {
    STRETCH = 256,      // of k, so that a strip of b and a tile's rows of a share the first-level cache
    SLICE = 2048,       // of k, packed at a time
    PACKED = 5 << 18,   // elements of b packed at a time, for the last-level cache
    PACKED_ROWS = 64,   // of b in a packing task, where b is not transposed
    MOST_SPANS = 16     // parts of terms in one pass
};

// Elements [first, last) of the inner dimension of a term, packed behind those of the spans before it.
struct product_span {
    const struct product_term *term;
    int64_t first, last, stretch, packed;
};

struct product {
    struct array out; // element (i, j) at i * out_row + j * out_column
    int64_t out_row, out_column;
    const float *addend; // laid out as out
    int64_t m, n;
    bool rounds_weights; // to bf16, as units for bf16 do
    bool b_in_place;
    const char *work;
    int64_t strip;
    // The part in work: columns of op(b), and spans of k, packed as [span][strip][k, strip's columns].
    float *packed;
    int64_t first_column, last_column;
    struct product_span spans[MOST_SPANS];
    int32_t span_count;
    int64_t depth;
    int64_t block_columns, column_blocks; // of a task
};

// Packs the columns and spans in work.
void pack_columns(struct product *p);

#endif
