// The entries of the table for this processor, one file a family; kernel_table.h says what each does.
#ifndef GRAFT_KERNELS_H
#define GRAFT_KERNELS_H

#include "kernel_table.h"

#define ENTRY(name) __typeof__(*((struct kernel_table *)0)->name) graft_##name

// work_times.c
ENTRY(keep_work_times);
ENTRY(work_times);
// convert.c
ENTRY(convert);
// quantize.c, weight_storage.c
ENTRY(quantize_int8);
ENTRY(quantize_nf4);
ENTRY(quantize_scales);
ENTRY(unpack);
// elementwise.c
ENTRY(fill);
ENTRY(add);
ENTRY(multiply);
ENTRY(scale);
ENTRY(add_scaled);
ENTRY(sum);
ENTRY(sum_of_squares);
// matmul.c
ENTRY(matmul);
// matvec.c
ENTRY(matvec_nt);
// rows.c
ENTRY(gather_rows);
ENTRY(scatter_add_rows);
ENTRY(add_bias);
ENTRY(sum_rows);
// scale_columns.c
ENTRY(scale_columns);
ENTRY(sum_products);
// rms_norm.c, rotary.c, silu_multiply.c
ENTRY(rms_norm_forward);
ENTRY(rms_norm_backward);
ENTRY(rotary);
ENTRY(silu_multiply_forward);
ENTRY(silu_multiply_backward);
// activation.c
ENTRY(activation_forward);
ENTRY(activation_backward);
// attention.c, attention_backward.c
ENTRY(attention_forward);
ENTRY(attention_backward);
// attention_decode.c, sampling.c
ENTRY(attention_decode);
ENTRY(largest);
ENTRY(exponentials);
// cross_entropy.c, dropout.c
ENTRY(cross_entropy);
ENTRY(dropout);
// optimizers.c
ENTRY(adamw_step);
ENTRY(sgd_step);

#endif
