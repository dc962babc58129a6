// The device seam: everything that Swift asks of a device, as one table of functions.
//
// Letters: T tokens (rows), C channels, H query heads, K key/value heads, D head dimension, V vocabulary, R rows with a target.
// Arrays are row-major f32 unless a `struct matrix` says otherwise. Order of arguments: outputs, inputs, sizes. `out` may be the
// same array as an input only where the entry says so. An entry overwrites its outputs unless it says that it adds to them.
//
// Results depend on shapes and values only, never on the number of threads; a row of a `matmul` result depends on that row of the
// input only, never on how many rows there are (unless the input is transposed: a sum over tokens).
#ifndef GRAFT_KERNEL_TABLE_H
#define GRAFT_KERNEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum graft_dtype { GRAFT_F32 = 0, GRAFT_BF16 = 1, GRAFT_F16 = 2, GRAFT_INT8 = 3, GRAFT_NF4 = 4 };

// How many elements a sum of `exponentials` is over.
enum { GRAFT_SUM_BLOCK = 512 };

// gelu is the exact one, x * Phi(x); silu is x / (1 + exp(-x)).
enum activation { GRAFT_RELU = 0, GRAFT_GELU = 1, GRAFT_SILU = 2, GRAFT_TANH = 3 };

// A row-major matrix in one of the storage types; f16 is for conversion only and no product takes it.
//
// int8: element i is code * scales[i / columns], one f32 scale a row. NF4: two codes a byte, the first in the upper half; element i is
// the code's level * absmax[i / 64], in blocks that run over the ends of rows. `scales` then holds absmax as f32; or, where there are
// nested scales, as bytes, absmax[b] = map[byte] * nested_scales[b / 256] + offset with bitsandbytes' signed 8-bit dynamic map.
// Every product and operation rounds once to f32.
struct matrix {
    const void *data;
    int32_t dtype;
    // Of int8 and NF4 only.
    const void *scales;
    const float *nested_scales;
    float offset;
    int64_t columns;
};

// A row-major array that a kernel writes, f32 or bf16: results are rounded to nearest even as they are stored.
struct array {
    void *data;
    int32_t dtype;
};

// One summand of a product: factor * op(a) op(b), with op(a) [m, k] and op(b) [k, n]. Stored as such, or transposed: a as [k, m],
// b as [n, k]. a is f32 or bf16.
struct product_term {
    struct matrix a, b;
    int64_t k;
    float factor;
    bool a_transposed, b_transposed;
};

// out [m, n] = addend + factor * a [m, k] b [n, k]^T. addend may be out, or NULL for none.
struct matvec_product {
    float *out;
    const float *a;
    struct matrix b;
    const float *addend;
    int64_t n, k;
    float factor;
};

// What the caching allocator holds. `system_allocations` counts the calls that reached the system since the start.
struct memory_statistics {
    size_t used_bytes;
    size_t cached_bytes;
    size_t peak_used_bytes;
    uint64_t system_allocations;
};

// Keys and values that are no rows of this batch: a learned prefix, or a cache. [count, K * D] each.
// The gradients are added to, and NULL where none is wanted. f32, but for attention_decode, which takes bf16 too.
struct outside_keys {
    const void *keys;
    const void *values;
    float *keys_gradient;
    float *values_gradient;
    int64_t count;
    int32_t dtype;
};

// A run of keys that a sequence reads in full before its own rows: rows [start, start + count) of this batch (outside = -1), or the
// same range of outside[i] (outside = i).
struct key_segment {
    int64_t start;
    int64_t count;
    int32_t outside;
};

// Rows [start, start + count) of the batch: row i reads its segments in order, then rows start ... i.
struct attention_sequence {
    int64_t start;
    int64_t count;
    int32_t first_segment;
    int32_t segment_count;
};

struct attention_layout {
    const struct attention_sequence *sequences;
    const struct key_segment *segments;
    const struct outside_keys *outside;
    int32_t sequence_count;
    int32_t segment_count;
    int32_t outside_count;
};

// Of each row i of logits: the log-probability of its target, and unless NULL the entropy -sum p log p, 1 or 0 whether the target is
// the (first) largest logit, the mean of the logits, and log sum p^2.
struct target_scores {
    float *logp;
    float *entropy;
    float *hits;
    float *mean_logits;
    float *log_sum_squares;
};

// What a kind of work took since times were asked for.
struct work_time {
    const char *work;
    int64_t nanoseconds, calls;
};

// One optimizer step's constants. AdamW as torch.optim.AdamW: decoupled decay, bias corrections 1 - beta^step.
struct adamw_constants {
    float learning_rate, beta1, beta2, epsilon, weight_decay, bias_correction1, bias_correction2, gradient_scale;
    // 1 - beta, rounded once: 1.0f - 0.999f is off by a hundred-thousandth.
    float beta1_rest, beta2_rest;
};

struct kernel_table {
    // The path chosen at run time, such as "avx2": checkpoints record it.
    const char *(*path)(void);
    // 0 asks for one thread a core. Takes effect for the next kernel.
    void (*set_threads)(int32_t count);
    int32_t (*threads)(void);
    // Begins, or ends, to keep the time that each kind of work takes; begins from nothing.
    void (*keep_work_times)(bool keep);
    // Writes what was kept, at most `capacity` kinds; returns how many.
    int32_t (*work_times)(struct work_time *out, int32_t capacity);

    // Memory: 64-byte aligned, from a cache of size classes. NULL where the system has none left.
    void *(*allocate)(size_t bytes);
    void (*release)(void *memory, size_t bytes);
    struct memory_statistics (*memory)(void);
    // Gives cached buffers back to the system and starts the peak anew.
    void (*trim)(void);

    // out[i] = in[i], from one storage type to another, rounding to nearest even.
    void (*convert)(void *out, int32_t out_dtype, const void *in, int32_t in_dtype, int64_t n);

    // Codes and scales of `struct matrix`. int8: scale = absmax / 127, codes rounded to even; NF4: n / 64 absmax, rounded up.
    void (*quantize_int8)(int8_t *codes, float *scales, const float *in, int64_t rows, int64_t columns);
    void (*quantize_nf4)(uint8_t *codes, float *absmax, const float *in, int64_t n);
    // Double quantisation of n absmax: bytes and n / 256 nested scales, rounded up. Returns the offset, their mean.
    float (*quantize_scales)(uint8_t *codes, float *nested_scales, const float *absmax, int64_t n);
    // out[i] = element first + i of an int8 or NF4 matrix, for n elements.
    void (*unpack)(float *out, struct matrix x, int64_t first, int64_t n);

    // Elementwise over n. `out` may be an input.
    void (*fill)(float *out, float value, int64_t n);
    void (*add)(float *out, const float *a, const float *b, int64_t n);
    void (*multiply)(float *out, const float *a, const float *b, int64_t n);
    void (*scale)(float *out, const float *a, float factor, int64_t n);
    // out += factor * a
    void (*add_scaled)(float *out, const float *a, float factor, int64_t n);

    // Sums over n in f64, in an order that depends on n only.
    double (*sum)(const float *a, int64_t n);
    double (*sum_of_squares)(const float *a, int64_t n);

    // out [m, n] = addend + the sum of the terms, in order; addend [m, n] is NULL for none, or out itself. With `bf16`, factors of
    // products may be rounded to bf16 on the way in, which a processor's units for bf16 need; sums are always f32.
    void (*matmul)(struct array out, const float *addend, const struct product_term *terms, int32_t count, int64_t m, int64_t n,
                   bool bf16);
    // Products for the few rows of a decoding step, side by side: reads each weight once. Their sums run in another order than those
    // of matmul, but a row's result depends on that row only here too. No product reads what another one writes.
    void (*matvec_nt)(const struct matvec_product *products, int32_t count, int64_t m);

    // out [R, C] = x[rows[i]]: embedding lookup, and selection of rows.
    void (*gather_rows)(struct array out, struct matrix x, const int32_t *rows, int64_t R, int64_t C);
    // out[rows[i]] += in[i], for each output row in rising i.
    void (*scatter_add_rows)(float *out, const float *in, const int32_t *rows, int64_t R, int64_t C);
    // out [T, C] += bias [C]
    void (*add_bias)(struct array out, const float *bias, int64_t T, int64_t C);
    // out [C] += sum over t of in [T, C]
    void (*sum_rows)(float *out, struct matrix in, int64_t T, int64_t C);
    // out [T, C] = x * scale [C] + bias [C] + addend [T, C]; bias and addend are NULL for none. out may be x or addend.
    void (*scale_columns)(struct array out, struct matrix x, const float *scale, const float *bias, const float *addend, int64_t T,
                          int64_t C);
    // out [C] += sum over t of a * b, both [T, C]: the gradient of `scale`.
    void (*sum_products)(float *out, struct matrix a, struct matrix b, int64_t T, int64_t C);

    // y = x * rstd * weight, rstd [T] = 1 / sqrt(mean(x^2) + eps)
    void (*rms_norm_forward)(struct array out, float *rstd, const float *x, const float *weight, int64_t T, int64_t C,
                             float eps);
    // dx overwritten; dweight [C] added to, NULL where not wanted.
    void (*rms_norm_backward)(float *dx, float *dweight, struct matrix dout, const float *x, const float *weight,
                              const float *rstd, int64_t T, int64_t C);

    // Rotates the pairs (i, i + rotary_dim / 2) of each head of x [T, H, D] by the angles whose cosines and sines are
    // [T, rotary_dim / 2]; channels past rotary_dim are copied. `inverse` rotates back (the gradient). out may be x.
    void (*rotary)(struct array out, struct matrix x, const float *cosines, const float *sines, int64_t T, int64_t H, int64_t D,
                   int64_t rotary_dim, bool inverse);

    // out = silu(gate) * up, silu(g) = g / (1 + exp(-g)); all of one type.
    void (*silu_multiply_forward)(struct array out, struct matrix gate, struct matrix up, int64_t n);
    void (*silu_multiply_backward)(struct array dgate, struct array dup, struct matrix dout, struct matrix gate,
                                   struct matrix up, int64_t n);

    // out = f(x) and dx = dout * f'(x), f being the activation; out may be x, dx may be dout.
    void (*activation_forward)(float *out, const float *x, enum activation kind, int64_t n);
    void (*activation_backward)(float *dx, const float *dout, const float *x, enum activation kind, int64_t n);

    // out [T, H, D], lse [T, H] (log of the sum of exponentials, for backward), q [T, H, D], k and v [T, K, D]; scores are
    // scale * q k^T; query head h reads key head h / (H / K). Rows that no sequence covers come out as zeros. out, q, k and v are
    // of one type.
    void (*attention_forward)(struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                              const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);
    // dq, dk, dv overwritten; gradients of outside keys added to. All but lse are of one type.
    void (*attention_backward)(struct array dq, struct array dk, struct array dv, struct matrix dout, struct matrix out,
                               const float *lse, struct matrix q, struct matrix k, struct matrix v,
                               const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);

    // attention_forward without lse for a step of decoding: the T sequences have one row each, row t being sequence t.
    void (*attention_decode)(float *out, const float *q, const float *k, const float *v, const struct attention_layout *layout,
                             int64_t T, int64_t H, int64_t K, int64_t D, float scale);

    // The first index of the largest of n numbers, NaN passed over; -1 where there is nothing else.
    int64_t (*largest)(const float *x, int64_t n);
    // out[i] = exp((x[i] - maximum) * factor); sums [n / GRAFT_SUM_BLOCK, rounded up]: of the blocks of out.
    void (*exponentials)(float *out, double *sums, const float *x, float maximum, float factor, int64_t n);

    // What the head says of the target of each row of logits [R, V]. Where coefficients are given, logits[i] becomes the gradient
    // of coefficients[i] * logp[i] + entropy_coefficients[i] * entropy[i], the latter 0 where NULL:
    // coefficients[i] * (onehot(target) - p) - entropy_coefficients[i] * p * (log p + entropy[i]). Without coefficients, logits stay.
    void (*cross_entropy)(struct target_scores scores, float *logits, const int32_t *targets, const float *coefficients,
                          const float *entropy_coefficients, int64_t R, int64_t V);

    // Inverted dropout: element c of row t is kept with probability 1 - p and then divided by it. Kept or not depends on the key,
    // row_keys[t], positions[t] and c only (Philox 4x32-10: counter = (c / 4, position, row key low, row key high)). out may be x.
    void (*dropout)(struct array out, struct matrix x, const int64_t *row_keys, const int32_t *positions, float p, uint64_t key,
                    int64_t T, int64_t C);

    // w, m, v updated in place from gradient g.
    void (*adamw_step)(float *w, float *m, float *v, const float *g, int64_t n, struct adamw_constants constants);
    // w -= learning_rate * (momentum buffer or gradient, with decay added as torch.optim.SGD does); momentum buffer NULL where 0.
    void (*sgd_step)(float *w, float *momentum_buffer, const float *g, int64_t n, float learning_rate, float momentum,
                     float weight_decay, float gradient_scale, bool first_step);
};

// The table of the processor this runs on. Never NULL.
const struct kernel_table *graft_kernel_table(void);

// The same entries as plain single-threaded loops that accumulate in double precision: what the tests hold every table against.
const struct kernel_table *graft_reference_table(void);

// matmul with `bf16` on one unit for bf16, whichever is chosen for the process: "amx", "avx512bf16", or the plain twins of their
// loops, "tiles" and "pairs", which run anywhere. False where the process does not have the unit.
//
// Operands in f32 are rounded to bf16 on the way in. Where the terms' factors differ, each is applied to its b before that is
// rounded; else it is applied to the sum. An element is one chain over the terms in order and rising k, in f32 and without
// denormals: 32 products at a time with tiles, 2 with pairs.
bool graft_matmul_on(const char *unit, struct array out, const float *addend, const struct product_term *terms, int32_t count,
                     int64_t m, int64_t n);

// attention_forward and attention_backward of arrays in bf16 on "amx", or on "tiles", the plain twin of its loops. False where the
// process does not have the unit, and for units that attention does not run on.
//
// Probabilities and the gradients of scores are rounded to bf16 on the way into a product, and so are outside keys; everything else
// is f32.
bool graft_attention_forward_on(const char *unit, struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                                const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);
bool graft_attention_backward_on(const char *unit, struct array dq, struct array dk, struct array dv, struct matrix dout,
                                 struct matrix out, const float *lse, struct matrix q, struct matrix k, struct matrix v,
                                 const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);

// Four words of Philox 4x32-10 for one counter and key.
void graft_philox(uint32_t out[4], const uint32_t counter[4], uint64_t key);

#endif
