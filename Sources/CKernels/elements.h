// Vectors of 16 numbers to and from arrays stored in f32 or bf16.
#ifndef GRAFT_ELEMENTS_H
#define GRAFT_ELEMENTS_H

#include "kernel_table.h"
#include "vector_math.h"

// Rounds to nearest, ties to even; a NaN stays one.
BODY void narrow_bf16(uint16_t *p, vector v) {
    word_vector bits = (word_vector)v;
    word_vector rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, nan = (bits >> 16) | 0x40;
    word_vector is_nan = (word_vector)((bits & 0x7FFFFFFF) > 0x7F800000);
    short_vector s = __builtin_convertvector((rounded & ~is_nan) | (nan & is_nan), short_vector);
    memcpy(p, &s, sizeof s);
}

// The number that v becomes when it is stored in bf16.
BODY vector round_to_bf16(vector v) {
    uint16_t rounded[LANES];
    narrow_bf16(rounded, v);
    return widen_bf16(rounded);
}

// The first `count` of 16 elements from element `at` on, and zeros.
BODY vector load_elements(const void *data, const int32_t dtype, int64_t at, int64_t count) {
    if (dtype == GRAFT_F32) return load_some((const float *)data + at, count);
    if (count >= LANES) return widen_bf16((const uint16_t *)data + at);
    uint16_t some[LANES] = {0};
    memcpy(some, (const uint16_t *)data + at, (size_t)count * sizeof(uint16_t));
    return widen_bf16(some);
}

BODY void store_elements(void *data, const int32_t dtype, int64_t at, vector v, int64_t count) {
    if (dtype == GRAFT_F32) return store_some((float *)data + at, v, count);
    if (count >= LANES) return narrow_bf16((uint16_t *)data + at, v);
    uint16_t some[LANES];
    narrow_bf16(some, v);
    memcpy((uint16_t *)data + at, some, (size_t)count * sizeof(uint16_t));
}

#endif
