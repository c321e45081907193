/*
 * Callers over HTTP: each has one keep-alive connection and one call at a
 * time.
 */

#ifndef COMETA_BENCH_CALLER_H
#define COMETA_BENCH_CALLER_H

#include "load.h"

/* the way of a load whose conf and net are set */
const cometa_load_way_t *cometa_callers(cometa_load_t *load);

#endif
