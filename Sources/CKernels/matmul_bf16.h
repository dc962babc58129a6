// Products on a unit for bf16.
#ifndef GRAFT_MATMUL_BF16_H
#define GRAFT_MATMUL_BF16_H

#include "cpu.h"
#include "kernel_table.h"

// As matmul with `bf16`; see graft_matmul_on. The unit is one that this process has.
void bf16_product(enum matrix_unit unit, struct array out, const float *addend, const struct product_term *terms, int32_t count,
                  int64_t m, int64_t n);

#endif
