// Products of bf16 numbers on the processor's matrix units, with sums in f32.
#ifndef GRAFT_BF16_PRODUCT_H
#define GRAFT_BF16_PRODUCT_H

#include "kernel_table.h"

// A row-major array that a kernel writes, f32 or bf16: results are rounded to nearest even as they are stored.
struct array {
    void *data;
    int32_t dtype;
};

// One summand of a product: factor * op(a) op(b), with op(a) [m, k] and op(b) [k, n]. Stored as such, or transposed: a as [k, m],
// b as [n, k]. Both are f32 or bf16.
struct product_term {
    struct matrix a, b;
    int64_t k;
    float factor;
    bool a_transposed, b_transposed;
};

// out [m, n] = addend + the sum of the terms; addend [m, n] is NULL for none, or out itself. Operands in f32 are rounded to bf16 on
// the way in. Where the terms' factors differ, each is applied to its b before that is rounded; else it is applied to the sum.
//
// An element is one chain over the terms in order and rising k, in f32 and without denormals: 32 products at a time with tiles, 2
// with pairs.
void bf16_product(struct array out, const float *addend, const struct product_term *terms, int32_t count, int64_t m, int64_t n);

// The same on one unit (enum matrix_unit, cpu.h), whichever is chosen for the process. False where it does not have that unit.
bool bf16_product_on(int32_t unit, struct array out, const float *addend, const struct product_term *terms, int32_t count,
                     int64_t m, int64_t n);

#endif
