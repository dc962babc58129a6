// Attention on a unit for bf16: attention_strips.h has the plan.
#ifndef GRAFT_ATTENTION_BF16_H
#define GRAFT_ATTENTION_BF16_H

#include "cpu.h"
#include "kernel_table.h"

// As the entries of the table; q, k, v and what has their shape in bf16. True where the unit is one that attention runs on.
bool bf16_attention_forward(enum matrix_unit unit, struct array out, float *lse, struct matrix q, struct matrix k, struct matrix v,
                            const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);
bool bf16_attention_backward(enum matrix_unit unit, struct array dq, struct array dk, struct array dv, struct matrix dout,
                             struct matrix out, const float *lse, struct matrix q, struct matrix k, struct matrix v,
                             const struct attention_layout *layout, int64_t T, int64_t H, int64_t K, int64_t D, float scale);

#endif
