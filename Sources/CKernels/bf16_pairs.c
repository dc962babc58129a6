// Blocks of products on AVX512-BF16's dot products of pairs, and the same loops over their plain twin.
#include "bf16_units.h"
#include "vector_math.h"

static void nothing(void) {}

#if defined(__x86_64__)
#include <immintrin.h>

#define UNIT(name) avx512bf16_##name
#define UNIT_TARGET BF16_TARGET
#define ADD_PAIRS(sum, pair, b)                                                                                        \
    sum = (vector)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_epi32(pair), (__m512bh)(b))
#include "bf16_pair_loops.h"
#undef UNIT
#undef UNIT_TARGET
#undef ADD_PAIRS

BF16_TARGET static void pairs_block(const struct bf16_block *block) { avx512bf16_block_body(block); }

const struct bf16_unit bf16_pairs_unit = {nothing, pairs_block, nothing};
#endif

// VDPBF16PS: the product of the odd k is added first.
BODY void twin_add_pairs(vector *sum, int32_t pair, int_vector b) {
    int_vector pairs = (int_vector){0} + pair;
    vector odd = (vector)(pairs & ~0xFFFF) * (vector)(b & ~0xFFFF) + *sum;
    *sum = (vector)(pairs << 16) * (vector)(b << 16) + odd;
}

#define UNIT(name) twin_##name
#define UNIT_TARGET
#define ADD_PAIRS(sum, pair, b) twin_add_pairs(&(sum), pair, b)
#include "bf16_pair_loops.h"

VARIANTS(twin_block, (const struct bf16_block *block), (block))

const struct bf16_unit bf16_pairs_twin = {nothing, twin_block, nothing};
