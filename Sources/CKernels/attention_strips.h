// Attention on a unit for bf16 (bf16_units.h): what its passes share.
//
// A task owns a block of 64 rows of one head and meets blocks of 64 others. Everything between a product and the next has the rows
// that are met as its rows and 32 of the task's own, a strip, as its columns: scores [met, own] = met [met, channels] own^T, and what
// is made of them, rounded to bf16, goes into result [channels, own] = met^T [channels, met] scores. So each product reads the rows
// that are met as they lie, in one of two copies that all tasks share, and its other operand comes in pairs: of the task's own rows,
// packed once, or of two rows of scores, as they are computed. Lanes run along the own rows throughout.
#ifndef GRAFT_ATTENTION_STRIPS_H
#define GRAFT_ATTENTION_STRIPS_H

#include "attention_tiles.h"
#include "bf16_elements.h"
#include "bf16_units.h"

#include <math.h>

enum { STRIPS = BLOCK / STRIP };

#define LOG2_E 1.44269504088896341f

// At most 64 rows of the batch (outside = -1) or of an outside array.
struct row_block {
    int32_t outside;
    int64_t row, count;
};

// What tasks meet: the blocks of each sequence's own rows, and after those the blocks of segments that are no sequence.
struct met_blocks {
    struct row_block *blocks;
    int64_t own_count, count;
    int64_t *of_sequence, *of_segment; // the first block
    int64_t sequence_count, segment_count, capacity;
};

struct met_blocks met_blocks(const struct attention_layout *layout);
void release_met_blocks(struct met_blocks met);

// Copies of an array's blocks, NULL where not needed: rows [block, head][64, depth] and channels [block, head][depth, 64], filled
// up with zeros; depth is D in whole steps.
struct met_copies {
    uint16_t *rows, *channels;
};

BODY int64_t whole_steps(int64_t n) { return divide_up(n, STEP) * STEP; }

static inline size_t bytes_of_copies(int64_t blocks, int64_t heads, int64_t D) {
    return (size_t)(blocks * heads * BLOCK * whole_steps(D)) * sizeof(uint16_t);
}

// Rows [row, row + count) and channels [column, column + D) of x, whose rows are `width` long, to one block of copies.
BODY void copy_block(struct met_copies to, struct matrix x, int64_t width, int64_t row, int64_t count, int64_t column, int64_t D,
                     const bool native) {
    int64_t depth = whole_steps(D);
    for (int64_t i = 0; to.rows && i < BLOCK; i++)
        for (int64_t d = 0; d < depth; d += LANES)
            store_bf16(to.rows + i * depth + d, load_bf16(x, (row + i) * width + column + d, i < count ? D - d : 0, 1, native),
                       LANES);
    for (int64_t i = 0; to.channels && i < BLOCK; i += STEP)
        for (int64_t d = 0; d < depth; d += LANES) {
            word_vector pairs[LANES];
            pairs_of_rows(pairs, x, width, row + i, count - i, column + d, D - d, 1, native);
            transpose_16((vector *)pairs);
            for (int64_t c = 0; c < LANES; c++) memcpy(to.channels + (d + c) * BLOCK + i, &pairs[c], sizeof pairs[c]);
        }
}

// The same rows as pairs of channels, [strip][depth, 32].
BODY void pack_own_rows(uint16_t *packed, struct matrix x, int64_t width, int64_t row, int64_t count, int64_t column, int64_t D,
                        const bool native) {
    for (int64_t i = 0; i < BLOCK; i += STRIP)
        for (int64_t d = 0; d < whole_steps(D); d += STEP)
            for (int64_t half = 0; half < STRIP; half += LANES, packed += LANES * STEP) {
                word_vector pairs[LANES];
                pairs_of_columns(pairs, x, width, row + i + half, count - i - half, column + d, D - d, 1, native);
                memcpy(packed, pairs, sizeof pairs);
            }
}

// out [rows, 32] = a [rows, 32 steps] b, added to out where `adds`. Rows up to a multiple of 16 are computed, and all columns of a
// half of which there are some.
BODY void strip_of_product(const struct bf16_unit *unit, float *out, const uint16_t *a, int64_t a_row, const uint16_t *b,
                           int64_t rows, int64_t columns, int64_t steps, bool adds) {
    for (int64_t i = 0; i < rows; i += GROUP) {
        struct bf16_run run = {.a = a + i * a_row, .row = a_row, .steps = steps};
        struct bf16_block block = {.runs = &run, .run_count = 1, .rows = (int32_t)smaller(GROUP, rows - i),
                                   .columns = (int32_t)columns, .b = b, .from = adds ? out + i * STRIP : NULL,
                                   .sums = out + i * STRIP, .sums_row = STRIP};
        unit->block(&block);
    }
}

// Scores of minus infinity, whose exponentials are zero, outside of columns [low, high).
BODY void hide_outside(float *scores, int64_t low, int64_t high) {
    const int_vector lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int32_t i = 0; i < STRIP; i += LANES) {
        int_vector first = (int_vector){0} + ((int32_t)low - i), last = (int_vector){0} + ((int32_t)high - i);
        store(scores + i, choose_lanes((lanes >= first) & (lanes < last), load(scores + i), splat(-INFINITY)));
    }
}

BODY void hide_rows(float *scores, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) hide_outside(scores + i * STRIP, 0, 0);
}

// 2^x for x up to 127, within 4 units in the last place; zero below 2^-126.5, keeps NaN.
//
// x = n + r with |r| <= 1/2; 2^r is the polynomial of least relative error on that range among those that give 2^0 = 1, 1e-7.
BODY vector power_of_two(vector x) {
    const vector round_bias = splat(12582912.0f); // as in vector_exp
    x = choose_lanes(x < splat(-127.0f), splat(-127.0f), x);
    vector shifted = x + round_bias, r = x - (shifted - round_bias);
    vector p = splat(1.32647285e-3f);
    p = p * r + splat(9.67151299e-3f);
    p = p * r + splat(5.55073358e-2f);
    p = p * r + splat(2.40222424e-1f);
    p = p * r + splat(6.93147004e-1f);
    p = p * r + splat(1.0f);
    return p * (vector)(((word_vector)shifted << 23) + (127u << 23)); // at n = -127 the power is zero
}

// Two rows of 16 as a row of pairs.
BODY void store_pairs(uint16_t *to, vector even, vector odd, const bool native) {
    word_vector low = __builtin_convertvector(round_bf16(even, native), word_vector);
    word_vector pairs = low | __builtin_convertvector(round_bf16(odd, native), word_vector) << 16;
    memcpy(to, &pairs, sizeof pairs);
}

// Where the pair of rows (i, i + 1) of a strip stands, of the columns from 16 `half` on.
BODY int64_t place_of_pair(int64_t i, int64_t half) { return (i / STEP * 2 + half) * (LANES * STEP) + i % STEP * LANES; }

// Row i of out, D elements, is column i of a result [channels, own] in strips of [depth, 32], times factors[i].
BODY void write_columns(struct array out, int64_t at, int64_t row, const float *result, int64_t rows, int64_t D,
                       const float *factors, bool adds, const bool native) {
    int64_t depth = whole_steps(D);
    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t d = 0; d < D; d += LANES) {
            const float *from = result + i / STRIP * depth * STRIP + d * STRIP + i % STRIP;
            vector block[LANES], factor = load(factors + i);
            for (int c = 0; c < LANES; c++) block[c] = load(from + c * STRIP) * factor;
            transpose_16(block);
            for (int64_t r = 0; r < smaller(LANES, rows - i); r++) {
                int64_t to = at + (i + r) * row + d;
                if (out.dtype == GRAFT_BF16)
                    store_bf16((uint16_t *)out.data + to, round_bf16(block[r], native), D - d);
                else
                    store_some((float *)out.data + to, adds ? load_some((float *)out.data + to, D - d) + block[r] : block[r], D - d);
            }
        }
}

// Blocks of an array in the batch, and the same of an outside array.
BODY struct matrix keys_of(const struct attention_layout *layout, struct matrix k, int32_t outside) {
    if (outside < 0) return k;
    return (struct matrix){.data = layout->outside[outside].keys, .dtype = layout->outside[outside].dtype};
}

BODY struct matrix values_of(const struct attention_layout *layout, struct matrix v, int32_t outside) {
    if (outside < 0) return v;
    return (struct matrix){.data = layout->outside[outside].values, .dtype = layout->outside[outside].dtype};
}

// Copies of all heads of block `block` of an array.
BODY void copy_heads(struct met_copies copies, struct matrix x, const struct row_block *from, int64_t block, int64_t heads,
                     int64_t D, const bool native) {
    int64_t size = BLOCK * whole_steps(D);
    for (int64_t h = 0; h < heads; h++) {
        int64_t at = (block * heads + h) * size;
        struct met_copies to = {copies.rows ? copies.rows + at : NULL, copies.channels ? copies.channels + at : NULL};
        copy_block(to, x, heads * D, from->row, from->count, h * D, D, native);
    }
}

// From name(job, task, native), a BODY, makes name_twin and name_native: the latter for the units of the processor, which round to
// bf16 themselves.
#if defined(__x86_64__)
#define TWIN_AND_NATIVE(name, job_type)                                                                                \
    TWIN_OF(name, job_type)                                                                                            \
    BF16_TARGET static void name##_native(const job_type *job, int64_t task) { name(job, task, true); }
#else
#define TWIN_AND_NATIVE(name, job_type)                                                                                \
    TWIN_OF(name, job_type)                                                                                            \
    static void name##_native(const job_type *job, int64_t task) { name##_twin(job, task); }
#endif
#define TWIN_OF(name, job_type)                                                                                        \
    BODY void name##_twin_body(const job_type *job, int64_t task) { name(job, task, false); }                          \
    VARIANTS(name##_twin, (const job_type *job, int64_t task), (job, task))

// The unit's loops; NULL where attention does not run on that unit.
const struct bf16_unit *attention_unit(enum matrix_unit unit);

#endif
