// The choice of the instruction set, once per process.
#define _GNU_SOURCE
#include "cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static pthread_once_t chosen = PTHREAD_ONCE_INIT;
static enum cpu_level level = CPU_PLAIN;
static enum matrix_unit best_unit = NO_MATRIX_UNIT, unit = NO_MATRIX_UNIT;

static const char *const level_names[] = {"plain", "avx2", "avx512"};
static const char *const unit_names[] = {"", "pairs", "tiles", "avx512bf16", "amx"};

static enum cpu_level best_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CPU_PLAIN;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return CPU_AVX512;
    return CPU_AVX2;
#else
    return CPU_PLAIN;
#endif
}

#if defined(__x86_64__)
// Tiles have to be asked for: a process that uses them has 8 KB more state for each thread. The permission holds for all threads
// of the process. Refused by kernels before 5.16, and where a thread's signal stack is too small for that state.
static bool allows_tiles(void) {
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

__attribute__((target("xsave"))) static bool saves_tile_state(void) {
    enum { OSXSAVE = 1 << 27, TILE_STATES = 1 << 17 | 1 << 18 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return false;
    return (__builtin_ia32_xgetbv(0) & TILE_STATES) == TILE_STATES;
}

static enum matrix_unit best_matrix_unit(void) {
    enum { AVX512_BF16 = 1 << 5, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned most, a, b, c, d;
    if (best_level() != CPU_AVX512 || !__get_cpuid_count(7, 0, &most, &b, &c, &d) || most < 1) return NO_MATRIX_UNIT;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &b) || !(a & AVX512_BF16)) return NO_MATRIX_UNIT;
    return (d & AMX_BF16) && (d & AMX_TILE) && saves_tile_state() && allows_tiles() ? TILES : PAIRS;
}
#else
static enum matrix_unit best_matrix_unit(void) { return NO_MATRIX_UNIT; }
#endif

static enum matrix_unit unit_named(const char *name) {
    for (int i = PAIRS_TWIN; i <= TILES; i++)
        if (strcmp(name, unit_names[i]) == 0 && (i <= TILES_TWIN || i <= (int)best_unit)) return (enum matrix_unit)i;
    return NO_MATRIX_UNIT;
}

static void choose(void) {
    enum cpu_level best = best_level();
    level = best;
    unit = best_unit = best_matrix_unit();
    const char *wanted = getenv("GRAFT_CPU");
    if (!wanted) return;
    for (int i = CPU_PLAIN; i <= (int)best; i++)
        if (strcmp(wanted, level_names[i]) == 0) level = (enum cpu_level)i, unit = NO_MATRIX_UNIT;
    enum matrix_unit named = unit_named(wanted);
    if (named != NO_MATRIX_UNIT) unit = named;
}

enum cpu_level cpu_level(void) {
    pthread_once(&chosen, choose);
    return level;
}

enum matrix_unit matrix_unit(void) {
    pthread_once(&chosen, choose);
    return unit;
}

enum matrix_unit matrix_unit_named(const char *name) {
    pthread_once(&chosen, choose);
    return unit_named(name);
}

const char *cpu_path(void) { return matrix_unit() != NO_MATRIX_UNIT ? unit_names[unit] : level_names[cpu_level()]; }
