// Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011): a counter-based generator.
#ifndef GRAFT_PHILOX_H
#define GRAFT_PHILOX_H

#include <stdint.h>

enum { PHILOX_ROUNDS = 10 };
static const uint32_t philox_multiplier0 = 0xD2511F53u, philox_multiplier1 = 0xCD9E8D57u;
static const uint32_t philox_step0 = 0x9E3779B9u, philox_step1 = 0xBB67AE85u;

// One round on (c0, c1, c2, c3) with the keys (k0, k1); words may be arrays' elements.
#define PHILOX_ROUND(c0, c1, c2, c3, k0, k1)                                                                           \
    do {                                                                                                               \
        uint64_t product0 = (uint64_t)philox_multiplier0 * (c0), product1 = (uint64_t)philox_multiplier1 * (c2);       \
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ (c1) ^ (k0), next2 = (uint32_t)(product0 >> 32) ^ (c3) ^ (k1);   \
        (c0) = next0, (c1) = (uint32_t)product1, (c2) = next2, (c3) = (uint32_t)product0;                              \
    } while (0)

// Kept with probability 1 - p: the elements whose word is not below this.
static inline uint64_t dropout_threshold(float p) { return (uint64_t)((double)p * 4294967296.0); }

#endif
