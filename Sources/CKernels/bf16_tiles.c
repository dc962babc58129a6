// Blocks of products on AMX's tiles, and the same loops over a plain twin of a tile.
#include "bf16_units.h"
#include "vector_math.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define UNIT(name) amx_##name
#define UNIT_TARGET TILES_TARGET
#define TILES_DECLARED
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, bytes) _tile_loadd(t, from, bytes)
#define TILE_STREAM(t, from, bytes) _tile_stream_loadd(t, from, bytes)
#define TILE_STORE(t, to, bytes) _tile_stored(t, to, bytes)
#define TILE_DOT(sum, a, b) _tile_dpbf16ps(sum, a, b)
#include "bf16_tile_loops.h"
#undef UNIT
#undef UNIT_TARGET
#undef TILES_DECLARED
#undef TILE_ZERO
#undef TILE_LOAD
#undef TILE_STREAM
#undef TILE_STORE
#undef TILE_DOT

// What LDTILECFG reads: eight tiles of 16 rows of 64 bytes.
struct tile_configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static const struct tile_configuration configuration __attribute__((aligned(64))) = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

// Tiles are configured for a task and released after it. It takes some hundred cycles of a task's tens of thousands, nothing else
// on the thread ever meets configured tiles, and the system saves no tiles when it switches threads between tasks.
TILES_TARGET static void begin_tiles(void) { _tile_loadconfig(&configuration); }
TILES_TARGET static void end_tiles(void) { _tile_release(); }
TILES_TARGET static void tiles_block(const struct bf16_block *block) { amx_block_body(block); }

const struct bf16_unit bf16_tiles_unit = {begin_tiles, tiles_block, end_tiles};
#endif

struct tile {
    int_vector rows[16];
};

BODY void twin_load(struct tile *tile, const void *from, int64_t bytes) {
    for (int i = 0; i < 16; i++) memcpy(&tile->rows[i], (const char *)from + i * bytes, sizeof tile->rows[i]);
}

BODY void twin_store(const struct tile *tile, void *to, int64_t bytes) {
    for (int i = 0; i < 16; i++) memcpy((char *)to + i * bytes, &tile->rows[i], sizeof tile->rows[i]);
}

// TDPBF16PS: the products of even and of odd k are summed apart, from zero, and then added to the sum.
BODY void twin_dot(struct tile *sum, const struct tile *a, const struct tile *b) {
    for (int i = 0; i < 16; i++) {
        vector even = splat(0), odd = splat(0);
        for (int p = 0; p < 16; p++) {
            vector pair = (vector)((int_vector){0} + a->rows[i][p]);
            even = (vector)((int_vector)pair << 16) * (vector)(b->rows[p] << 16) + even;
            odd = (vector)((int_vector)pair & ~0xFFFF) * (vector)(b->rows[p] & ~0xFFFF) + odd;
        }
        sum->rows[i] = (int_vector)((vector)sum->rows[i] + (even + odd));
    }
}

#define UNIT(name) twin_##name
#define UNIT_TARGET
#define TILES_DECLARED struct tile tiles[8];
#define TILE_ZERO(t) tiles[t] = (struct tile){0}
#define TILE_LOAD(t, from, bytes) twin_load(&tiles[t], from, bytes)
#define TILE_STREAM TILE_LOAD
#define TILE_STORE(t, to, bytes) twin_store(&tiles[t], to, bytes)
#define TILE_DOT(sum, a, b) twin_dot(&tiles[sum], &tiles[a], &tiles[b])
#include "bf16_tile_loops.h"

VARIANTS(twin_block, (const struct bf16_block *block), (block))

static void nothing(void) {}

const struct bf16_unit bf16_tiles_twin = {nothing, twin_block, nothing};
