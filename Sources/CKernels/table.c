// The table of this processor.
#include "allocator.h"
#include "cpu.h"
#include "kernels.h"
#include "thread_pool.h"

static const struct kernel_table table = {
    .path = cpu_path,
    .set_threads = pool_set_threads,
    .threads = pool_threads,
    .keep_work_times = graft_keep_work_times,
    .work_times = graft_work_times,
    .allocate = graft_allocate,
    .release = graft_release,
    .memory = graft_memory,
    .trim = graft_trim,
    .convert = graft_convert,
    .quantize_int8 = graft_quantize_int8,
    .quantize_nf4 = graft_quantize_nf4,
    .quantize_scales = graft_quantize_scales,
    .unpack = graft_unpack,
    .fill = graft_fill,
    .add = graft_add,
    .multiply = graft_multiply,
    .scale = graft_scale,
    .add_scaled = graft_add_scaled,
    .sum = graft_sum,
    .sum_of_squares = graft_sum_of_squares,
    .matmul = graft_matmul,
    .matvec_nt = graft_matvec_nt,
    .gather_rows = graft_gather_rows,
    .scatter_add_rows = graft_scatter_add_rows,
    .add_bias = graft_add_bias,
    .sum_rows = graft_sum_rows,
    .scale_columns = graft_scale_columns,
    .sum_products = graft_sum_products,
    .rms_norm_forward = graft_rms_norm_forward,
    .rms_norm_backward = graft_rms_norm_backward,
    .rotary = graft_rotary,
    .silu_multiply_forward = graft_silu_multiply_forward,
    .silu_multiply_backward = graft_silu_multiply_backward,
    .attention_forward = graft_attention_forward,
    .attention_backward = graft_attention_backward,
    .attention_decode = graft_attention_decode,
    .largest = graft_largest,
    .exponentials = graft_exponentials,
    .cross_entropy = graft_cross_entropy,
    .dropout = graft_dropout,
    .adamw_step = graft_adamw_step,
    .sgd_step = graft_sgd_step,
};

const struct kernel_table *graft_kernel_table(void) { return &table; }
