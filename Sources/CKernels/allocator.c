// Released buffers stay in free lists, one per size class, and serve later requests. Eight classes to a power of two: at most an
// eighth is wasted.
//
// A request whose own list is empty takes the smallest free buffer that is large enough. So a batch uses the buffers of a larger one
// before it: once the largest batch has been seen, a training step asks the system for nothing, and batches of many lengths take
// no more memory than the longest. What is to live long should be made after a trim, or it may hold a buffer far larger than itself.
//
// Where there is none, cached buffers are first given back until all that is held, used and cached, passes the most that was ever
// used at once by no more than an eighth: memory follows what is needed, not how many sizes came by.
#define _GNU_SOURCE
#include "allocator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CLASSES = 64 * 8 };
static const size_t smallest = 64, huge_page = (size_t)2 << 20, mapped_from = (size_t)4 << 20;

// What the allocator knows of a buffer stands in the bytes before it: its class may be above that of the request.
struct header {
    struct header *next;
    int class;
};
static const size_t header_size = 64;              // keeps buffers aligned
static const size_t header_pages = (size_t)64 << 10; // before a mapped buffer: a whole page, of any system

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct header *free_lists[CLASSES];
static uint64_t has_free[CLASSES / 64]; // a bit for each list that is not empty
static struct memory_statistics statistics;

static struct header *header_of(void *memory) { return (struct header *)((char *)memory - header_size); }

static void *buffer_of(struct header *header) { return (char *)header + header_size; }

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

// Large buffers (their classes are multiples of the page) are mapped on their own, on the boundary of a huge page, so that a trim
// truly gives them back.
static void *map_large(size_t bytes) {
    char *start = mmap(NULL, header_pages + bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    size_t before = (huge_page - ((size_t)start + header_pages) % huge_page) % huge_page;
    if (before) munmap(start, before);
    char *buffer = start + before + header_pages;
    munmap(buffer + bytes, huge_page - before);
#if defined(MADV_HUGEPAGE)
    madvise(buffer, bytes, MADV_HUGEPAGE);
#endif
    return buffer;
}

static void *system_allocate(int class) {
    size_t bytes = system_size(class);
    if (bytes >= mapped_from) return map_large(bytes);
    char *start = aligned_alloc(64, header_size + bytes);
    return start ? start + header_size : NULL;
}

static void system_free(void *memory, int class) {
    size_t bytes = system_size(class);
    if (bytes >= mapped_from)
        munmap((char *)memory - header_pages, header_pages + bytes);
    else
        free(header_of(memory));
}

// Gives cached buffers back, largest first, until at most `limit` bytes are held in all.
static void shrink(size_t limit) {
    for (int class = CLASSES - 1; class >= 0; class--) {
        while (free_lists[class]) {
            if (statistics.used_bytes + statistics.cached_bytes <= limit) return;
            struct header *header = free_lists[class];
            free_lists[class] = header->next;
            statistics.cached_bytes -= system_size(class);
            system_free(buffer_of(header), class);
        }
        has_free[class / 64] &= ~((uint64_t)1 << (class % 64));
    }
}

// The smallest free buffer that is large enough for a class; NULL where there is none.
static void *take_cached(int class) {
    for (int word = class / 64; word < CLASSES / 64; word++) {
        uint64_t candidates = has_free[word];
        if (word == class / 64) candidates &= ~(uint64_t)0 << (class % 64);
        if (candidates == 0) continue;
        int found = word * 64 + __builtin_ctzll(candidates);
        struct header *header = free_lists[found];
        free_lists[found] = header->next;
        if (!header->next) has_free[found / 64] &= ~((uint64_t)1 << (found % 64));
        statistics.cached_bytes -= system_size(found);
        return buffer_of(header);
    }
    return NULL;
}

static void *take_new(int class) {
    size_t size = system_size(class), used = statistics.used_bytes + size;
    size_t most = used > statistics.peak_used_bytes ? used : statistics.peak_used_bytes;
    shrink(most + most / 8 - size);
    statistics.system_allocations++;
    void *memory = system_allocate(class);
    if (!memory) {
        shrink(0);
        memory = system_allocate(class);
    }
    if (memory) header_of(memory)->class = class;
    return memory;
}

void *graft_allocate(size_t bytes) {
    if (bytes > (size_t)1 << 48) return NULL;
    int class = class_of(bytes);
    pthread_mutex_lock(&lock);
    void *memory = take_cached(class);
    if (!memory) memory = take_new(class);
    if (memory) {
        statistics.used_bytes += system_size(header_of(memory)->class);
        if (statistics.used_bytes > statistics.peak_used_bytes) statistics.peak_used_bytes = statistics.used_bytes;
    }
    pthread_mutex_unlock(&lock);
    return memory;
}

void graft_release(void *memory, size_t bytes) {
    (void)bytes;
    if (!memory) return;
    struct header *header = header_of(memory);
    int class = header->class;
    pthread_mutex_lock(&lock);
    statistics.used_bytes -= system_size(class);
    statistics.cached_bytes += system_size(class);
    header->next = free_lists[class];
    free_lists[class] = header;
    has_free[class / 64] |= (uint64_t)1 << (class % 64);
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
    shrink(0);
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
