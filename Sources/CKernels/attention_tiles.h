// What the forward and backward passes of attention share: blocks of 64 queries and 64 keys, and the small products between them.
//
// Query blocks are counted from the start of their sequence and key blocks from the start of their segment, and each element is
// summed in rising order by one accumulator, so a row's bits depend on its own sequence only.
#ifndef GRAFT_ATTENTION_TILES_H
#define GRAFT_ATTENTION_TILES_H

#include "allocator.h"
#include "kernels.h"
#include "thread_pool.h"
#include "tile.h"

enum { BLOCK = 64 };

static inline int64_t round_to_lanes(int64_t n) { return divide_up(n, LANES) * LANES; }

// c [rows, columns] = a b, added to c where `accumulate`; columns is a multiple of 16.
BODY void block_product(float *c, int64_t c_row, struct strided a, const float *b, int64_t b_row, int64_t rows, int64_t columns,
                        int64_t depth, bool accumulate, enum cpu_level level) {
    int64_t j = 0;
    if (TILE_VECTORS(level) == 2)
        for (; j + 2 * LANES <= columns; j += 2 * LANES)
            strip_product(c + j, c_row, a, (struct matrix){b + j, GRAFT_F32}, b_row, rows, depth, 1, accumulate,
                          TILE_ROWS(level), 2);
    for (; j < columns; j += LANES)
        strip_product(c + j, c_row, a, (struct matrix){b + j, GRAFT_F32}, b_row, rows, depth, 1, accumulate,
                      TILE_ROWS(level), 1);
}

// out [D, 64] = factor * x [rows, D]^T, zeros from the last row up to a whole vector.
BODY void transpose_block(float *out, const float *x, int64_t x_row, int64_t rows, int64_t D, float factor) {
    for (int64_t i = 0; i < rows; i += LANES) {
        for (int64_t d = 0; d < D; d += LANES) {
            vector block[LANES];
            for (int r = 0; r < LANES; r++)
                block[r] = i + r < rows ? splat(factor) * load_some(x + (i + r) * x_row + d, D - d) : splat(0);
            transpose_16(block);
            for (int64_t c = 0; c < smaller(LANES, D - d); c++) store(out + (d + c) * BLOCK + i, block[c]);
        }
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

// n numbers as f32: themselves, or a copy that is released with release_widened. Attention computes in f32, and what it reads is
// small beside what it computes.
const float *widened(struct matrix x, int64_t n);
void release_widened(const float *data, struct matrix x, int64_t n);

// n results in f32 on their way into an array: its own memory, or a buffer that finish_narrowed rounds into it.
float *narrowed(struct array out, int64_t n);
void finish_narrowed(float *data, struct array out, int64_t n);

// True where each of the T rows belongs to a sequence.
bool covers_all_rows(const struct attention_layout *layout, int64_t T);

#endif
