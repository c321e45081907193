
/*
 * When WebSockets are written to: two queues of sockets that wait for it. All
 * state is this process's own.
 */

#include "ngx_cometa_ws_batch.h"


#define NGX_COMETA_WS_FLUSHES  128      /* in one turn */
#define NGX_COMETA_WS_HOLD     3        /* ms */


static void ngx_cometa_ws_batch_held(ngx_event_t *ev);
static void ngx_cometa_ws_batch_turn(ngx_event_t *ev);


static ngx_cometa_ws_batch_pt   ngx_cometa_ws_batch_write;

static ngx_queue_t              ngx_cometa_held;    /* some ms */
static ngx_event_t              ngx_cometa_held_event;

static ngx_queue_t              ngx_cometa_soon;    /* this turn */
static ngx_event_t              ngx_cometa_soon_event;


void
ngx_cometa_ws_batch_start(ngx_cycle_t *cycle, ngx_cometa_ws_batch_pt handler)
{
    ngx_cometa_ws_batch_write = handler;

    ngx_queue_init(&ngx_cometa_held);

    ngx_cometa_held_event.handler = ngx_cometa_ws_batch_held;
    ngx_cometa_held_event.log = cycle->log;
    ngx_cometa_held_event.data = &ngx_cometa_held_event;

    ngx_queue_init(&ngx_cometa_soon);

    ngx_cometa_soon_event.handler = ngx_cometa_ws_batch_turn;
    ngx_cometa_soon_event.log = cycle->log;
    ngx_cometa_soon_event.data = &ngx_cometa_soon_event;
}


void
ngx_cometa_ws_batch_hold(ngx_cometa_ws_batch_t *b)
{
    if (b->link.next) {
        return;
    }

    ngx_queue_insert_tail(&ngx_cometa_held, &b->link);

    if (!ngx_cometa_held_event.timer_set) {
        ngx_add_timer(&ngx_cometa_held_event, NGX_COMETA_WS_HOLD);
    }
}


/* It is written after all other events of this turn of the event loop. */

void
ngx_cometa_ws_batch_soon(ngx_cometa_ws_batch_t *b)
{
    if (b->soon) {
        return;
    }

    ngx_cometa_ws_batch_leave(b);

    b->soon = 1;
    ngx_queue_insert_tail(&ngx_cometa_soon, &b->link);

    ngx_post_event(&ngx_cometa_soon_event, &ngx_posted_events);
}


void
ngx_cometa_ws_batch_leave(ngx_cometa_ws_batch_t *b)
{
    b->replies = 0;
    b->soon = 0;

    if (b->link.next) {
        ngx_queue_remove(&b->link);
        b->link.next = NULL;
    }
}


static void
ngx_cometa_ws_batch_held(ngx_event_t *ev)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&ngx_cometa_held)) {
        q = ngx_queue_head(&ngx_cometa_held);

        ngx_cometa_ws_batch_soon(ngx_queue_data(q, ngx_cometa_ws_batch_t,
                                                link));
    }
}


static void
ngx_cometa_ws_batch_turn(ngx_event_t *ev)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    for (n = 0; n < NGX_COMETA_WS_FLUSHES; n++) {

        if (ngx_queue_empty(&ngx_cometa_soon)) {
            return;
        }

        q = ngx_queue_head(&ngx_cometa_soon);

        ngx_cometa_ws_batch_write(ngx_queue_data(q, ngx_cometa_ws_batch_t,
                                                 link));
    }

    if (!ngx_queue_empty(&ngx_cometa_soon)) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}
