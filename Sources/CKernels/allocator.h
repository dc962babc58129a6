// The caching allocator behind every buffer.
#ifndef GRAFT_ALLOCATOR_H
#define GRAFT_ALLOCATOR_H

#include "kernel_table.h"

void *graft_allocate(size_t bytes);
void graft_release(void *memory, size_t bytes);
struct memory_statistics graft_memory(void);
void graft_trim(void);

// Working space of a kernel, from the same cache: never NULL, a machine without memory left ends the process with a message.
void *working_space(size_t bytes);

#endif
