
/*
 * Debug lines for what spans processes. nginx's debug_connection switches them
 * on for the connection of one client, but letters, queues and calls belong to
 * no connection. So a call of such a client has a flag, which goes with its
 * letters through all workers, and with the flag they log what they do for it.
 */

#ifndef _NGX_COMETA_TRACE_H_INCLUDED_
#define _NGX_COMETA_TRACE_H_INCLUDED_


#include "ngx_cometa.h"


/* Whether debug lines are wanted for this connection. */
#define ngx_cometa_traced(c)                                                  \
    (((c)->log->log_level & NGX_LOG_DEBUG_HTTP) != 0)

/* The worker's log; with `debug` it takes debug lines at any level. */
#define ngx_cometa_trace(debug)                                               \
    ((debug) ? ngx_cometa_trace_log() : ngx_cycle->log)

ngx_log_t *ngx_cometa_trace_log(void);


#endif /* _NGX_COMETA_TRACE_H_INCLUDED_ */
