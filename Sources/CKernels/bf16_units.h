// The inner loops of products of bf16 numbers, one set for each unit.
#ifndef GRAFT_BF16_UNITS_H
#define GRAFT_BF16_UNITS_H

#include "cpu.h"

#include <stdbool.h>
#include <stdint.h>

// The sizes of a block: rows of a, columns of b, and how far a step goes in k. b is packed as [strip][step][half of the strip]
// [pair of k, 16 columns, 2]: each half of a step is the 1024 bytes of one tile.
enum { GROUP = 32, STRIP = 32, STEP = 32, TILE = 512 };

// A group's rows of one operand a.
struct bf16_run {
    const uint16_t *a, *next; // next: the rows of the group after this one, NULL where they need not be fetched
    int64_t row, steps;       // row: elements from one row to the next
};

// sums [32, 32] = from + a b over all runs, one after the other. Halves of 16 rows or columns that do not exist are left out.
struct bf16_block {
    const struct bf16_run *runs;
    int32_t run_count;
    int32_t rows, columns;              // 1 ... 32
    int32_t first_fetched, last_fetched; // of the next group's rows: fetched into the second-level cache on the way
    const uint16_t *b;
    const float *from; // rows of 32; NULL is zero
    float *sums;
    int64_t sums_row;
};

struct bf16_unit {
    void (*begin)(void); // on the thread, before its first block
    void (*block)(const struct bf16_block *block);
    void (*end)(void);
};

extern const struct bf16_unit bf16_pairs_unit, bf16_pairs_twin, bf16_tiles_unit, bf16_tiles_twin;

#if defined(__x86_64__)
#define BF16_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define TILES_TARGET __attribute__((target("avx512f,amx-tile,amx-bf16")))
#endif

#endif
