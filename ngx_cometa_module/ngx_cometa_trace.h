
/*
 * The debug log of what spans processes. nginx's debug_connection makes the
 * log of one client's connection speak; a letter, a queue and a call belong to
 * no connection. A call of such a client carries a flag through all workers,
 * and whoever works for it logs by way of it.
 */

#ifndef _NGX_COMETA_TRACE_H_INCLUDED_
#define _NGX_COMETA_TRACE_H_INCLUDED_


#include "ngx_cometa.h"


/* Whether what is done for this connection is to be followed. */
#define ngx_cometa_traced(c)                                                  \
    (((c)->log->log_level & NGX_LOG_DEBUG_HTTP) != 0)

/* The worker's log, which takes debug lines whatever its level if `debug`. */
#define ngx_cometa_trace(debug)                                               \
    ((debug) ? ngx_cometa_trace_log() : ngx_cycle->log)

ngx_log_t *ngx_cometa_trace_log(void);


#endif /* _NGX_COMETA_TRACE_H_INCLUDED_ */
