
/*
 * Turns of connections. All state is this process's own.
 */

#include "ngx_cometa_turn.h"


static void ngx_cometa_turn_handler(ngx_event_t *ev);


ngx_uint_t          ngx_cometa_work;
ngx_uint_t          ngx_cometa_turn_begun;

static ngx_queue_t  ngx_cometa_turns;
static ngx_event_t  ngx_cometa_turn_event;


void
ngx_cometa_turn_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_turns);

    ngx_cometa_turn_event.handler = ngx_cometa_turn_handler;
    ngx_cometa_turn_event.data = &ngx_cometa_turns;
    ngx_cometa_turn_event.log = cycle->log;
}


void
ngx_cometa_turn_again(ngx_event_t *ev)
{
    ngx_post_event(ev, &ngx_cometa_turns);
    ngx_post_event(&ngx_cometa_turn_event, &ngx_posted_next_events);
}


/* The first in the queue is the one that has waited longest. */

static void
ngx_cometa_turn_handler(ngx_event_t *ev)
{
    ngx_uint_t    begun;
    ngx_event_t  *next;
    ngx_queue_t  *q;

    begun = ngx_cometa_work;

    while (!ngx_queue_empty(&ngx_cometa_turns)
           && ngx_cometa_work - begun < NGX_COMETA_WORK_ALL)
    {
        q = ngx_queue_head(&ngx_cometa_turns);
        next = ngx_queue_data(q, ngx_event_t, queue);

        ngx_delete_posted_event(next);

        /* a turn costs something even if nothing is done in it */

        ngx_cometa_work += NGX_COMETA_WORK_LETTER;

        next->handler(next);
    }

    if (!ngx_queue_empty(&ngx_cometa_turns)) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}
