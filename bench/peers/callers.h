/*
 * The callers of the comparison, each with one connection and a device of
 * its own, which it calls with several calls outstanding.
 */

#ifndef COMETA_BENCH_CALLERS_H
#define COMETA_BENCH_CALLERS_H

#include "../clients/load.h"
#include "protocol.h"

/* the way of a load whose conf and net are set */
const cometa_load_way_t *cometa_peer_callers(cometa_load_t *load,
    const cometa_protocol_t *protocol);

#endif
