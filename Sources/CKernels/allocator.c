// Released buffers stay in free lists, one per size class, and serve the next request of that class, so that a training step asks
// the system for nothing once the largest batch has been seen. Eight classes to a power of two: at most an eighth is wasted.
//
// At most a quarter of the machine's memory stays cached. A release that would pass that first gives everything cached back to
// the system: sizes of earlier batches that no longer occur then make room for those that do.
#define _GNU_SOURCE
#include "allocator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CLASSES = 64 * 8 };
static const size_t smallest = 64, huge_page = (size_t)2 << 20, mapped_from = (size_t)4 << 20;

struct free_buffer {
    struct free_buffer *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct free_buffer *free_lists[CLASSES];
static struct memory_statistics statistics;

static int class_of(size_t bytes) {
    if (bytes <= smallest) return 0;
    int exponent = 63 - __builtin_clzll(bytes - 1); // 2^exponent < bytes <= 2^(exponent + 1)
    size_t eighth = ((size_t)1 << exponent) >> 3;
    return (exponent - 6) * 8 + (int)((bytes - 1 - ((size_t)1 << exponent)) / eighth) + 1;
}

static size_t size_of_class(int class) {
    if (class == 0) return smallest;
    size_t base = smallest << ((class - 1) / 8);
    return base + (base >> 3) * (size_t)((class - 1) % 8 + 1);
}

// Small sizes are rounded so that every buffer keeps its alignment.
static size_t system_size(int class) { return (size_of_class(class) + 63) & ~(size_t)63; }

static size_t cache_limit(void) {
    static size_t limit;
    if (limit == 0) limit = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 4;
    return limit;
}

// Large buffers (their classes are multiples of the page) are mapped on their own, on the boundary of a huge page, so that a trim
// truly gives them back.
static void *map_large(size_t bytes) {
    char *start = mmap(NULL, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    size_t before = (huge_page - (size_t)start % huge_page) % huge_page;
    if (before) munmap(start, before);
    munmap(start + before + bytes, huge_page - before);
#if defined(MADV_HUGEPAGE)
    madvise(start + before, bytes, MADV_HUGEPAGE);
#endif
    return start + before;
}

static void *system_allocate(size_t bytes) {
    return bytes >= mapped_from ? map_large(bytes) : aligned_alloc(64, bytes);
}

static void system_free(void *memory, size_t bytes) {
    if (bytes >= mapped_from)
        munmap(memory, bytes);
    else
        free(memory);
}

static void give_back_cached(void) {
    for (int class = 0; class < CLASSES; class++) {
        while (free_lists[class]) {
            struct free_buffer *buffer = free_lists[class];
            free_lists[class] = buffer->next;
            system_free(buffer, system_size(class));
        }
    }
    statistics.cached_bytes = 0;
}

static void count_used(size_t bytes) {
    statistics.used_bytes += bytes;
    if (statistics.used_bytes > statistics.peak_used_bytes) statistics.peak_used_bytes = statistics.used_bytes;
}

void *graft_allocate(size_t bytes) {
    if (bytes > (size_t)1 << 48) return NULL;
    int class = class_of(bytes);
    size_t size = system_size(class);
    pthread_mutex_lock(&lock);
    void *memory = free_lists[class];
    if (memory) {
        free_lists[class] = free_lists[class]->next;
        statistics.cached_bytes -= size;
    } else {
        statistics.system_allocations++;
        memory = system_allocate(size);
        if (!memory) {
            give_back_cached();
            memory = system_allocate(size);
        }
    }
    if (memory) count_used(size);
    pthread_mutex_unlock(&lock);
    return memory;
}

void graft_release(void *memory, size_t bytes) {
    if (!memory) return;
    int class = class_of(bytes);
    size_t size = system_size(class);
    pthread_mutex_lock(&lock);
    statistics.used_bytes -= size;
    if (statistics.cached_bytes + size > cache_limit()) give_back_cached();
    if (size > cache_limit()) {
        system_free(memory, size);
    } else {
        struct free_buffer *buffer = memory;
        buffer->next = free_lists[class];
        free_lists[class] = buffer;
        statistics.cached_bytes += size;
    }
    pthread_mutex_unlock(&lock);
}

struct memory_statistics graft_memory(void) {
    pthread_mutex_lock(&lock);
    struct memory_statistics now = statistics;
    pthread_mutex_unlock(&lock);
    return now;
}

void graft_trim(void) {
    pthread_mutex_lock(&lock);
    give_back_cached();
    statistics.peak_used_bytes = statistics.used_bytes;
    pthread_mutex_unlock(&lock);
}

void *working_space(size_t bytes) {
    void *memory = graft_allocate(bytes);
    if (!memory) {
        // A kernel has no way to refuse, and a wrong result would be worse.
        fprintf(stderr, "out of memory: a kernel asked for %zu bytes of working space\n", bytes);
        abort();
    }
    return memory;
}
