/*
 * Memory of this process.
 */

#ifndef COMETA_BENCH_MEMORY_H
#define COMETA_BENCH_MEMORY_H

#include <stdint.h>

/* bytes that are this process's alone and written to */
uint64_t cometa_private_memory(void);

#endif
