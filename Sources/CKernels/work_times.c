// A short list of kinds of work, filled as they come by.
#include "work_times.h"

#include "kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { KINDS = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(bool) are_kept;
static struct work_time times[KINDS];
static int32_t kinds;

bool work_times_are_kept(void) { return atomic_load_explicit(&are_kept, memory_order_relaxed); }

void book_work_time(const char *work, int64_t nanoseconds) {
    pthread_mutex_lock(&lock);
    int32_t i = 0;
    while (i < kinds && strcmp(times[i].work, work) != 0) i++;
    if (i == kinds && kinds < KINDS) times[kinds++] = (struct work_time){work, 0, 0};
    if (i < KINDS) {
        times[i].nanoseconds += nanoseconds;
        times[i].calls++;
    }
    pthread_mutex_unlock(&lock);
}

void graft_keep_work_times(bool keep) {
    pthread_mutex_lock(&lock);
    kinds = 0;
    pthread_mutex_unlock(&lock);
    atomic_store(&are_kept, keep);
}

int32_t graft_work_times(struct work_time *out, int32_t capacity) {
    pthread_mutex_lock(&lock);
    int32_t count = kinds < capacity ? kinds : capacity;
    memcpy(out, times, (size_t)count * sizeof *times);
    pthread_mutex_unlock(&lock);
    return count;
}
