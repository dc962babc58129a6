// The reference table, its products and its arithmetic.
#include "reference.h"

#include "allocator.h"

#include <math.h>
#include <string.h>

static const char *path(void) { return "reference"; }
static void set_threads(int32_t count) { (void)count; }
static int32_t threads(void) { return 1; }
static void keep_work_times(bool keep) { (void)keep; }
static int32_t work_times(struct work_time *out, int32_t capacity) {
    (void)out, (void)capacity;
    return 0;
}

double reference_element(struct matrix x, int64_t i) {
    if (x.dtype == GRAFT_F32) return ((const float *)x.data)[i];
    if (x.dtype == GRAFT_INT8 || x.dtype == GRAFT_NF4) return reference_quantized_element(x, i);
    uint16_t bits = ((const uint16_t *)x.data)[i];
    int exponent_bits = x.dtype == GRAFT_BF16 ? 8 : 5, fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1), fraction = bits & ((1 << fraction_bits) - 1);
    double sign = bits & 0x8000 ? -1 : 1, one = ldexp(1, fraction_bits);
    if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction / one, 1 - bias);
    return sign * ldexp(1 + fraction / one, exponent - bias);
}

// The bits of the nearest 16-bit number, ties to even: nearbyint does the rounding on the number's own grid.
static uint16_t half_bits(double x, int32_t dtype) {
    int exponent_bits = dtype == GRAFT_BF16 ? 8 : 5, fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    uint16_t sign = signbit(x) ? 0x8000 : 0, infinity = (uint16_t)(((1 << exponent_bits) - 1) << fraction_bits);
    if (isnan(x)) return sign | infinity | (uint16_t)(1 << (fraction_bits - 1));
    if (x == 0) return sign;
    if (isinf(x)) return sign | infinity;
    int exponent;
    frexp(x, &exponent); // |x| in [2^(exponent - 1), 2^exponent)
    int lowest = 1 - bias, place = (exponent - 1 < lowest ? lowest : exponent - 1) - fraction_bits;
    double steps = nearbyint(ldexp(fabs(x), -place));
    // As integers, the bit patterns count the grid's points: a carry moves into the exponent by itself.
    int64_t bits = (int64_t)steps + ((int64_t)(place + fraction_bits - lowest) << fraction_bits);
    return sign | (uint16_t)(bits > infinity ? infinity : bits);
}

void reference_convert(void *out, int32_t out_dtype, const void *in, int32_t in_dtype, int64_t n) {
    struct matrix x = {in, in_dtype};
    for (int64_t i = 0; i < n; i++) {
        double value = reference_element(x, i);
        if (out_dtype == GRAFT_F32)
            ((float *)out)[i] = (float)value;
        else
            ((uint16_t *)out)[i] = half_bits(value, out_dtype);
    }
}

void reference_fill(float *out, float value, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = value;
}

void reference_add(float *out, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

void reference_multiply(float *out, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

void reference_scale(float *out, const float *a, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * factor;
}

void reference_add_scaled(float *out, const float *a, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)((double)out[i] + (double)factor * a[i]);
}

double reference_sum(const float *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i];
    return sum;
}

double reference_sum_of_squares(const float *a, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * a[i];
    return sum;
}

void reference_store(struct array x, int64_t i, double value) {
    if (x.dtype == GRAFT_F32)
        ((float *)x.data)[i] = (float)value;
    else
        ((uint16_t *)x.data)[i] = half_bits(value, x.dtype);
}

// The products are of the numbers as they are stored: `bf16` allows other roundings, and asks for none.
void reference_matmul(struct array out, const float *addend, const struct product_term *terms, int32_t count, int64_t m,
                      int64_t n, bool bf16) {
    (void)bf16;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = addend ? addend[i * n + j] : 0;
            for (int32_t t = 0; t < count; t++) {
                const struct product_term *term = &terms[t];
                double products = 0;
                for (int64_t l = 0; l < term->k; l++)
                    products += reference_element(term->a, term->a_transposed ? l * m + i : i * term->k + l) *
                                reference_element(term->b, term->b_transposed ? j * term->k + l : l * n + j);
                sum += term->factor * products;
            }
            reference_store(out, i * n + j, sum);
        }
    }
}

void reference_matvec_nt(const struct matvec_product *products, int32_t count, int64_t m) {
    for (const struct matvec_product *p = products; p < products + count; p++) {
        struct product_term term = {{.data = p->a, .dtype = GRAFT_F32}, p->b, p->k, p->factor, false, true};
        reference_matmul((struct array){p->out, GRAFT_F32}, p->addend, &term, 1, m, p->n, false);
    }
}

void reference_gather_rows(struct array out, struct matrix x, const int32_t *rows, int64_t R, int64_t C) {
    for (int64_t i = 0; i < R; i++)
        for (int64_t c = 0; c < C; c++) reference_store(out, i * C + c, reference_element(x, rows[i] * C + c));
}

void reference_scatter_add_rows(float *out, const float *in, const int32_t *rows, int64_t R, int64_t C) {
    for (int64_t i = 0; i < R; i++)
        for (int64_t c = 0; c < C; c++) out[rows[i] * C + c] += in[i * C + c];
}

void reference_add_bias(struct array out, const float *bias, int64_t T, int64_t C) {
    struct matrix sums = {out.data, out.dtype};
    for (int64_t i = 0; i < T * C; i++) reference_store(out, i, reference_element(sums, i) + bias[i % C]);
}

void reference_sum_rows(float *out, struct matrix in, int64_t T, int64_t C) {
    for (int64_t c = 0; c < C; c++) {
        double sum = out[c];
        for (int64_t t = 0; t < T; t++) sum += reference_element(in, t * C + c);
        out[c] = (float)sum;
    }
}

void reference_scale_columns(struct array out, struct matrix x, const float *scale, const float *bias, const float *addend,
                             int64_t T, int64_t C) {
    for (int64_t i = 0; i < T * C; i++) {
        double sum = reference_element(x, i) * scale[i % C] + (bias ? bias[i % C] : 0) + (addend ? addend[i] : 0);
        reference_store(out, i, sum);
    }
}

void reference_sum_products(float *out, struct matrix a, struct matrix b, int64_t T, int64_t C) {
    for (int64_t c = 0; c < C; c++) {
        double sum = out[c];
        for (int64_t t = 0; t < T; t++) sum += reference_element(a, t * C + c) * reference_element(b, t * C + c);
        out[c] = (float)sum;
    }
}

static const struct kernel_table table = {
    .path = path,
    .set_threads = set_threads,
    .threads = threads,
    .keep_work_times = keep_work_times,
    .work_times = work_times,
    .allocate = graft_allocate,
    .release = graft_release,
    .memory = graft_memory,
    .trim = graft_trim,
    .convert = reference_convert,
    .quantize_int8 = reference_quantize_int8,
    .quantize_nf4 = reference_quantize_nf4,
    .quantize_scales = reference_quantize_scales,
    .unpack = reference_unpack,
    .fill = reference_fill,
    .add = reference_add,
    .multiply = reference_multiply,
    .scale = reference_scale,
    .add_scaled = reference_add_scaled,
    .sum = reference_sum,
    .sum_of_squares = reference_sum_of_squares,
    .matmul = reference_matmul,
    .matvec_nt = reference_matvec_nt,
    .gather_rows = reference_gather_rows,
    .scatter_add_rows = reference_scatter_add_rows,
    .add_bias = reference_add_bias,
    .sum_rows = reference_sum_rows,
    .scale_columns = reference_scale_columns,
    .sum_products = reference_sum_products,
    .rms_norm_forward = reference_rms_norm_forward,
    .rms_norm_backward = reference_rms_norm_backward,
    .rotary = reference_rotary,
    .silu_multiply_forward = reference_silu_multiply_forward,
    .silu_multiply_backward = reference_silu_multiply_backward,
    .activation_forward = reference_activation_forward,
    .activation_backward = reference_activation_backward,
    .attention_forward = reference_attention_forward,
    .attention_backward = reference_attention_backward,
    .attention_decode = reference_attention_decode,
    .largest = reference_largest,
    .exponentials = reference_exponentials,
    .cross_entropy = reference_cross_entropy,
    .dropout = reference_dropout,
    .adamw_step = reference_adamw_step,
    .sgd_step = reference_sgd_step,
};

const struct kernel_table *graft_reference_table(void) { return &table; }
