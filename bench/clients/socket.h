/*
 * Callers over WebSockets: each has one, to one device, with several calls
 * outstanding, and hears the events of its device.
 */

#ifndef COMETA_BENCH_SOCKET_H
#define COMETA_BENCH_SOCKET_H

#include "load.h"

/*
 * The way of a load whose conf and net are set. When all WebSockets are open,
 * "open N" is printed. One that is lost is not opened again.
 */
const cometa_load_way_t *cometa_sockets(cometa_load_t *load);

#endif
