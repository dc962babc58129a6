// Conversion inside a task.
#ifndef GRAFT_CONVERT_H
#define GRAFT_CONVERT_H

#include <stddef.h>
#include <stdint.h>

// Bytes of one element.
size_t size_of_dtype(int32_t dtype);

// Converts n elements on the calling thread.
void convert_run(void *out, int32_t out_dtype, const void *in, int32_t in_dtype, int64_t n);

#endif
