// Conversion between storage types, through f32.
#include "convert.h"

#include "elements.h"
#include "kernels.h"
#include "thread_pool.h"

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

size_t size_of_dtype(int32_t dtype) { return dtype == GRAFT_F32 ? 4 : 2; }

// Denormals of f16 come from adding a float whose last place is theirs, which leaves the rounding to the adder.
BODY uint16_t f16_of(float x) {
    uint32_t bits = bits_of(x), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7FFFFFFF;
    uint32_t denormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
    uint32_t normal = (magnitude - (112u << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
    uint32_t result = magnitude < (113u << 23) ? denormal : normal;
    result = magnitude >= (143u << 23) || result > 0x7C00 ? 0x7C00 : result;
    result = magnitude > 0x7F800000 ? 0x7E00 | ((magnitude >> 13) & 0x3FF) : result;
    return (uint16_t)(sign | result);
}

// The exponent's bias is corrected by a product, which also makes normal numbers of denormals.
BODY float float_of_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);
    uint32_t special = magnitude | 0x7F800000;
    return float_of(sign | (magnitude >= 0x0F800000 ? special : finite));
}

#define CONVERSION(name, in_type, out_type, expression)                                                                \
    BODY void name##_body(void *restrict out_bytes, const void *restrict in_bytes, int64_t n) {                        \
        out_type *restrict out = out_bytes;                                                                            \
        const in_type *restrict in = in_bytes;                                                                         \
        for (int64_t i = 0; i < n; i++) out[i] = expression;                                                           \
    }                                                                                                                  \
    VARIANTS(name, (void *restrict out_bytes, const void *restrict in_bytes, int64_t n), (out_bytes, in_bytes, n))

CONVERSION(f32_from_bf16, uint16_t, float, float_of((uint32_t)in[i] << 16))
CONVERSION(f32_from_f16, uint16_t, float, float_of_f16(in[i]))
CONVERSION(f16_from_f32, float, uint16_t, f16_of(in[i]))
CONVERSION(f16_from_bf16, uint16_t, uint16_t, f16_of(float_of((uint32_t)in[i] << 16)))

// Each vector comes from `widened`, of the `count` numbers from in + i on.
#define CONVERSION_TO_BF16(name, in_type, widened)                                                                     \
    BODY void name##_body(void *restrict out, const void *restrict in_bytes, int64_t n) {                              \
        const in_type *restrict in = in_bytes;                                                                         \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            int64_t count = smaller(n - i, LANES);                                                                     \
            store_elements(out, GRAFT_BF16, i, widened(in + i, count), count);                                         \
        }                                                                                                              \
    }                                                                                                                  \
    VARIANTS(name, (void *restrict out, const void *restrict in_bytes, int64_t n), (out, in_bytes, n))

BODY vector load_f16(const uint16_t *in, int64_t count) {
    vector v = {0};
    for (int64_t i = 0; i < count; i++) v[i] = float_of_f16(in[i]);
    return v;
}

CONVERSION_TO_BF16(bf16_from_f32, float, load_some)
CONVERSION_TO_BF16(bf16_from_f16, uint16_t, load_f16)

void convert_run(void *out, int32_t out_dtype, const void *in, int32_t in_dtype, int64_t n) {
    if (out_dtype == in_dtype)
        memcpy(out, in, (size_t)n * size_of_dtype(in_dtype));
    else if (out_dtype == GRAFT_F32)
        (in_dtype == GRAFT_BF16 ? f32_from_bf16 : f32_from_f16)(out, in, n);
    else if (out_dtype == GRAFT_BF16)
        (in_dtype == GRAFT_F32 ? bf16_from_f32 : bf16_from_f16)(out, in, n);
    else
        (in_dtype == GRAFT_F32 ? f16_from_f32 : f16_from_bf16)(out, in, n);
}

struct convert_job {
    char *out;
    const char *in;
    int32_t out_dtype, in_dtype;
    int64_t n;
};

enum { CHUNK = 32768 };

static void convert_task(void *context, int64_t task) {
    const struct convert_job *job = context;
    int64_t start = task * CHUNK;
    convert_run(job->out + (size_t)start * size_of_dtype(job->out_dtype), job->out_dtype,
                job->in + (size_t)start * size_of_dtype(job->in_dtype), job->in_dtype, smaller(CHUNK, job->n - start));
}

void graft_convert(void *out, int32_t out_dtype, const void *in, int32_t in_dtype, int64_t n) {
    struct convert_job job = {out, in, out_dtype, in_dtype, n};
    pool_run("convert", divide_up(n, CHUNK), convert_task, &job);
}
