// Quantisation as its definition reads: one element at a time.
#include "reference.h"

#include "weight_storage.h"

#include <math.h>

#pragma clang fp contract(off)

double reference_quantized_element(struct matrix x, int64_t i) {
    if (x.dtype == GRAFT_INT8) return (float)((double)((const int8_t *)x.data)[i] * ((const float *)x.scales)[i / x.columns]);
    int64_t block = i / NF4_BLOCK;
    float absmax;
    if (x.nested_scales)
        absmax = (float)((double)(float)((double)dynamic_map()[((const uint8_t *)x.scales)[block]] *
                                         x.nested_scales[block / NESTED_BLOCK]) +
                         x.offset);
    else
        absmax = ((const float *)x.scales)[block];
    uint8_t pair = ((const uint8_t *)x.data)[i / 2];
    return (float)((double)nf4_levels[i % 2 ? pair & 15 : pair >> 4] * absmax);
}

void reference_unpack(float *out, struct matrix x, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)reference_quantized_element(x, first + i);
}

static float absmax_of(const float *in, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = isnan(in[i]) || fabsf(in[i]) > most ? fabsf(in[i]) : most;
    return most;
}

void reference_quantize_int8(int8_t *codes, float *scales, const float *in, int64_t rows, int64_t columns) {
    for (int64_t row = 0; row < rows; row++) {
        float absmax = absmax_of(in + row * columns, columns);
        scales[row] = absmax / 127;
        for (int64_t i = row * columns; i < (row + 1) * columns; i++)
            codes[i] = (int8_t)(absmax > 0 ? nearbyintf(in[i] * (127 / absmax)) : 0);
    }
}

void reference_quantize_nf4(uint8_t *codes, float *absmax, const float *in, int64_t n) {
    for (int64_t i = 0; i < n + n % 2; i++) {
        int64_t start = i / NF4_BLOCK * NF4_BLOCK, count = n - start < NF4_BLOCK ? n - start : NF4_BLOCK;
        float most = absmax_of(in + start, count), divisor = most > 1e-38f ? most : 1e-38f;
        absmax[i / NF4_BLOCK] = count < NF4_BLOCK ? divisor : most;
        float x = i < n ? in[i] : 0, normed = count < NF4_BLOCK ? x / divisor : x * (1 / divisor);
        int code = 0;
        while (code < 15 && (nf4_levels[code] + nf4_levels[code + 1]) / 2 < normed) code++;
        codes[i / 2] = (uint8_t)(i % 2 ? codes[i / 2] | code : code << 4);
    }
}

float reference_quantize_scales(uint8_t *codes, float *nested_scales, const float *absmax, int64_t n) {
    const float *map = dynamic_map();
    float offset = (float)(reference_sum(absmax, n) / (double)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t start = i / NESTED_BLOCK * NESTED_BLOCK;
        float most = 0;
        for (int64_t j = start; j < n && j < start + NESTED_BLOCK; j++) most = fmaxf(most, fabsf(absmax[j] - offset));
        nested_scales[i / NESTED_BLOCK] = most;
        double place = floor(((absmax[i] - offset) / (most > 0 ? most : 1) + 1.0) / 2 * 65535 + 0.5), point = place / 65535 * 2 - 1;
        int code = 0;
        while (code < 255 && most > 0 && (map[code] + map[code + 1]) / 2 < point) code++;
        codes[i] = (uint8_t)code;
    }
    return offset;
}
