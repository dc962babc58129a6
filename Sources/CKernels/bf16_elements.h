// Operands of products of bf16 numbers: elements to bf16, and pairs of them in k. `native`, a constant, says that the instruction
// set of the copy rounds to bf16 itself.
#ifndef GRAFT_BF16_ELEMENTS_H
#define GRAFT_BF16_ELEMENTS_H

#include "bf16_units.h"
#include "elements.h"
#include "kernel_table.h"
#include "tile.h"

typedef __bf16 bf16_vector __attribute__((vector_size(32)));

// Rounds to nearest, ties to even; a NaN stays one.
BODY short_vector round_bf16(vector v, const bool native) {
    short_vector halves;
    if (native) {
        bf16_vector rounded = __builtin_convertvector(v, bf16_vector);
        memcpy(&halves, &rounded, sizeof halves);
    } else {
        uint16_t rounded[LANES];
        narrow_bf16(rounded, v);
        memcpy(&halves, rounded, sizeof halves);
    }
    return halves;
}

// factor * 16 elements of x, of which `count` exist; zeros past them.
BODY short_vector load_bf16(struct matrix x, int64_t at, int64_t count, float factor, const bool native) {
    if (x.dtype == GRAFT_F32) {
        if (count <= 0) return (short_vector){0};
        return round_bf16(splat(factor) * load_some((const float *)x.data + at, count), native);
    }
    short_vector halves = {0};
    const uint16_t *from = (const uint16_t *)x.data + at;
    if (count >= LANES)
        memcpy(&halves, from, sizeof halves);
    else if (count > 0)
        memcpy(&halves, from, (size_t)count * sizeof *from);
    if (factor == 1) return halves;
    return round_bf16(splat(factor) * (vector)(__builtin_convertvector(halves, word_vector) << 16), native);
}

BODY void store_bf16(uint16_t *to, short_vector halves, int64_t count) {
    memcpy(to, &halves, count >= LANES ? sizeof halves : (size_t)count * sizeof *to);
}

// The pairs of a step of columns: word j of pairs[p] is elements (row + 2 p, column + j) and (row + 2 p + 1, column + j) of x, of
// which `rows` and `columns` exist; `width` is x's.
BODY void pairs_of_rows(word_vector pairs[LANES], struct matrix x, int64_t width, int64_t row, int64_t rows, int64_t column,
                        int64_t columns, float factor, const bool native) {
    for (int p = 0; p < LANES; p++) {
        int64_t at = (row + 2 * p) * width + column;
        short_vector even = load_bf16(x, at, 2 * p < rows ? columns : 0, factor, native);
        short_vector odd = load_bf16(x, at + width, 2 * p + 1 < rows ? columns : 0, factor, native);
        pairs[p] = __builtin_convertvector(even, word_vector) | __builtin_convertvector(odd, word_vector) << 16;
    }
}

// The same of x transposed: word j of pairs[p] is elements (row + j, column + 2 p) and (row + j, column + 2 p + 1).
BODY void pairs_of_columns(word_vector pairs[LANES], struct matrix x, int64_t width, int64_t row, int64_t rows, int64_t column,
                           int64_t columns, float factor, const bool native) {
    word_vector words[LANES];
    if (x.dtype == GRAFT_BF16 && factor == 1 && rows >= LANES && columns >= STEP) {
        // As almost all weights are: 16 loads, all in registers.
        const uint16_t *from = (const uint16_t *)x.data + row * width + column;
#pragma clang loop unroll(full)
        for (int j = 0; j < LANES; j++) memcpy(&words[j], from + j * width, sizeof words[j]);
        transpose_16((vector *)words);
        memcpy(pairs, words, sizeof words);
        return;
    }
    for (int j = 0; j < LANES; j++) {
        int64_t at = (row + j) * width + column, count = j < rows ? columns : 0;
        short_vector halves[2] = {load_bf16(x, at, count, factor, native),
                                  load_bf16(x, at + LANES, count - LANES, factor, native)};
        memcpy(&pairs[j], halves, sizeof halves);
    }
    memcpy(words, pairs, sizeof words);
    transpose_16((vector *)words);
    memcpy(pairs, words, sizeof words);
}

#endif
