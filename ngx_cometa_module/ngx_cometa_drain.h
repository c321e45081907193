
/*
 * How fast a worker that leaves lets its devices and WebSockets go: at a rate,
 * so that they do not all come back at once, and in steps of uneven length, so
 * that those which come back after a fixed time do not come in beats.
 */

#ifndef _NGX_COMETA_DRAIN_H_INCLUDED_
#define _NGX_COMETA_DRAIN_H_INCLUDED_


#include "ngx_cometa.h"


#define NGX_COMETA_DRAIN_RATE     500       /* a second, the default */
#define NGX_COMETA_DRAIN_FASTEST  50000     /* a second, "off" */


/*
 * At the start of a worker. The handler is called when it is time to look who
 * has to go; it asks for the quota, lets so many go, and sets the next time.
 */
void ngx_cometa_drain_init(ngx_uint_t rate, ngx_event_handler_pt handler,
    ngx_log_t *log);

/* Calls the handler after so many milliseconds, unless it is set already. */
void ngx_cometa_drain_look(ngx_msec_t wait);

/* Calls it after the next step. */
void ngx_cometa_drain_step(void);

/* How many may go now, by the rate and the time since it was asked last. */
ngx_uint_t ngx_cometa_drain_quota(void);

/*
 * worker_shutdown_timeout has passed, and nginx closes all connections: those
 * that call this stay open until their turn comes.
 */
void ngx_cometa_drain_overdue(void);
ngx_uint_t ngx_cometa_drain_is_overdue(void);


#endif /* _NGX_COMETA_DRAIN_H_INCLUDED_ */
