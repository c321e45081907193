/*
 * The queue of a device that takes several calls at a time: their order, what
 * is owed, and how they move.
 */

#include "queue_world.h"


static ngx_cometa_asked_t  asked;


/* A device that takes so many calls at a time. */

static void
begin_pipeline(unsigned n)
{
    begin();

    asked.terms.pipeline = n;
    dev.asked = &asked;
}


static void
replies(int n)
{
    while (n--) {
        reply();
    }
}


static void
test_pipeline_order(void)
{
    unsigned  i;

    begin_pipeline(3);

    for (i = 1; i < 6; i++) {
        call(i, 10 * i);
    }

    ok(was("writes 1, writes 2, writes 3, queued 4, queued 5"),
       "as many are written as it takes, the others wait");
    reply();
    ok(was("reply 1, written 4, writes 4"), "a reply makes room for one");
    cancel(3);
    ok(!dev.queue->timer.timer_set, "a call behind others is abandoned");
    reply();
    ok(was("reply 2, written 5, writes 5")
       && dev.queue->timer.timer.key == 1300,
       "its reply is owed from when it is the next one");
    counters.late = 0;
    reply();
    ok(was("") && counters.late == 1 && !dev.queue->timer.timer_set,
       "it keeps its place: its reply is dropped, and no other");
    replies(3);
    ok(was("reply 4, reply 5"), "the replies of the others are theirs");

    end("pipeline, order");
}


/* Many times round the places, with more of them than there are at first. */

static void
test_pipeline_round(void)
{
    unsigned  i, n;

    begin_pipeline(11);

    for (i = 1, n = 1; i <= 60; i++) {
        call(i, i);
        sprintf((char *) said + 500, "writes %u", i);
        ok(was((char *) said + 500), "call %u is written", i);

        if (i >= 3 + n % 9) {
            reply();
            sprintf((char *) said + 500, "reply %u", n);
            ok(was((char *) said + 500), "call %u is answered", n);
            n++;
        }
    }

    while (n <= 60) {
        reply();
        sprintf((char *) said + 500, "reply %u", n);
        ok(was((char *) said + 500), "call %u is answered", n);
        n++;
    }

    end("pipeline, round");
}


static void
test_pipeline_owed(void)
{
    begin_pipeline(3);

    call(1, 10);
    call(2, 20);
    ngx_current_msec = 5900;
    cancel(2);
    ok(!dev.queue->timer.timer_set, "the oldest one may take its time");
    cancel(1);
    ok(was("writes 1, writes 2") && dev.queue->timer.timer.key == 400,
       "until it is abandoned");
    ngx_current_msec = 6200;
    reply();
    ok(dev.queue->timer.timer_set && dev.queue->timer.timer.key == 300,
       "each reply gives the next one the whole time");
    time_is_over();
    ok(was("closes 4"), "silence ends the device");

    end("pipeline, owed");

    begin_pipeline(3);

    call(1, 10);
    call(2, 20);
    call(3, 30);
    dead = 1 + (2 & 1);                 /* slot of call 2 */
    ngx_cometa_queue_deaths();
    ok(was("writes 1, writes 2, writes 3") && !dev.queue->timer.timer_set,
       "the origin of one in the middle dies");
    counters.late = 0;
    replies(3);
    ok(was("reply 1, reply 3") && counters.late == 1,
       "its reply reaches nobody");

    end("pipeline, death");
}


static void
test_pipeline_closed(void)
{
    begin_pipeline(3);

    call(1, 10);
    call(2, 20);
    call(3, 30);
    call(4, 40);
    cancel(2);
    ngx_cometa_queue_closed(&dev, NGX_COMETA_DISCONNECTED);
    ok(was("writes 1, writes 2, writes 3, queued 4, fails 1, fails 3, moved 4"),
       "the device leaves: what was written fails, what waits moves");

    end("pipeline, closed");
}


static void
test_pipeline_moves(void)
{
    u_char                    more[1024];
    ngx_cometa_place_t        to;
    ngx_cometa_queue_state_t  state;

    begin_pipeline(3);

    call(1, 10);
    call(2, 20);
    call(3, 30);
    call(4, 40);
    ngx_cometa_queue_pause(&dev, &state);
    dev.away = 1;
    ok(ngx_cometa_queue_pack(&dev, more) - more
       == (ssize_t) ngx_cometa_queue_more(&state)
       && ngx_cometa_queue_more(&state) == 2 * sizeof(ngx_cometa_pending_t),
       "the written calls are packed");
    cancel(2);
    ngx_cometa_queue_left(&dev, &to);
    ok(was("writes 1, writes 2, writes 3, queued 4, "
           "follow 1, cancel 2, follow 3, moved 4"),
       "the device has left: origins are told, what waits moves");

    dev.away = 0;
    ok(ngx_cometa_queue_arrive(&dev, &state, more) == NGX_OK,
       "and has arrived");
    cancel(2);
    call(4, 40);
    ok(was("queued 4"), "nothing is written meanwhile");
    reply();
    ok(was("reply 1"), "the first one is answered");
    time_is_over();
    ok(was("written 4, writes 4") && dev.queue->timer.timer.key == 1300,
       "after a moment there is room for one more");
    counters.late = 0;
    reply();
    ok(was("") && counters.late == 1 && dev.queue->timer.timer_set,
       "one that was withdrawn is dropped; nobody may be able to withdraw the "
       "next");
    reply();
    ok(was("reply 3") && !dev.queue->timer.timer_set,
       "what was written here can be");
    reply();
    ok(was("reply 4"), "all are answered");

    end("pipeline, moves");
}


int
main(void)
{
    begin_all();

    test_pipeline_order();
    test_pipeline_round();
    test_pipeline_owed();
    test_pipeline_closed();
    test_pipeline_moves();

    return done_testing();
}
