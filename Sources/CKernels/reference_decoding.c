// Reference loops of decoding: attention of single rows, and choosing a token.
#include "allocator.h"
#include "reference.h"

#include <math.h>

static float *widened(const void *x, int32_t dtype, int64_t n) {
    float *out = working_space((size_t)n * sizeof *out);
    for (int64_t i = 0; i < n; i++) out[i] = (float)reference_element((struct matrix){x, dtype}, i);
    return out;
}

void reference_attention_decode(float *out, const float *q, const float *k, const float *v, const struct attention_layout *layout,
                                int64_t T, int64_t H, int64_t K, int64_t D, float scale) {
    struct outside_keys outside[layout->outside_count + 1];
    for (int32_t o = 0; o < layout->outside_count; o++) {
        int64_t n = layout->outside[o].count * K * D;
        outside[o] = layout->outside[o];
        outside[o].keys = widened(outside[o].keys, outside[o].dtype, n);
        outside[o].values = widened(outside[o].values, outside[o].dtype, n);
    }
    struct attention_layout wide = *layout;
    wide.outside = outside;
    float *lse = working_space((size_t)(T * H) * sizeof *lse);
    reference_attention_forward((struct array){out, GRAFT_F32}, lse, (struct matrix){q, GRAFT_F32}, (struct matrix){k, GRAFT_F32},
                                (struct matrix){v, GRAFT_F32}, &wide, T, H, K, D, scale);
    graft_release(lse, (size_t)(T * H) * sizeof *lse);
    for (int32_t o = 0; o < layout->outside_count; o++) {
        size_t bytes = (size_t)(layout->outside[o].count * K * D) * sizeof(float);
        graft_release((void *)outside[o].keys, bytes);
        graft_release((void *)outside[o].values, bytes);
    }
}

int64_t reference_largest(const float *x, int64_t n) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i]) && (best < 0 || x[i] > x[best])) best = i;
    return best;
}

void reference_exponentials(float *out, double *sums, const float *x, float maximum, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double e = exp(((double)x[i] - maximum) * factor);
        out[i] = (float)e;
        sums[i / GRAFT_SUM_BLOCK] = (i % GRAFT_SUM_BLOCK == 0 ? 0 : sums[i / GRAFT_SUM_BLOCK]) + e;
    }
}
