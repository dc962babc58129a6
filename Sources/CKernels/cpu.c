// The choice of the instruction set, once per process.
#include "cpu.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t chosen = PTHREAD_ONCE_INIT;
static enum cpu_level level = CPU_PLAIN;
static char path[128];

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
    // Products run inside the tasks of our own pool, each on one thread.
    openblas_set_num_threads(1);
    snprintf(path, sizeof path, "%s, OpenBLAS %s", level_names[level], openblas_get_corename());
}

enum cpu_level cpu_level(void) {
    pthread_once(&chosen, choose);
    return level;
}

const char *cpu_path(void) {
    pthread_once(&chosen, choose);
    return path;
}
