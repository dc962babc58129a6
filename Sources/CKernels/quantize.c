// Numbers to codes and scales. NF4 and its nested scales are to the bit what bitsandbytes 0.50.2 makes on a processor.
#include "kernels.h"
#include "thread_pool.h"
#include "vector_math.h"
#include "weight_storage.h"

#pragma clang fp contract(off)

enum { BLOCKS = 256 }; // of NF4 in a task

struct quantize_job {
    void *codes;
    float *scales;
    const float *in;
    int64_t n, columns;
};

// The largest magnitude. As integers, magnitudes order as they do as floats, and a NaN stands above all: it stays.
BODY float largest_magnitude(const float *in, int64_t count) {
    int_vector most = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        int_vector magnitude = (int_vector)load_some(in + i, count - i) & 0x7FFFFFFF;
        int_vector larger = magnitude > most;
        most = (magnitude & larger) | (most & ~larger);
    }
    int32_t bits = 0;
    for (int i = 0; i < LANES; i++) bits = most[i] > bits ? most[i] : bits;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

// The code is the number of midpoints between levels that lie below x: a number on a midpoint goes down, as does none that is NaN.
BODY int_vector codes_of(vector x) {
    int_vector codes = (int_vector){0} + 15;
#pragma clang loop unroll(full)
    for (int i = 0; i < 15; i++) codes += splat((nf4_levels[i] + nf4_levels[i + 1]) / 2) >= x;
    return codes;
}

// Full blocks are multiplied by 1 / absmax, a short one at the end is divided by absmax, which is then stored as no less than
// 1e-38; the second half of the last byte is the code of 0 where it is no element's.
BODY void quantize_blocks_body(const struct quantize_job *job, int64_t first, int64_t last) {
    uint8_t *bytes = job->codes;
    for (int64_t block = first; block < last; block++) {
        int64_t start = block * NF4_BLOCK, count = smaller(NF4_BLOCK, job->n - start);
        const float *in = job->in + start;
        float absmax = largest_magnitude(in, count), divisor = absmax < 1e-38f ? 1e-38f : absmax, inverse = 1 / divisor;
        job->scales[block] = count < NF4_BLOCK ? divisor : absmax;
        for (int64_t i = 0; i < count; i += LANES) {
            vector x = load_some(in + i, count - i);
            int_vector codes = codes_of(count < NF4_BLOCK ? x / splat(divisor) : x * splat(inverse));
            for (int pair = 0; pair < LANES / 2 && i + 2 * pair < count; pair++)
                bytes[(start + i) / 2 + pair] = (uint8_t)(codes[2 * pair] << 4 | codes[2 * pair + 1]);
        }
    }
}
VARIANTS(quantize_blocks, (const struct quantize_job *job, int64_t first, int64_t last), (job, first, last))

static void quantize_nf4_task(void *context, int64_t task) {
    const struct quantize_job *job = context;
    quantize_blocks(job, task * BLOCKS, smaller(divide_up(job->n, NF4_BLOCK), (task + 1) * BLOCKS));
}

void graft_quantize_nf4(uint8_t *codes, float *absmax, const float *in, int64_t n) {
    struct quantize_job job = {.codes = codes, .scales = absmax, .in = in, .n = n};
    pool_run("quantising", divide_up(divide_up(n, NF4_BLOCK), BLOCKS), quantize_nf4_task, &job);
}

// Rounds to the nearest integer, ties to even: 1.5 * 2^23 leaves no room for a fraction. NaN becomes 0 here and in its scale stays.
BODY void quantize_rows_body(const struct quantize_job *job, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        const float *in = job->in + row * job->columns;
        int8_t *codes = (int8_t *)job->codes + row * job->columns;
        float absmax = largest_magnitude(in, job->columns), inverse = absmax > 0 ? 127 / absmax : 0;
        job->scales[row] = absmax / 127;
        for (int64_t i = 0; i < job->columns; i++) {
            float x = in[i] * inverse;
            x = x > -127 ? x : -127;
            x = x < 127 ? x : 127;
            codes[i] = (int8_t)((x + 12582912.0f) - 12582912.0f);
        }
    }
}
VARIANTS(quantize_rows, (const struct quantize_job *job, int64_t first, int64_t last), (job, first, last))

static void quantize_int8_task(void *context, int64_t task) {
    const struct quantize_job *job = context;
    int64_t rows = rows_per_task(job->columns);
    quantize_rows(job, task * rows, smaller(job->n, (task + 1) * rows));
}

void graft_quantize_int8(int8_t *codes, float *scales, const float *in, int64_t rows, int64_t columns) {
    struct quantize_job job = {.codes = codes, .scales = scales, .in = in, .n = rows, .columns = columns};
    pool_run("quantising", divide_up(rows, rows_per_task(columns)), quantize_int8_task, &job);
}

// Sums as torch's mean does on one thread, whose last bits depend on the order: four chains of vectors of a register's width (eight
// floats, or 16 with AVX-512), each a cascade of four levels that hand their sums on after every 2^power vectors. A list shorter
// than a register takes chains of single numbers.
struct cascade {
    float levels[4][4 * 16]; // [level][chain, lane]
};

static void cascade_sum(struct cascade *sums, const float *in, int64_t steps, int64_t width) {
    int64_t log = steps > 1 ? 64 - __builtin_clzll((uint64_t)steps - 1) : 0, power = larger(4, log / 4);
    int64_t mask = ((int64_t)1 << power) - 1;
    memset(sums, 0, sizeof *sums);
    for (int64_t step = 1; step <= steps; step++, in += width) {
        for (int64_t k = 0; k < width; k++) sums->levels[0][k] += in[k];
        if (step & mask) continue;
        for (int level = 1; level < 4; level++) {
            for (int64_t k = 0; k < width; k++) {
                sums->levels[level][k] += sums->levels[level - 1][k];
                sums->levels[level - 1][k] = 0;
            }
            if (step & mask << level * power) break;
        }
    }
    for (int level = 1; level < 4; level++)
        for (int64_t k = 0; k < width; k++) sums->levels[0][k] += sums->levels[level][k];
}

static float mean_of(const float *in, int64_t n) {
    int64_t lanes = cpu_level() == CPU_AVX512 ? 16 : 8;
    if (n < lanes) lanes = 1;
    int64_t vectors = n / lanes, steps = vectors / 4;
    struct cascade sums;
    cascade_sum(&sums, in, steps, 4 * lanes);
    float *chains = sums.levels[0], total = 0;
    for (int64_t v = 4 * steps; v < vectors; v++)
        for (int64_t k = 0; k < lanes; k++) chains[k] += in[v * lanes + k];
    for (int64_t chain = 1; chain < 4; chain++)
        for (int64_t k = 0; k < lanes; k++) chains[k] += chains[chain * lanes + k];
    for (int64_t i = vectors * lanes; i < n; i++) total += in[i];
    for (int64_t k = 0; k < lanes; k++) total += chains[k];
    return total / (float)n;
}

// The code of x in [-1, 1]: x is first rounded to a grid of 65536 points, whose nearest number in the map it takes, on a midpoint
// the lower one.
static uint8_t code_in_map(const float *map, float x) {
    x = x > -1 ? x : -1;
    x = x < 1 ? x : 1;
    float place = (x + 1) * 0.5f;
    place = place * 65535.0f;
    place = (float)(int32_t)(place + 0.5f) / 65535.0f;
    float point = place * 2 - 1;
    int code = 0;
    for (int half = 128; half > 0; half /= 2)
        if (code + half < 256 && (map[code + half - 1] + map[code + half]) / 2 < point) code += half;
    return (uint8_t)code;
}

float graft_quantize_scales(uint8_t *codes, float *nested_scales, const float *absmax, int64_t n) {
    const float *map = dynamic_map();
    float offset = mean_of(absmax, n);
    for (int64_t start = 0; start < n; start += NESTED_BLOCK) {
        int64_t end = smaller(n, start + NESTED_BLOCK);
        float most = 0;
        for (int64_t i = start; i < end; i++) {
            float magnitude = __builtin_fabsf(absmax[i] - offset);
            if (most == most && !(magnitude <= most)) most = magnitude;
        }
        nested_scales[start / NESTED_BLOCK] = most;
        float inverse = 1 / most;
        for (int64_t i = start; i < end; i++) codes[i] = most > 0 ? code_in_map(map, (absmax[i] - offset) * inverse) : 0;
    }
    return offset;
}
