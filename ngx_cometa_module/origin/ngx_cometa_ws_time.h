
/*
 * When a WebSocket is pinged or closed because nothing was received. All
 * sockets of a location have the same timeout, so each queue is in the order in
 * which its sockets expire, and one timer serves all queues.
 */

#ifndef _NGX_COMETA_WS_TIME_H_INCLUDED_
#define _NGX_COMETA_WS_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef enum {
    NGX_COMETA_WS_HEARD = 0,    /* expires after half of the timeout */
    NGX_COMETA_WS_PINGED,       /* pinged and silent since: after all of it */
    NGX_COMETA_WS_CLOSING,      /* a close frame was sent: after a while */
    NGX_COMETA_WS_STATES
} ngx_cometa_ws_state_e;


/* In each socket. */

typedef struct {
    ngx_queue_t   link;         /* .next is NULL: not open yet */
    uint32_t      since;        /* ms, when the time began that expires */
} ngx_cometa_ws_time_t;


/* The time has come: moves it to another queue, or frees the socket. */
typedef void (*ngx_cometa_ws_expire_pt)(ngx_cometa_ws_time_t *time,
    ngx_uint_t state);


/* The queues of a location. */

typedef struct {
    ngx_queue_t               queues[NGX_COMETA_WS_STATES];
    ngx_event_t               timer;
    ngx_msec_t                timeout;
    ngx_cometa_ws_expire_pt   handler;
} ngx_cometa_ws_times_t;


void ngx_cometa_ws_times_init(ngx_cometa_ws_times_t *times,
    ngx_msec_t timeout, ngx_cometa_ws_expire_pt handler, ngx_log_t *log);

/* Moves it to the end of the queue of this state. */
void ngx_cometa_ws_time_enter(ngx_cometa_ws_times_t *times,
    ngx_cometa_ws_time_t *time, ngx_uint_t state);

void ngx_cometa_ws_time_leave(ngx_cometa_ws_times_t *times,
    ngx_cometa_ws_time_t *time);

/* The worker leaves: sockets that are closing have less time from now on. */
void ngx_cometa_ws_time_hurry(ngx_cometa_ws_times_t *times);


#endif /* _NGX_COMETA_WS_TIME_H_INCLUDED_ */
