// Which instruction set this process uses, and how one body of code is compiled for each of them.
#ifndef GRAFT_CPU_H
#define GRAFT_CPU_H

enum cpu_level { CPU_PLAIN, CPU_AVX2, CPU_AVX512 };

// The best level that the processor has, or a lower one where the environment variable GRAFT_CPU names it (plain, avx2, avx512).
// Chosen once.
enum cpu_level cpu_level(void);

// What multiplies bf16 on top of the level: AVX512-BF16's dot products of pairs, or AMX's tiles. A twin is the same loops over plain
// C in place of those instructions, for tests: never chosen unless GRAFT_CPU names it.
enum matrix_unit { NO_MATRIX_UNIT, PAIRS_TWIN, TILES_TWIN, PAIRS, TILES };

// The best unit that the processor has and the system allows, none where GRAFT_CPU names a level, or the one that it names
// (avx512bf16, amx; pairs, tiles for the twins). Chosen once, with the level.
enum matrix_unit matrix_unit(void);

// The unit of that name, none where this process cannot run it.
enum matrix_unit matrix_unit_named(const char *name);

// The unit's name, or else the level's.
const char *cpu_path(void);

// A body that is compiled into its callers, with their instruction set. Bodies take and return no vectors by value: how those
// are passed differs between instruction sets.
#define BODY static inline __attribute__((always_inline))

// From `name_body(parameters)`, a BODY, makes `name(parameters)`, which runs the body compiled for the level in use. The body
// is written once, with vectors of 16 floats (vector_math.h): four registers of SSE or NEON, two of AVX2 or one of AVX-512.
#define VARIANTS(name, parameters, arguments) VARIANTS_WITH(name, parameters, arguments, arguments)

// The same for a body whose last parameter is the level that its copy is compiled for, a constant.
#define VARIANTS_BY_LEVEL(name, parameters, ...) VARIANTS_WITH(name, parameters, (__VA_ARGS__), (__VA_ARGS__, LEVEL))

#if defined(__x86_64__)
#define VARIANTS_WITH(name, parameters, arguments, body_arguments)                                                     \
    VARIANT(name##_plain, name##_body, CPU_PLAIN, , parameters, body_arguments)                                        \
    VARIANT(name##_avx2, name##_body, CPU_AVX2, __attribute__((target("avx2,fma"))), parameters, body_arguments)       \
    VARIANT(name##_avx512, name##_body, CPU_AVX512,                                                                    \
            __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), parameters, body_arguments)        \
    static void name parameters {                                                                                      \
        switch (cpu_level()) {                                                                                         \
        case CPU_AVX512: name##_avx512 arguments; break;                                                               \
        case CPU_AVX2: name##_avx2 arguments; break;                                                                   \
        default: name##_plain arguments;                                                                               \
        }                                                                                                              \
    }
#else
#define VARIANTS_WITH(name, parameters, arguments, body_arguments)                                                     \
    VARIANT(name, name##_body, CPU_PLAIN, , parameters, body_arguments)
#endif

#define VARIANT(name, body, level, attribute, parameters, body_arguments)                                              \
    attribute static void name parameters {                                                                            \
        const enum cpu_level LEVEL = level;                                                                            \
        (void)LEVEL;                                                                                                   \
        body body_arguments;                                                                                           \
    }

#endif
