/*
 * Turns of connections: how many of those that stand in line are handled in one
 * turn of the event loop, and in which order.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_cometa_turn.c"
#include "tap.h"


#define MANY  1000


ngx_queue_t  ngx_posted_events;
ngx_queue_t  ngx_posted_next_events;

static ngx_log_t    log_;
static ngx_event_t  talking[MANY], ended[MANY];
static ngx_uint_t   talked, closed, again;
static ngx_uint_t   last_closed;
static ngx_uint_t   in_order;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


static void
talk(ngx_event_t *ev)
{
    talked++;
    ngx_cometa_work += NGX_COMETA_WORK_WRITE;

    if (again) {
        again--;
        ngx_cometa_turn_again(ev);
    }
}


static void
end(ngx_event_t *ev)
{
    ngx_uint_t  n = ev - ended;

    /* what epoll would do first, if this were not the turn of it */

    if (ngx_cometa_turn_end(ev)) {
        in_order = 0;
        return;
    }

    in_order &= (closed == 0 || n == last_closed + 1);
    last_closed = n;
    closed++;
    ngx_cometa_work += NGX_COMETA_WORK_CLOSE;
}


/* One turn of the event loop: 1 if the line has anything left. */

static int
loop(void)
{
    ngx_queue_t  *q;
    ngx_event_t  *ev;

    talked = 0;
    closed = 0;

    if (ngx_queue_empty(&ngx_posted_next_events)) {
        return 0;
    }

    q = ngx_queue_head(&ngx_posted_next_events);
    ev = ngx_queue_data(q, ngx_event_t, queue);
    ngx_delete_posted_event(ev);
    ev->handler(ev);

    return !ngx_queue_empty(&ngx_posted_next_events);
}


static void
start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);
    ngx_cometa_turn_start(cycle);

    for (i = 0; i < MANY; i++) {
        talking[i].handler = talk;
        talking[i].log = &log_;
        ended[i].handler = end;
        ended[i].log = &log_;
    }

    in_order = 1;
}


/* Many end while one talks. */

static void
test_ends(void)
{
    ngx_uint_t  i, loops, all, at_once = 0;

    for (i = 0; i < 4; i++) {
        at_once += !ngx_cometa_turn_end(&ended[i]);
    }

    for (all = 0, i = 0; i < MANY; i++) {
        all += (ngx_cometa_turn_end(&ended[i]) && ended[i].posted);
    }

    ok(at_once == 4, "the ends of a few connections are not put off");
    ok(all == MANY, "those of the others are");

    ngx_cometa_turn_again(&talking[0]);

    loop();

    ok(talked == 1, "one that talks does not wait for them");
    ok(closed > 0 && closed <= 50,
       "few of them are closed in a turn: %lu", (unsigned long) closed);

    for (all = closed, loops = 1; loop(); loops++) {
        all += closed;
    }

    all += closed;

    ok(all == MANY && in_order, "all are closed, in their order, in %lu turns",
       (unsigned long) loops);
}


/* Many talk while a few end. */

static void
test_talk(void)
{
    ngx_uint_t  i;

    for (i = 0; i < MANY; i++) {
        ngx_cometa_turn_again(&talking[i]);
    }

    ok(ngx_cometa_turn_end(&ended[0]), "one more of that turn of the loop");
    loop();

    ok(talked > 50 && talked < MANY / 2,
       "those that talk have a bound, too: %lu", (unsigned long) talked);
    ok(closed == 1, "which leaves something for the ends");

    while (loop()) { /* void */ }

    ok(ngx_cometa_loop_event.posted && ngx_cometa_turn_end(&ended[0]),
       "and another one");
    while (loop()) { /* void */ }

    ngx_delete_posted_event(&ngx_cometa_loop_event);
    ngx_cometa_loop_event.handler(&ngx_cometa_loop_event);
    ok(!ngx_cometa_turn_end(&ended[0]), "the next turn has its own");

    again = 3;
    ngx_cometa_turn_again(&talking[0]);

    loop();

    ok(again == 0 && talked == 4,
       "one that goes on has its next turns in the same bound");
}


int
main(void)
{
    ngx_cycle_t  cycle = { .log = &log_ };

    start(&cycle);
    test_ends();
    test_talk();

    return done_testing();
}
