
/*
 * How fast a worker that leaves lets its devices and WebSockets go: at a rate,
 * so that they do not all come back at once, and in steps of uneven length, so
 * that those which come back after a fixed time do not come at the same
 * moments.
 */

#ifndef _NGX_COMETA_DRAIN_H_INCLUDED_
#define _NGX_COMETA_DRAIN_H_INCLUDED_


#include "ngx_cometa.h"


#define NGX_COMETA_DRAIN_RATE     500       /* a second, the default */
#define NGX_COMETA_DRAIN_FASTEST  50000     /* a second, "off" */


/*
 * At the start of a worker. The handler is called when it is time to let some
 * go: it asks for the quota, lets that many go, and sets the next time.
 */
void ngx_cometa_drain_init(ngx_uint_t rate, ngx_event_handler_pt handler,
    ngx_log_t *log);

/* Calls the handler after `wait` ms, unless its timer is set already. */
void ngx_cometa_drain_look(ngx_msec_t wait);

/* Calls the handler after one step. */
void ngx_cometa_drain_step(void);

/*
 * A pace of its own, for what goes at the same rate: all zero at first. How
 * many may go now, by the rate and the time since the last call; and the
 * milliseconds to the next one.
 */
typedef struct {
    ngx_msec_t  last;
    ngx_uint_t  rest;                       /* thousandths of one */
} ngx_cometa_pace_t;

ngx_uint_t ngx_cometa_drain_pace(ngx_cometa_pace_t *pace);
ngx_msec_t ngx_cometa_drain_pause(void);

/* How many may go now of what leaves with the worker. */
ngx_uint_t ngx_cometa_drain_quota(void);

/*
 * worker_shutdown_timeout has passed, and nginx wants to close all connections.
 * The handler of a device or WebSocket calls this instead, and stays open until
 * its turn comes.
 */
void ngx_cometa_drain_overdue(void);
ngx_uint_t ngx_cometa_drain_is_overdue(void);


#endif /* _NGX_COMETA_DRAIN_H_INCLUDED_ */
