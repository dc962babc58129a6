// How long each kind of work took, by the wall clock of the caller: kept only where asked for, as a benchmark does.
#ifndef GRAFT_WORK_TIMES_H
#define GRAFT_WORK_TIMES_H

#include <stdbool.h>
#include <stdint.h>

bool work_times_are_kept(void);
// `work` is a string literal; kinds are told apart by their text.
void book_work_time(const char *work, int64_t nanoseconds);

#endif
