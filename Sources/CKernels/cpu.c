// The choice of the instruction set, once per process.
#include "cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t chosen = PTHREAD_ONCE_INIT;
static enum cpu_level level = CPU_PLAIN;

static const char *const level_names[] = {"plain", "avx2", "avx512"};

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

static void choose(void) {
    enum cpu_level best = best_level();
    level = best;
    const char *wanted = getenv("GRAFT_CPU");
    for (int i = CPU_PLAIN; wanted && i < (int)best; i++)
        if (strcmp(wanted, level_names[i]) == 0) level = (enum cpu_level)i;
}

enum cpu_level cpu_level(void) {
    pthread_once(&chosen, choose);
    return level;
}

const char *cpu_path(void) { return level_names[cpu_level()]; }
