
/*
 * The state of a call at its origin: the lists that it stands in, its timer,
 * and its end, which is counted and told once.
 */

#ifndef _NGX_COMETA_CALL_END_H_INCLUDED_
#define _NGX_COMETA_CALL_END_H_INCLUDED_


#include "ngx_cometa_call_table.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_zone.h"


#define ngx_cometa_call_trace(call, what)                                     \
    ngx_log_debug6(NGX_LOG_DEBUG_HTTP, ngx_cometa_trace((call)->debug), 0,    \
                   "cometa call: %uD:%uD:%uD %s, \"%V/%V\"",                  \
                   ngx_cometa_zone.slot, (call)->index, (call)->generation,   \
                   what, &(call)->key.app, &(call)->key.device)


/*
 * At the start of a worker: the handler is called now and then as long as
 * other workers hold calls of this one.
 */
void ngx_cometa_call_end_start(ngx_cycle_t *cycle,
    ngx_event_handler_pt look);

/* Sets its timer, to ms of ngx_current_msec. */
void ngx_cometa_call_arm(ngx_cometa_call_t *call, uint64_t due);

/* It is looked after, if another worker has it. */
void ngx_cometa_call_hold(ngx_cometa_call_t *call);
void ngx_cometa_call_hold_again(void);

/* Takes it out of whatever list its state says it is in. */
void ngx_cometa_call_unlink(ngx_cometa_call_t *call);

/* Tells its handler, and frees it. `data` is the reply. */
void ngx_cometa_call_end(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);


#endif /* _NGX_COMETA_CALL_END_H_INCLUDED_ */
