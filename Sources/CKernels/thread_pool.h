// One pool of threads for all kernels. Work is a fixed list of tasks with disjoint outputs; any thread may take any task, so
// nothing that a task computes may depend on which thread runs it.
#ifndef GRAFT_THREAD_POOL_H
#define GRAFT_THREAD_POOL_H

#include <stddef.h>
#include <stdint.h>

typedef void (*task_function)(void *context, int64_t task);

// Runs function(context, 0 ..< count) and returns when all have run. One job runs at a time: a second caller, or a call from
// within a task, runs its tasks itself. `work`, a string literal, is what the time is booked under (work_times.h).
void pool_run(const char *work, int64_t count, task_function function, void *context);

// 0 asks for one thread a core that this process may use.
void pool_set_threads(int32_t count);
int32_t pool_threads(void);

// A 64-byte aligned buffer of the calling thread, kept between calls. A task asks for it once and divides it up: the next call
// on the same thread may move it.
void *pool_scratch(size_t bytes);

// How many rows of `width` elements make a task worth handing out; depends on the width only.
static inline int64_t rows_per_task(int64_t width) {
    int64_t rows = 16384 / (width > 0 ? width : 1);
    return rows < 1 ? 1 : rows;
}

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
