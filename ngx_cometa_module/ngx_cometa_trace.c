
/*
 * A copy of the worker's log with the level that debug_connection gives to
 * the log of a connection.
 */

#include "ngx_cometa_trace.h"


ngx_log_t *
ngx_cometa_trace_log(void)
{
    static ngx_log_t  log;

    /* copied each time, because nginx may have reopened the log */

    log = *ngx_cycle->log;
    log.log_level = NGX_LOG_DEBUG_CONNECTION|NGX_LOG_DEBUG_ALL;

    return &log;
}
