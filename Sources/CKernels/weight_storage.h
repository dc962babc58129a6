// Matrices that hold codes of a few bits with scales beside them (kernel_table.h, `struct matrix`): what the codes mean, and how a
// run of them becomes f32. Every product and lookup reads them through here.
#ifndef GRAFT_WEIGHT_STORAGE_H
#define GRAFT_WEIGHT_STORAGE_H

#include "kernel_table.h"

enum {
    NF4_BLOCK = 64,     // elements with one absmax
    NESTED_BLOCK = 256, // absmax with one nested scale
    UNPACKED = 256      // elements that a kernel unpacks at a time: rows of a tile then stay in the first-level cache
};

// The 16 numbers that NF4 codes stand for, in rising order (Dettmers et al. 2023, appendix E).
static const float nf4_levels[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

// The 256 numbers that an 8-bit code of an absmax stands for, in rising order: bitsandbytes' signed dynamic map.
const float *dynamic_map(void);

static inline bool is_quantized(struct matrix x) { return x.dtype == GRAFT_INT8 || x.dtype == GRAFT_NF4; }

// out[i] = element at + i of a quantised matrix, for `count` elements; inside a task, on the calling thread.
void unpack_run(float *out, struct matrix x, int64_t at, int64_t count);

#endif
