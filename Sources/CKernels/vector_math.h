// Vectors of 16 floats and the few operations on them that kernels need. Everything is compiled into the caller (see VARIANTS
// in cpu.h). a * b + c in one expression is a fused multiply-add where the processor has one.
#ifndef GRAFT_VECTOR_MATH_H
#define GRAFT_VECTOR_MATH_H

#include "cpu.h"

#include <stdint.h>
#include <string.h>

// Bodies are always inlined, so the calling convention that this warns about is never used.
#pragma clang diagnostic ignored "-Wpsabi"

enum { LANES = 16 };
typedef float vector __attribute__((vector_size(64)));
typedef int32_t int_vector __attribute__((vector_size(64)));
typedef uint16_t short_vector __attribute__((vector_size(32)));
typedef uint32_t word_vector __attribute__((vector_size(64)));
typedef double double_vector __attribute__((vector_size(128)));

BODY vector load(const float *p) {
    vector v;
    memcpy(&v, p, sizeof v);
    return v;
}

BODY void store(float *p, vector v) { memcpy(p, &v, sizeof v); }

// The first `count` lanes, and zeros.
BODY vector load_some(const float *p, int64_t count) {
    if (count >= LANES) return load(p);
    vector v = {0};
    for (int64_t i = 0; i < count; i++) v[i] = p[i];
    return v;
}

BODY void store_some(float *p, vector v, int64_t count) {
    if (count >= LANES) return store(p, v);
    for (int64_t i = 0; i < count; i++) p[i] = v[i];
}

BODY vector splat(float x) { return (vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

// Lanes of a where the mask is all ones, else of b.
BODY vector choose_lanes(int_vector mask, vector a, vector b) {
    return (vector)(((int_vector)a & mask) | ((int_vector)b & ~mask));
}

BODY vector vector_maximum(vector a, vector b) { return choose_lanes(a > b, a, b); }

// The sum of the lanes, always in the same order.
BODY float lane_sum(vector v) {
    float half[8], quarter[4];
    for (int i = 0; i < 8; i++) half[i] = v[i] + v[i + 8];
    for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

BODY double lane_sum_double(double_vector v) {
    double half[8], quarter[4];
    for (int i = 0; i < 8; i++) half[i] = v[i] + v[i + 8];
    for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

BODY float lane_maximum(vector v) {
    float best = v[0];
    for (int i = 1; i < LANES; i++) best = v[i] > best ? v[i] : best;
    return best;
}

BODY vector widen_bf16(const uint16_t *p) {
    short_vector s;
    memcpy(&s, p, sizeof s);
    return (vector)(__builtin_convertvector(s, word_vector) << 16);
}

// exp(x) within 2 units in the last place; overflows to infinity, underflows through denormals to zero, keeps NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) is its Taylor polynomial with coefficients fitted to that range (Cephes' expf);
// 2^n is applied as two factors so that neither leaves the range of exponents.
BODY vector vector_exp(vector x) {
    const vector round_bias = splat(12582912.0f); // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    x = choose_lanes(x > splat(89.0f), splat(89.0f), x);
    x = choose_lanes(x < splat(-104.0f), splat(-104.0f), x);
    vector shifted = x * splat(1.44269504088896341f) + round_bias;
    vector n = shifted - round_bias;
    int_vector exponent = (int_vector)shifted - (int_vector)round_bias;
    vector r = n * splat(-0.693359375f) + x;
    r = n * splat(2.12194440e-4f) + r;
    vector p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * (r * r) + r;
    p = p + splat(1.0f);
    int_vector first = exponent >> 1, second = exponent - first;
    return p * (vector)((first + 127) << 23) * (vector)((second + 127) << 23);
}

#endif
