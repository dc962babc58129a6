// What the forward and backward passes of attention share: blocks of 64 queries and 64 keys, and the small products between them.
//
// Query blocks are counted from the start of their sequence and key blocks from the start of their segment, and each element is
// summed in rising order by one accumulator, so a row's bits depend on its own sequence only.
#ifndef GRAFT_ATTENTION_TILES_H
#define GRAFT_ATTENTION_TILES_H

#include "allocator.h"
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

enum { TILE = 64 };

static inline int64_t round_to_lanes(int64_t n) { return divide_up(n, LANES) * LANES; }

// c [rows, 16] = or += a b, one vector of columns: a[i, k] = a[i * a_row + k * a_column].
BODY void tile_strip(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
                     int64_t depth, bool accumulate, const int rows) {
    vector sum[6];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) sum[r] = accumulate ? load(c + r * c_row) : splat(0);
    for (int64_t k = 0; k < depth; k++) {
        vector v = load(b + k * b_row);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) sum[r] = splat(a[r * a_row + k * a_column]) * v + sum[r];
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) store(c + r * c_row, sum[r]);
}

// c [rows, columns] = or += a [rows, depth] b [depth, columns]; columns is a multiple of 16.
BODY void tile_product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
                       int64_t rows, int64_t columns, int64_t depth, bool accumulate) {
    for (int64_t j = 0; j < columns; j += LANES) {
        int64_t i = 0;
        for (; i + 6 <= rows; i += 6)
            tile_strip(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 6);
        if (i + 3 <= rows) {
            tile_strip(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 3);
            i += 3;
        }
        for (; i < rows; i++)
            tile_strip(c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j, b_row, depth, accumulate, 1);
    }
}

// out [D, 64] = factor * x [rows, D]^T, zeros past the last row.
BODY void transpose_tile(float *out, const float *x, int64_t x_row, int64_t rows, int64_t D, float factor) {
    int64_t columns = round_to_lanes(rows);
    for (int64_t d = 0; d < D; d++) {
        for (int64_t i = 0; i < rows; i++) out[d * TILE + i] = factor * x[i * x_row + d];
        for (int64_t i = rows; i < columns; i++) out[d * TILE + i] = 0;
    }
}

// Rows of D channels as an operand whose rows are whole vectors: x itself, or a copy in `buffer` filled up with zeros.
BODY const float *whole_vectors(float *buffer, const float *x, int64_t x_row, int64_t rows, int64_t D, int64_t *row) {
    *row = x_row;
    if (D % LANES == 0) return x;
    *row = round_to_lanes(D);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(buffer + i * *row, x + i * x_row, (size_t)D * sizeof(float));
        memset(buffer + i * *row + D, 0, (size_t)(*row - D) * sizeof(float));
    }
    return buffer;
}

// A block of a sequence's queries: `rows` rows from row `first` of the sequence.
struct query_block {
    int64_t first, rows, cost;
    int32_t sequence;
};

// Keys that a sequence reads in full: a segment of the batch or of an outside array.
struct segment_keys {
    const float *keys, *values;
    int64_t count;
};

// The query blocks of all sequences, those that read most keys first; *count of them. Released with release_query_blocks.
struct query_block *query_blocks(const struct attention_layout *layout, int64_t *count);
void release_query_blocks(struct query_block *blocks, int64_t count);

struct segment_keys keys_of_segment(const struct attention_layout *layout, const struct key_segment *segment, const float *k,
                                    const float *v, int64_t row_width);

// True where each of the T rows belongs to a sequence.
bool covers_all_rows(const struct attention_layout *layout, int64_t T);

#endif
