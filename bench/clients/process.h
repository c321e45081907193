/*
 * A program that is one process with connections to one server, until
 * SIGTERM or SIGINT ends it.
 */

#ifndef COMETA_BENCH_PROCESS_H
#define COMETA_BENCH_PROCESS_H

#include <signal.h>
#include <stdint.h>

#include "options.h"
#include "stream.h"

extern volatile sig_atomic_t  cometa_stop;  /* a signal asks for the end */

/* dies if so many connections, of what they are called, are too many */
void cometa_process_start(cometa_net_t *net, const cometa_target_t *target,
    uint32_t connections, const char *what);

#endif
