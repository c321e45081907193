
/*
 * Turns of connections. All state is this process's own.
 */

#include "ngx_cometa_turn.h"


#define NGX_COMETA_TURN_ENDS  4     /* without standing in line */


static void ngx_cometa_turn_handler(ngx_event_t *ev);
static void ngx_cometa_turn_loop(ngx_event_t *ev);
static void ngx_cometa_turn_line(ngx_queue_t *line, ngx_uint_t most);


ngx_uint_t          ngx_cometa_work;
ngx_uint_t          ngx_cometa_turn_begun;

static ngx_queue_t  ngx_cometa_turns;
static ngx_queue_t  ngx_cometa_ends;
static ngx_event_t  ngx_cometa_turn_event;
static ngx_event_t  ngx_cometa_loop_event;
static ngx_uint_t   ngx_cometa_turn_runs;
static ngx_uint_t   ngx_cometa_ends_now;    /* in this turn of the loop */


void
ngx_cometa_turn_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_turns);
    ngx_queue_init(&ngx_cometa_ends);

    ngx_cometa_turn_event.handler = ngx_cometa_turn_handler;
    ngx_cometa_turn_event.data = &ngx_cometa_turns;
    ngx_cometa_turn_event.log = cycle->log;

    ngx_cometa_loop_event.handler = ngx_cometa_turn_loop;
    ngx_cometa_loop_event.data = &ngx_cometa_ends;
    ngx_cometa_loop_event.log = cycle->log;
}


void
ngx_cometa_turn_again(ngx_event_t *ev)
{
    ngx_post_event(ev, &ngx_cometa_turns);
    ngx_post_event(&ngx_cometa_turn_event, &ngx_posted_next_events);
}


ngx_uint_t
ngx_cometa_turn_end(ngx_event_t *ev)
{
    if (ngx_cometa_turn_runs) {
        return 0;
    }

    /* a few go at once: that device may be back in the same turn of the loop */

    if (ngx_cometa_ends_now < NGX_COMETA_TURN_ENDS
        && ngx_queue_empty(&ngx_cometa_ends))
    {
        if (ngx_cometa_ends_now++ == 0) {
            ngx_post_event(&ngx_cometa_loop_event, &ngx_posted_events);
        }

        return 0;
    }

    ngx_post_event(ev, &ngx_cometa_ends);
    ngx_post_event(&ngx_cometa_turn_event, &ngx_posted_next_events);

    return 1;
}


/* After all events of epoll were handled. */

static void
ngx_cometa_turn_loop(ngx_event_t *ev)
{
    ngx_cometa_ends_now = 0;
}


static void
ngx_cometa_turn_handler(ngx_event_t *ev)
{
    ngx_cometa_turn_line(&ngx_cometa_turns, NGX_COMETA_WORK_ALL);
    ngx_cometa_turn_line(&ngx_cometa_ends, NGX_COMETA_WORK_ENDS);

    if (!ngx_queue_empty(&ngx_cometa_turns)
        || !ngx_queue_empty(&ngx_cometa_ends))
    {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


/* The first in a line is the one that has waited longest. */

static void
ngx_cometa_turn_line(ngx_queue_t *line, ngx_uint_t most)
{
    ngx_uint_t    begun;
    ngx_event_t  *next;
    ngx_queue_t  *q;

    begun = ngx_cometa_work;
    ngx_cometa_turn_runs = 1;

    while (!ngx_queue_empty(line) && ngx_cometa_work - begun < most) {

        q = ngx_queue_head(line);
        next = ngx_queue_data(q, ngx_event_t, queue);

        ngx_delete_posted_event(next);

        /* a turn costs something even if nothing is done in it */

        ngx_cometa_work += NGX_COMETA_WORK_LETTER;

        next->handler(next);
    }

    ngx_cometa_turn_runs = 0;
}
