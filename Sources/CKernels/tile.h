// The inner loop of all products: a few rows and one or two vectors of columns, held in registers over the whole depth.
//
// Each element is one chain of multiply-adds in rising k, whatever tile it falls into, so results do not depend on how rows and
// columns are divided up.
#ifndef GRAFT_TILE_H
#define GRAFT_TILE_H

#include "elements.h"

#include <stdbool.h>

// How many rows and vectors of columns fill the registers of a level: 24 accumulators of 32 with AVX-512, 12 of 16 with AVX2, 8
// of 16 with SSE (whose vectors are four registers), 24 of 32 with NEON.
#if defined(__x86_64__)
#define TILE_ROWS(level) ((level) == CPU_AVX512 ? 12 : (level) == CPU_AVX2 ? 6 : 2)
#else
#define TILE_ROWS(level) 6
#endif
#define TILE_VECTORS(level) ((level) == CPU_AVX512 ? 2 : 1)

// a[i, k] = data[i * row + k * column]
struct strided {
    const float *data;
    int64_t row, column;
};

// c [rows, 16 vectors] = factor * a b, added to c where `accumulate`; rows, vectors and b's type are constants of the caller.
BODY void tile_product(float *c, int64_t c_row, struct strided a, const struct matrix b, int64_t b_row, int64_t depth, float factor,
                       bool accumulate, const int rows, const int vectors) {
    vector sum[12][2];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) sum[r][j] = splat(0);
    for (int64_t k = 0; k < depth; k++) {
        vector columns[2];
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) columns[j] = load_elements(b.data, b.dtype, k * b_row + j * LANES, LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) sum[r][j] = splat(a.data[r * a.row + k * a.column]) * columns[j] + sum[r][j];
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            float *to = c + r * c_row + j * LANES;
            store(to, splat(factor) * sum[r][j] + (accumulate ? load(to) : splat(0)));
        }
}

// The same for any number of rows.
BODY void strip_product(float *c, int64_t c_row, struct strided a, const struct matrix b, int64_t b_row, int64_t rows,
                        int64_t depth, float factor, bool accumulate, const int tile_rows, const int vectors) {
    int64_t i = 0;
    for (; i + tile_rows <= rows; i += tile_rows, a.data += tile_rows * a.row)
        tile_product(c + i * c_row, c_row, a, b, b_row, depth, factor, accumulate, tile_rows, vectors);
    for (; i + 4 <= rows && tile_rows > 4; i += 4, a.data += 4 * a.row)
        tile_product(c + i * c_row, c_row, a, b, b_row, depth, factor, accumulate, 4, vectors);
    for (; i + 2 <= rows && tile_rows > 2; i += 2, a.data += 2 * a.row)
        tile_product(c + i * c_row, c_row, a, b, b_row, depth, factor, accumulate, 2, vectors);
    for (; i < rows; i++, a.data += a.row)
        tile_product(c + i * c_row, c_row, a, b, b_row, depth, factor, accumulate, 1, vectors);
}

#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define PAIRS_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define PAIRS_HIGH(a, b) __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define QUADS_EVEN(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define QUADS_ODD(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define HALVES_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define HALVES_HIGH(a, b) __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)

// 16 rows become 16 columns: first within quads of lanes, then quads change places.
BODY void transpose_16(vector rows[LANES]) {
    vector quads[4][4]; // [group of four rows][lane within the quad]
#pragma clang loop unroll(full)
    for (int q = 0; q < 4; q++) {
        vector low = INTERLEAVE_LOW(rows[4 * q], rows[4 * q + 1]), high = INTERLEAVE_HIGH(rows[4 * q], rows[4 * q + 1]);
        vector low2 = INTERLEAVE_LOW(rows[4 * q + 2], rows[4 * q + 3]);
        vector high2 = INTERLEAVE_HIGH(rows[4 * q + 2], rows[4 * q + 3]);
        quads[q][0] = PAIRS_LOW(low, low2), quads[q][1] = PAIRS_HIGH(low, low2);
        quads[q][2] = PAIRS_LOW(high, high2), quads[q][3] = PAIRS_HIGH(high, high2);
    }
#pragma clang loop unroll(full)
    for (int e = 0; e < 4; e++) {
        vector even = QUADS_EVEN(quads[0][e], quads[1][e]), even2 = QUADS_EVEN(quads[2][e], quads[3][e]);
        vector odd = QUADS_ODD(quads[0][e], quads[1][e]), odd2 = QUADS_ODD(quads[2][e], quads[3][e]);
        rows[e] = HALVES_LOW(even, even2), rows[8 + e] = HALVES_HIGH(even, even2);
        rows[4 + e] = HALVES_LOW(odd, odd2), rows[12 + e] = HALVES_HIGH(odd, odd2);
    }
}

#endif
