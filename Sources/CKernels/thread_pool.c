// Threads wait for a job by spinning for at most 50 microseconds, then they sleep. The caller works too.
//
// `ticket` holds the job's number in its high half and the next task in its low half. A task is taken by compare-and-swap on the
// whole word, so a thread that wakes late can never take a task of one job with the description of another: the caller does not
// return, and the description does not change, before every task that was taken has been counted in `finished`.
#define _GNU_SOURCE
#include "thread_pool.h"

#include "work_times.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAXIMUM_THREADS = 256, SPIN_NANOSECONDS = 50000 };

static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;   // held by the caller whose job runs
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER; // guards the two conditions
static pthread_cond_t job_arrived = PTHREAD_COND_INITIALIZER;
static pthread_cond_t job_finished = PTHREAD_COND_INITIALIZER;

static _Atomic(uint64_t) ticket;
static _Atomic(int64_t) task_count;
static _Atomic(task_function) job_function;
static _Atomic(void *) job_context;
static _Atomic(int64_t) finished;
static _Atomic(int32_t) sleepers;
static _Atomic(bool) caller_sleeps;
static _Atomic(int32_t) wanted_threads; // 0 until asked for
static int32_t started_workers;         // changed under job_lock

static _Thread_local bool in_task;

static uint32_t job_of(uint64_t value) { return (uint32_t)(value >> 32); }

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int32_t core_count(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

static int32_t within_limits(int32_t count) {
    if (count <= 0) count = core_count();
    return count > MAXIMUM_THREADS ? MAXIMUM_THREADS : count;
}

void pool_set_threads(int32_t count) { atomic_store(&wanted_threads, within_limits(count)); }

int32_t pool_threads(void) {
    int32_t count = atomic_load(&wanted_threads);
    if (count > 0) return count;
    int32_t none = 0;
    atomic_compare_exchange_strong(&wanted_threads, &none, within_limits(0));
    return atomic_load(&wanted_threads);
}

// Takes and runs tasks of the job until none is left.
static void work(uint32_t job) {
    in_task = true;
    uint64_t current = atomic_load(&ticket);
    while (job_of(current) == job) {
        int64_t count = atomic_load(&task_count), task = (int64_t)(uint32_t)current;
        task_function function = atomic_load(&job_function);
        void *context = atomic_load(&job_context);
        if (task >= count) break;
        if (!atomic_compare_exchange_weak(&ticket, &current, current + 1)) continue;
        function(context, task);
        if (atomic_fetch_add(&finished, 1) + 1 == count && atomic_load(&caller_sleeps)) {
            pthread_mutex_lock(&sleep_lock);
            pthread_cond_signal(&job_finished);
            pthread_mutex_unlock(&sleep_lock);
        }
        current = atomic_load(&ticket);
    }
    in_task = false;
}

// Returns the number of a job other than `last`.
static uint32_t wait_for_job(uint32_t last, bool spins) {
    int64_t start = nanoseconds();
    while (spins && nanoseconds() - start < SPIN_NANOSECONDS) {
        for (int i = 0; i < 64; i++) {
            uint32_t job = job_of(atomic_load(&ticket));
            if (job != last) return job;
            pause_briefly();
        }
    }
    pthread_mutex_lock(&sleep_lock);
    atomic_fetch_add(&sleepers, 1);
    while (job_of(atomic_load(&ticket)) == last) pthread_cond_wait(&job_arrived, &sleep_lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_lock);
    return job_of(atomic_load(&ticket));
}

static void *worker(void *argument) {
    int32_t index = (int32_t)(intptr_t)argument;
    uint32_t last = 0;
    for (;;) {
        // A worker above the wanted number neither spins nor works; it looks again when the next job arrives.
        bool takes_part = index < atomic_load(&wanted_threads) - 1;
        last = wait_for_job(last, takes_part);
        if (index < atomic_load(&wanted_threads) - 1) work(last);
    }
    return NULL;
}

static void start_workers(int32_t count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (started_workers < count) {
        pthread_t thread;
        // Where the system gives no more threads, those that there are do the work.
        if (pthread_create(&thread, &attributes, worker, (void *)(intptr_t)started_workers) != 0) break;
        started_workers++;
    }
    pthread_attr_destroy(&attributes);
}

static void wait_until_finished(int64_t count) {
    int64_t start = nanoseconds();
    while (atomic_load(&finished) < count && nanoseconds() - start < SPIN_NANOSECONDS)
        for (int i = 0; i < 64 && atomic_load(&finished) < count; i++) pause_briefly();
    if (atomic_load(&finished) >= count) return;
    pthread_mutex_lock(&sleep_lock);
    atomic_store(&caller_sleeps, true);
    while (atomic_load(&finished) < count) pthread_cond_wait(&job_finished, &sleep_lock);
    atomic_store(&caller_sleeps, false);
    pthread_mutex_unlock(&sleep_lock);
}

static void run_job(int64_t count, task_function function, void *context) {
    int32_t threads = pool_threads();
    if (count == 1 || threads == 1 || in_task || count > UINT32_MAX || pthread_mutex_trylock(&job_lock) != 0) {
        for (int64_t task = 0; task < count; task++) function(context, task);
        return;
    }
    start_workers(threads - 1);
    uint32_t last = job_of(atomic_load(&ticket)), job = last + 1;
    // Closes the last job first: a late worker that reads the new description with the old ticket then finds no task left.
    atomic_store(&ticket, (uint64_t)last << 32 | UINT32_MAX);
    atomic_store(&job_function, function);
    atomic_store(&job_context, context);
    atomic_store(&task_count, count);
    atomic_store(&finished, 0);
    atomic_store(&ticket, (uint64_t)job << 32);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&job_arrived);
        pthread_mutex_unlock(&sleep_lock);
    }
    work(job);
    wait_until_finished(count);
    pthread_mutex_unlock(&job_lock);
}

void pool_run(const char *work, int64_t count, task_function function, void *context) {
    if (count <= 0) return;
    if (in_task || !work_times_are_kept()) return run_job(count, function, context);
    int64_t start = nanoseconds();
    run_job(count, function, context);
    book_work_time(work, nanoseconds() - start);
}

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key; // frees a thread's buffer when the thread ends
static _Thread_local void *scratch;
static _Thread_local size_t scratch_bytes;

static void make_scratch_key(void) { pthread_key_create(&scratch_key, free); }

void *pool_scratch(size_t bytes) {
    if (bytes <= scratch_bytes) return scratch;
    pthread_once(&scratch_once, make_scratch_key);
    size_t rounded = (bytes + 0xFFFF) & ~(size_t)0xFFFF;
    free(scratch);
    scratch = aligned_alloc(64, rounded);
    pthread_setspecific(scratch_key, scratch);
    scratch_bytes = scratch ? rounded : 0;
    if (!scratch) {
        // A kernel has no way to refuse, and a wrong result would be worse.
        fprintf(stderr, "out of memory: a kernel asked for %zu bytes of working space\n", rounded);
        abort();
    }
    return scratch;
}
