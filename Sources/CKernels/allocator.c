// A cache of memory for tensors. What is released serves later requests; nothing goes back to the system but by need.
//
// Memory comes from the system in segments, which are cut into blocks as requests come by: the smallest free block that is large
// enough is taken, and what it has too much stays free. A released block joins its free neighbours. So a batch uses the memory of a
// larger one before it, whatever its own sizes are: once the largest batch has been seen, a training step asks the system for
// nothing. Small blocks live in segments of their own, lest one that stays holds a large one apart.
//
// Where no block is large enough, segments that are wholly free are first given back until all that is held, used and cached,
// passes the most that was ever used at once by no more than an eighth: memory follows what is needed, not how many sizes came by.
#define _GNU_SOURCE
#include "allocator.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CLASSES = 64 * 8 };
static const size_t alignment = 64, huge_page = (size_t)2 << 20;
static const size_t small_limit = (size_t)1 << 20;    // blocks below it live in small segments
static const size_t small_segment = (size_t)2 << 20;  // of which each is one huge page
static const size_t large_segment = (size_t)16 << 20; // at least; a larger request has a segment of its own

// Stands before each block's memory; blocks of a segment are linked in the order of their addresses.
struct block {
    size_t size; // bytes behind the header
    struct block *before, *after;
    struct block *next_free, *last_free; // in the list of its class, while it is free
    bool is_free, is_small;
};
static const size_t header_size = 64;
_Static_assert(sizeof(struct block) <= 64, "a header takes one line");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *free_lists[2][CLASSES]; // of large and of small blocks
static struct memory_statistics statistics;

static void *memory_of(struct block *block) { return (char *)block + header_size; }

static struct block *block_of(void *memory) { return (struct block *)((char *)memory - header_size); }

static size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Eight classes to a power of two: the largest class whose blocks all have at least its size.
static int class_of(size_t bytes) {
    int exponent = 63 - __builtin_clzll(bytes | 64);
    return (exponent - 6) * 8 + (int)((bytes - ((size_t)1 << exponent)) >> (exponent - 3));
}

static void add_free(struct block *block) {
    struct block **list = &free_lists[block->is_small][class_of(block->size)];
    block->is_free = true, block->last_free = NULL, block->next_free = *list;
    if (*list) (*list)->last_free = block;
    *list = block;
    statistics.cached_bytes += block->size;
}

static void remove_free(struct block *block) {
    struct block **list = &free_lists[block->is_small][class_of(block->size)];
    if (block->last_free)
        block->last_free->next_free = block->next_free;
    else
        *list = block->next_free;
    if (block->next_free) block->next_free->last_free = block->last_free;
    block->is_free = false;
    statistics.cached_bytes -= block->size;
}

// The smallest free block of at least `size` bytes; NULL where there is none.
static struct block *find_free(size_t size, bool is_small) {
    for (int class = class_of(size); class < CLASSES; class++) {
        struct block *best = NULL;
        for (struct block *block = free_lists[is_small][class]; block; block = block->next_free)
            if (block->size >= size && (!best || block->size < best->size)) best = block;
        if (best) return best;
    }
    return NULL;
}

// Leaves `size` bytes to a block and makes the rest a free one, where that is worth a block.
static void split(struct block *block, size_t size) {
    size_t least = block->is_small ? alignment : small_limit / 4;
    if (block->size < size + header_size + least) return;
    struct block *rest = (struct block *)((char *)memory_of(block) + size);
    *rest = (struct block){.size = block->size - size - header_size, .before = block, .after = block->after,
                           .is_small = block->is_small};
    if (rest->after) rest->after->before = rest;
    block->after = rest, block->size = size;
    add_free(rest);
}

// Joins a free block that is in no list with the one after it.
static void join_after(struct block *block) {
    struct block *next = block->after;
    block->size += header_size + next->size;
    block->after = next->after;
    if (block->after) block->after->before = block;
}

static bool is_whole_segment(const struct block *block) { return !block->before && !block->after; }

// On the boundary of a huge page, so that few pages hold it and all go back.
static struct block *map_segment(size_t bytes) {
    char *start = mmap(NULL, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return NULL;
    size_t before = (huge_page - (size_t)start % huge_page) % huge_page;
    if (before) munmap(start, before);
    if (huge_page - before) munmap(start + before + bytes, huge_page - before);
#if defined(MADV_HUGEPAGE)
    madvise(start + before, bytes, MADV_HUGEPAGE);
#endif
    return (struct block *)(start + before);
}

// Gives segments that are wholly free back, largest first, until at most `limit` bytes are held in all.
static void shrink(size_t limit) {
    for (int class = CLASSES - 1; class >= 0; class--) {
        for (int is_small = 0; is_small < 2; is_small++) {
            struct block *next;
            for (struct block *block = free_lists[is_small][class]; block; block = next) {
                if (statistics.used_bytes + statistics.cached_bytes <= limit) return;
                next = block->next_free;
                if (!is_whole_segment(block)) continue;
                remove_free(block);
                munmap(block, header_size + block->size);
            }
        }
    }
}

static struct block *new_block(size_t size, bool is_small) {
    size_t least = is_small ? small_segment : size + header_size > large_segment / 2 ? huge_page : large_segment;
    size_t bytes = round_up(size + header_size, least > huge_page ? least : huge_page);
    size_t used = statistics.used_bytes + size, most = used > statistics.peak_used_bytes ? used : statistics.peak_used_bytes;
    shrink(most + most / 8 - size);
    statistics.system_allocations++;
    struct block *block = map_segment(bytes);
    if (!block) {
        shrink(0);
        block = map_segment(bytes);
    }
    if (block) *block = (struct block){.size = bytes - header_size, .is_small = is_small};
    return block;
}

void *graft_allocate(size_t bytes) {
    if (bytes > (size_t)1 << 48) return NULL;
    size_t size = round_up(bytes ? bytes : 1, alignment);
    bool is_small = size < small_limit;
    pthread_mutex_lock(&lock);
    struct block *block = find_free(size, is_small);
    if (block)
        remove_free(block);
    else
        block = new_block(size, is_small);
    if (block) {
        split(block, size);
        statistics.used_bytes += block->size;
        if (statistics.used_bytes > statistics.peak_used_bytes) statistics.peak_used_bytes = statistics.used_bytes;
    }
    pthread_mutex_unlock(&lock);
    return block ? memory_of(block) : NULL;
}

void graft_release(void *memory, size_t bytes) {
    (void)bytes;
    if (!memory) return;
    struct block *block = block_of(memory);
    pthread_mutex_lock(&lock);
    statistics.used_bytes -= block->size;
    if (block->after && block->after->is_free) {
        remove_free(block->after);
        join_after(block);
    }
    if (block->before && block->before->is_free) {
        block = block->before;
        remove_free(block);
        join_after(block);
    }
    add_free(block);
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
