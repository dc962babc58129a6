// The entries of the reference table: plain loops on one thread that accumulate in double precision and round once.
#ifndef GRAFT_REFERENCE_H
#define GRAFT_REFERENCE_H

#include "kernel_table.h"

#define REFERENCE(name) __typeof__(*((struct kernel_table *)0)->name) reference_##name

// reference.c
REFERENCE(convert);
REFERENCE(fill);
REFERENCE(add);
REFERENCE(multiply);
REFERENCE(scale);
REFERENCE(add_scaled);
REFERENCE(sum);
REFERENCE(sum_of_squares);
REFERENCE(matmul);
REFERENCE(matvec_nt);
REFERENCE(gather_rows);
REFERENCE(scatter_add_rows);
REFERENCE(add_bias);
REFERENCE(sum_rows);
REFERENCE(scale_columns);
REFERENCE(sum_products);
// reference_layers.c
REFERENCE(rms_norm_forward);
REFERENCE(rms_norm_backward);
REFERENCE(rotary);
REFERENCE(silu_multiply_forward);
REFERENCE(silu_multiply_backward);
REFERENCE(activation_forward);
REFERENCE(activation_backward);
REFERENCE(cross_entropy);
REFERENCE(dropout);
REFERENCE(adamw_step);
REFERENCE(sgd_step);
// reference_quantize.c
REFERENCE(quantize_int8);
REFERENCE(quantize_nf4);
REFERENCE(quantize_scales);
REFERENCE(unpack);
// reference_attention.c
REFERENCE(attention_forward);
REFERENCE(attention_backward);
// reference_decoding.c
REFERENCE(attention_decode);
REFERENCE(largest);
REFERENCE(exponentials);

// One element of a matrix in any storage type, read bit by bit from its definition.
double reference_element(struct matrix x, int64_t i);
// The same for int8 and NF4.
double reference_quantized_element(struct matrix x, int64_t i);
// Rounds to the type of the array.
void reference_store(struct array x, int64_t i, double value);

#endif
