// The loops over tiles, included once for AMX and once for its twin. UNIT(name) names a function, UNIT_TARGET is its instruction
// set, TILES_DECLARED its registers; the operations are TILE_ZERO(t), TILE_LOAD(t, from, bytes), TILE_STREAM(t, from, bytes),
// TILE_STORE(t, to, bytes), TILE_DOT(sum, a, b).
//
// Tiles 0 to 3 are the sums, [half of the rows][half of the columns]; 4 and 5 are rows of a, 6 and 7 columns of b. A whole step is
// four loads of 8 cycles beside four products of 16, so that products set the pace if one operand comes from the first-level
// cache: that is a's rows, which stay for all strips, while b passes through (the loads that stream ask not to be kept close).
// Four sums are also what the latency of a product, 52 cycles, needs.
UNIT_TARGET static inline __attribute__((always_inline)) void UNIT(run)(const struct bf16_block *block, const bool two_rows,
                                                                         const bool two_columns) {
    enum { ROW = STRIP * sizeof(float) };
    const float *from = block->from;
    const uint16_t *b = block->b;
    TILES_DECLARED
    if (from) {
        TILE_LOAD(0, from, ROW);
        if (two_columns) TILE_LOAD(1, from + 16, ROW);
        if (two_rows) TILE_LOAD(2, from + 16 * STRIP, ROW);
        if (two_rows && two_columns) TILE_LOAD(3, from + 16 * STRIP + 16, ROW);
    } else {
        TILE_ZERO(0);
        if (two_columns) TILE_ZERO(1);
        if (two_rows) TILE_ZERO(2);
        if (two_rows && two_columns) TILE_ZERO(3);
    }
    for (int32_t i = 0; i < block->run_count; i++) {
        const struct bf16_run run = block->runs[i];
        const uint16_t *a = run.a, *lower = run.a + 16 * run.row;
        int64_t bytes = run.row * (int64_t)sizeof(uint16_t);
        const uint16_t *fetched = run.next ? run.next + block->first_fetched * run.row : NULL;
        int32_t fetches = run.next ? block->last_fetched - block->first_fetched : 0;
        for (int64_t step = 0; step < run.steps; step++, b += 2 * TILE) {
            TILE_STREAM(6, b, 64);
            TILE_LOAD(4, a + step * STEP, bytes);
            TILE_DOT(0, 4, 6);
            if (two_columns) {
                TILE_STREAM(7, b + TILE, 64);
                TILE_DOT(1, 4, 7);
            }
            if (two_rows) {
                TILE_LOAD(5, lower + step * STEP, bytes);
                TILE_DOT(2, 5, 6);
                if (two_columns) TILE_DOT(3, 5, 7);
            }
#pragma clang loop unroll(disable)
            for (int32_t r = 0; r < fetches; r++) __builtin_prefetch(fetched + r * run.row + step * STEP, 0, 2);
        }
    }
    int64_t row = block->sums_row * (int64_t)sizeof(float);
    float *sums = block->sums, *lower_sums = block->sums + 16 * block->sums_row;
    TILE_STORE(0, sums, row);
    if (two_columns) TILE_STORE(1, sums + 16, row);
    if (two_rows) TILE_STORE(2, lower_sums, row);
    if (two_rows && two_columns) TILE_STORE(3, lower_sums + 16, row);
}

UNIT_TARGET static inline __attribute__((always_inline)) void UNIT(block_body)(const struct bf16_block *block) {
    bool two_rows = block->rows > 16, two_columns = block->columns > 16;
    if (two_rows && two_columns)
        UNIT(run)(block, true, true);
    else if (two_rows)
        UNIT(run)(block, true, false);
    else if (two_columns)
        UNIT(run)(block, false, true);
    else
        UNIT(run)(block, false, false);
}
