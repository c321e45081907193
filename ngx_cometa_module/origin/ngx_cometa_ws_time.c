
/*
 * The queues of WebSockets by the time at which something is due.
 */

#include "ngx_cometa_ws_time.h"


#define NGX_COMETA_WS_LINGER  5000      /* ms, for the peer's close ... */
#define NGX_COMETA_WS_HURRY   1000      /* ... if the worker leaves */
#define NGX_COMETA_WS_EXPIRE  200       /* looked at in one go */


static void ngx_cometa_ws_time_handler(ngx_event_t *ev);
static ngx_msec_t ngx_cometa_ws_time_expire(ngx_cometa_ws_times_t *times,
    ngx_uint_t state);
static ngx_msec_t ngx_cometa_ws_time_after(ngx_cometa_ws_times_t *times,
    ngx_uint_t state);
static void ngx_cometa_ws_time_arm(ngx_cometa_ws_times_t *times,
    ngx_msec_t wait);


void
ngx_cometa_ws_times_init(ngx_cometa_ws_times_t *times, ngx_msec_t timeout,
    ngx_cometa_ws_expire_pt handler, ngx_log_t *log)
{
    ngx_uint_t  state;

    for (state = 0; state < NGX_COMETA_WS_STATES; state++) {
        ngx_queue_init(&times->queues[state]);
    }

    times->timeout = timeout;
    times->handler = handler;

    times->timer.handler = ngx_cometa_ws_time_handler;
    times->timer.data = times;
    times->timer.log = log;
}


void
ngx_cometa_ws_time_enter(ngx_cometa_ws_times_t *times,
    ngx_cometa_ws_time_t *time, ngx_uint_t state)
{
    if (time->link.next) {
        ngx_queue_remove(&time->link);
    }

    ngx_queue_insert_tail(&times->queues[state], &time->link);

    ngx_cometa_ws_time_arm(times, ngx_cometa_ws_time_after(times, state));
}


void
ngx_cometa_ws_time_leave(ngx_cometa_ws_times_t *times,
    ngx_cometa_ws_time_t *time)
{
    ngx_uint_t  state;

    if (time->link.next == NULL) {
        return;
    }

    ngx_queue_remove(&time->link);
    time->link.next = NULL;

    for (state = 0; state < NGX_COMETA_WS_STATES; state++) {
        if (!ngx_queue_empty(&times->queues[state])) {
            return;
        }
    }

    if (times->timer.timer_set) {
        ngx_del_timer(&times->timer);
    }
}


void
ngx_cometa_ws_time_hurry(ngx_cometa_ws_times_t *times)
{
    ngx_cometa_ws_time_arm(times, NGX_COMETA_WS_HURRY);
}


/*
 * The timer is not cancelable, as that of devices is not: it keeps a worker
 * that leaves alive. It is set only while there are sockets.
 */

static void
ngx_cometa_ws_time_handler(ngx_event_t *ev)
{
    ngx_msec_t              wait, next;
    ngx_uint_t              state;
    ngx_cometa_ws_times_t  *times;

    times = ev->data;
    wait = NGX_TIMER_INFINITE;

    for (state = 0; state < NGX_COMETA_WS_STATES; state++) {
        next = ngx_cometa_ws_time_expire(times, state);
        wait = ngx_min(wait, next);
    }

    if (wait != NGX_TIMER_INFINITE) {
        ngx_cometa_ws_time_arm(times, wait);
    }
}


/*
 * Handles the sockets at the head of a queue whose time has come. Returns in
 * how many ms the next one is due, NGX_TIMER_INFINITE if the queue is empty.
 */

static ngx_msec_t
ngx_cometa_ws_time_expire(ngx_cometa_ws_times_t *times, ngx_uint_t state)
{
    int32_t                left;
    ngx_msec_t             after;
    ngx_uint_t             n;
    ngx_queue_t           *queue;
    ngx_cometa_ws_time_t  *time;

    queue = &times->queues[state];
    after = ngx_cometa_ws_time_after(times, state);

    for (n = 0; n < NGX_COMETA_WS_EXPIRE; n++) {

        if (ngx_queue_empty(queue)) {
            return NGX_TIMER_INFINITE;
        }

        time = ngx_queue_data(ngx_queue_head(queue), ngx_cometa_ws_time_t,
                              link);

        left = after - ((uint32_t) ngx_current_msec - time->since);

        if (left > 0) {
            return left;
        }

        times->handler(time, state);
    }

    return 1;
}


/* When nginx stops it waits for sockets that are closing: not for long. */

static ngx_msec_t
ngx_cometa_ws_time_after(ngx_cometa_ws_times_t *times, ngx_uint_t state)
{
    switch (state) {

    case NGX_COMETA_WS_HEARD:
        return times->timeout / 2;

    case NGX_COMETA_WS_PINGED:
        return times->timeout;

    default: /* NGX_COMETA_WS_CLOSING */
        return ngx_exiting ? NGX_COMETA_WS_HURRY : NGX_COMETA_WS_LINGER;
    }
}


static void
ngx_cometa_ws_time_arm(ngx_cometa_ws_times_t *times, ngx_msec_t wait)
{
    ngx_event_t  *ev;

    ev = &times->timer;

    if (ev->timer_set) {
        if ((ngx_msec_int_t) (ev->timer.key - ngx_current_msec)
            <= (ngx_msec_int_t) wait)
        {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, wait);
}
