// The loops over vectors of pairs, included once for AVX512-BF16 and once for its twin. UNIT(name) names a function, UNIT_TARGET is
// its instruction set; ADD_PAIRS(sum, pair, b) adds to each of 16 sums a pair's two products with the pair of b in that lane.
//
// 8 rows and two vectors are 16 sums in registers: enough for the latency of a dot product, and ten loads beside sixteen of them.
UNIT_TARGET static inline __attribute__((always_inline)) void UNIT(eight_rows)(const struct bf16_block *block, int64_t first,
                                                                               const int vectors) {
    vector sums[8][2];
    const uint16_t *b = block->b;
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            sums[r][j] = (vector){0};
            if (block->from) memcpy(&sums[r][j], block->from + (first + r) * STRIP + j * LANES, sizeof sums[r][j]);
        }
    for (int32_t i = 0; i < block->run_count; i++) {
        const struct bf16_run run = block->runs[i];
        const uint16_t *a = run.a + first * run.row;
        for (int64_t step = 0; step < run.steps; step++, b += TILE)
            for (int pair = 0; pair < STEP / 2; pair++, a += 2, b += 2 * LANES) {
                int_vector columns[2];
#pragma clang loop unroll(full)
                for (int j = 0; j < vectors; j++) memcpy(&columns[j], b + j * TILE, sizeof columns[j]);
#pragma clang loop unroll(full)
                for (int r = 0; r < 8; r++) {
                    int32_t two;
                    memcpy(&two, a + r * run.row, sizeof two);
#pragma clang loop unroll(full)
                    for (int j = 0; j < vectors; j++) ADD_PAIRS(sums[r][j], two, columns[j]);
                }
            }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 8; r++)
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++)
            memcpy(block->sums + (first + r) * block->sums_row + j * LANES, &sums[r][j], sizeof sums[r][j]);
}

UNIT_TARGET static inline __attribute__((always_inline)) void UNIT(block_body)(const struct bf16_block *block) {
    for (int64_t first = 0; first < block->rows; first += 8)
        if (block->columns > LANES)
            UNIT(eight_rows)(block, first, 2);
        else
            UNIT(eight_rows)(block, first, 1);
}
