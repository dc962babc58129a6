// Codes to f32. An element is one product of a level and a scale, rounded once, so that every path gives the same bits.
#include "weight_storage.h"

#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#pragma clang fp contract(off)

static float map_of_codes[256];
static pthread_once_t map_once = PTHREAD_ONCE_INIT;

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Seven decades 10^-6 ... 1. The decade 10^(i - 6) holds the middles of 2^i equal parts of [0.1, 1], times the decade, with both
// signs; 0 and 1 besides. In f32 throughout, as torch computes it: linspace with fused multiply-adds, from both ends.
static void make_map(void) {
    static const float decades[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1};
    int count = 0;
    for (int i = 0; i < 7; i++) {
        int parts = 1 << i;
        float step = (1.0f - 0.1f) / (float)parts, edges[65];
        for (int e = 0; e <= parts; e++)
            edges[e] = e < (parts + 1) / 2 ? fmaf(step, (float)e, 0.1f) : fmaf(-step, (float)(parts - e), 1);
        for (int part = 0; part < parts; part++) {
            float middle = (edges[part] + edges[part + 1]) / 2;
            map_of_codes[count++] = decades[i] * middle;
            map_of_codes[count++] = -(decades[i] * middle);
        }
    }
    map_of_codes[count++] = 0;
    map_of_codes[count] = 1;
    qsort(map_of_codes, 256, sizeof(float), rising);
}

const float *dynamic_map(void) {
    pthread_once(&map_once, make_map);
    return map_of_codes;
}

// absmax of `count` blocks from `block` on.
static void load_absmax(float *out, struct matrix x, int64_t block, int64_t count) {
    if (!x.nested_scales) {
        memcpy(out, (const float *)x.scales + block, (size_t)count * sizeof(float));
        return;
    }
    const float *map = dynamic_map();
    const uint8_t *codes = (const uint8_t *)x.scales + block;
    for (int64_t i = 0; i < count; i++) {
        float scale = map[codes[i]] * x.nested_scales[(block + i) / NESTED_BLOCK];
        out[i] = scale + x.offset;
    }
}

// Whole blocks of NF4: for each element its level times the block's absmax. One function a level of the processor, because the
// lookup among 16 levels is a shuffle that portable vectors cannot express.
static void unpack_blocks_plain(float *out, const uint8_t *codes, const float *absmax, int64_t blocks) {
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t i = 0; i < NF4_BLOCK / 2; i++) {
            uint8_t pair = codes[block * NF4_BLOCK / 2 + i];
            out[block * NF4_BLOCK + 2 * i] = nf4_levels[pair >> 4] * absmax[block];
            out[block * NF4_BLOCK + 2 * i + 1] = nf4_levels[pair & 15] * absmax[block];
        }
}

#if defined(__x86_64__)
// 16 codes, one a byte: the high halves and the low halves of eight bytes, interleaved.
__attribute__((target("avx2"), always_inline)) static inline __m128i sixteen_codes(const uint8_t *codes) {
    __m128i pairs = _mm_loadl_epi64((const __m128i *)codes), low = _mm_set1_epi8(15);
    return _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(pairs, 4), low), _mm_and_si128(pairs, low));
}

// Byte `plane` of each level, for shuffles of bytes.
__attribute__((target("avx2"), always_inline)) static inline __m256i level_bytes(int plane) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) memcpy(&bytes[i], (const char *)&nf4_levels[i] + plane, 1);
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
}

// 32 codes, one a byte, in the order in which four rounds of interleaving halves of 128 bits bring their levels out in rising order:
// codes 0-3, 8-11, 16-19, 24-27, then the others.
__attribute__((target("avx2"), always_inline)) static inline __m256i codes_to_interleave(const uint8_t *codes) {
    const __m256i twice = _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2, 3, 3, 6, 6, 7, 7, 10, 10,
                                           11, 11, 14, 14, 15, 15);
    __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)codes)), twice);
    return _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(pairs, 4), _mm256_set1_epi16(0x000F)),
                           _mm256_and_si256(pairs, _mm256_set1_epi16(0x0F00)));
}

__attribute__((target("avx2"), always_inline)) static inline void store_levels(float *out, __m256i low, __m256i high,
                                                                               __m256 scale) {
    __m256i first = _mm256_unpacklo_epi16(low, high), second = _mm256_unpackhi_epi16(low, high);
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_castsi256_ps(first), scale));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(_mm256_castsi256_ps(second), scale));
}

// Looks the four bytes of 32 levels up, each with one shuffle, and interleaves them to floats: half the work of looking up floats.
__attribute__((target("avx2"))) static void unpack_blocks_avx2(float *out, const uint8_t *codes, const float *absmax,
                                                               int64_t blocks) {
    const __m256i bytes[4] = {level_bytes(0), level_bytes(1), level_bytes(2), level_bytes(3)};
    for (int64_t block = 0; block < blocks; block++) {
        __m256 scale = _mm256_set1_ps(absmax[block]);
        for (int64_t i = 0; i < NF4_BLOCK; i += 32, codes += 16, out += 32) {
            __m256i index = codes_to_interleave(codes);
            __m256i byte0 = _mm256_shuffle_epi8(bytes[0], index), byte1 = _mm256_shuffle_epi8(bytes[1], index);
            __m256i byte2 = _mm256_shuffle_epi8(bytes[2], index), byte3 = _mm256_shuffle_epi8(bytes[3], index);
            store_levels(out, _mm256_unpacklo_epi8(byte0, byte1), _mm256_unpacklo_epi8(byte2, byte3), scale);
            store_levels(out + 16, _mm256_unpackhi_epi8(byte0, byte1), _mm256_unpackhi_epi8(byte2, byte3), scale);
        }
    }
}

__attribute__((target("avx2,avx512f"))) static void unpack_blocks_avx512(float *out, const uint8_t *codes, const float *absmax,
                                                                         int64_t blocks) {
    __m512 levels = _mm512_loadu_ps(nf4_levels);
    for (int64_t block = 0; block < blocks; block++) {
        __m512 scale = _mm512_set1_ps(absmax[block]);
        for (int64_t i = 0; i < NF4_BLOCK; i += 16, codes += 8, out += 16) {
            __m512i index = _mm512_cvtepu8_epi32(sixteen_codes(codes));
            _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_permutexvar_ps(index, levels), scale));
        }
    }
}
#endif

static void unpack_blocks(float *out, const uint8_t *codes, const float *absmax, int64_t blocks) {
    switch (cpu_level()) {
#if defined(__x86_64__)
    case CPU_AVX512: return unpack_blocks_avx512(out, codes, absmax, blocks);
    case CPU_AVX2: return unpack_blocks_avx2(out, codes, absmax, blocks);
#endif
    default: unpack_blocks_plain(out, codes, absmax, blocks);
    }
}

// Elements of one block, from any place to any place in it.
static void unpack_part(float *out, const uint8_t *codes, int64_t at, int64_t count, float absmax) {
    for (int64_t i = at; i < at + count; i++) out[i - at] = nf4_levels[codes[i / 2] >> (i % 2 ? 0 : 4) & 15] * absmax;
}

static void unpack_nf4(float *out, struct matrix x, int64_t at, int64_t count) {
    enum { BLOCKS = 16 };
    const uint8_t *codes = x.data;
    while (count > 0) {
        int64_t run = smaller(count, NF4_BLOCK - at % NF4_BLOCK), blocks = 1;
        float absmax[BLOCKS];
        if (run == NF4_BLOCK) blocks = smaller(BLOCKS, count / NF4_BLOCK), run = blocks * NF4_BLOCK;
        load_absmax(absmax, x, at / NF4_BLOCK, blocks);
        if (run % NF4_BLOCK == 0)
            unpack_blocks(out, codes + at / 2, absmax, blocks);
        else
            unpack_part(out, codes, at, run, absmax[0]);
        out += run, at += run, count -= run;
    }
}

BODY void unpack_int8_body(float *restrict out, const int8_t *restrict codes, float scale, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = (float)codes[i] * scale;
}
VARIANTS(unpack_int8, (float *restrict out, const int8_t *restrict codes, float scale, int64_t count),
         (out, codes, scale, count))

void unpack_run(float *out, struct matrix x, int64_t at, int64_t count) {
    if (x.dtype == GRAFT_NF4) return unpack_nf4(out, x, at, count);
    while (count > 0) {
        int64_t row = at / x.columns, run = smaller(count, (row + 1) * x.columns - at);
        unpack_int8(out, (const int8_t *)x.data + at, ((const float *)x.scales)[row], run);
        out += run, at += run, count -= run;
    }
}

struct unpack_job {
    float *out;
    struct matrix x;
    int64_t first, n;
};

enum { CHUNK = 32768 };

static void unpack_task(void *context, int64_t task) {
    const struct unpack_job *job = context;
    int64_t start = task * CHUNK;
    unpack_run(job->out + start, job->x, job->first + start, smaller(CHUNK, job->n - start));
}

void graft_unpack(float *out, struct matrix x, int64_t first, int64_t n) {
    struct unpack_job job = {out, x, first, n};
    pool_run("unpacking", divide_up(n, CHUNK), unpack_task, &job);
}
