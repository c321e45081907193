/*
 * The queue of calls in front of a device, on stubs of the device and of mail:
 * and that it can be written out, and goes on from that in another process.
 */

#include "queue_world.h"


/* Writes the queue out as ngx_cometa_queue_state.h says. */

static size_t
write_out(ngx_cometa_queue_t *queue, u_char *p)
{
    u_char                *begin = p;
    ngx_queue_t           *q;
    ngx_cometa_waiting_t  *turn;

    p = ngx_cpymem(p, &queue->state, sizeof(queue->state));

    for (q = ngx_queue_head(&queue->waiting);
         q != ngx_queue_sentinel(&queue->waiting);
         q = ngx_queue_next(q))
    {
        turn = ngx_queue_data(q, ngx_cometa_waiting_t, link);
        p = ngx_cpymem(p, &turn->call, sizeof(turn->call) + turn->call.len);
    }

    return p - begin;
}


/* And reads that, into the queue of a device that has none. */

static void
read_in(const u_char *p)
{
    size_t                 size;
    ngx_uint_t             i;
    ngx_cometa_queue_t    *queue;
    ngx_cometa_waiting_t  *turn;
    ngx_cometa_pending_t   pending;

    queue = ngx_cometa_queue_get(&dev);

    memcpy(&queue->state, p, sizeof(queue->state));
    p += sizeof(queue->state);

    for (i = 0; i < queue->state.waiting; i++) {
        memcpy(&pending, p, sizeof(pending));
        size = sizeof(pending) + pending.len;

        turn = malloc(sizeof(ngx_queue_t) + size);
        memcpy(&turn->call, p, size);
        ngx_queue_insert_tail(&queue->waiting, &turn->link);

        p += size;
    }

    if (queue->state.held || queue->state.written.abandoned) {
        ngx_cometa_queue_arm(queue, queue->state.due);
    }
}


/* The queue of this process is forgotten; it goes on in a new one. */

static void
move(void)
{
    u_char                 bytes[1024];
    ngx_cometa_queue_t    *queue = dev.queue;
    ngx_cometa_waiting_t  *turn;

    write_out(queue, bytes);

    while (!ngx_queue_empty(&queue->waiting)) {
        turn = ngx_cometa_waiting_first(queue);
        ngx_queue_remove(&turn->link);
        free(turn);
    }

    memset(&queue->state, 0xa5, sizeof(queue->state));
    dev.queue = NULL;
    free(queue);

    ngx_cometa_queue_start();
    read_in(bytes);
}


static void
test_order(int moves)
{
    begin();

    call(1, 10);
    call(2, 30);
    call(3, 40);
    call(4, 20);
    call(5, 50);
    call(6, 60);
    ok(was("writes 1, queued 2, queued 3, queued 4, queued 5, busy 6"),
       "one is written, as many wait as may");

    if (moves) {
        move();
    }

    cancel(3);
    reply();
    ok(was("reply 1, written 4, writes 4"), "the first to arrive goes first");
    reply();
    dead = 2;
    ok(was("reply 4, written 2, writes 2"), "in their order");
    reply();
    ok(was("reply 2"), "but those whose worker has died");

    end(moves ? "moved, order" : "order");
}


static void
test_owed(int moves)
{
    begin();

    call(1, 10);
    call(2, 20);
    ngx_current_msec = 5400;
    cancel(1);
    ok(was("writes 1, queued 2"), "one is written, one waits");
    ok(dev.queue->timer.timer_set && dev.queue->timer.timer.key == 900,
       "a reply is owed until the deadline and 300 ms more");

    if (moves) {
        ngx_current_msec = 5500;
        move();
        ok(dev.queue->timer.timer_set && dev.queue->timer.timer.key == 800,
           "that moment stays the same");
    }

    reply();
    ok(was("written 2, writes 2") && counters.late,
       "a late reply reaches nobody");
    cancel(2);
    dev.queue->timer.timer_set = 0;
    dev.queue->timer.handler(&dev.queue->timer);
    ok(was("closes 4"), "one that never comes ends the device");

    end(moves ? "moved, owed" : "owed");
}


static void
test_held(int moves)
{
    begin();

    ngx_cometa_queue_hold(&dev);
    call(2, 20);
    call(1, 10);

    if (moves) {
        move();
    }

    ok(was("queued 2, queued 1"), "held, nothing is written");
    ok(dev.queue->timer.timer_set && dev.queue->timer.timer.key == 20,
       "for 20 ms");
    dev.queue->timer.timer_set = 0;
    dev.queue->timer.handler(&dev.queue->timer);
    ok(was("written 1, writes 1"), "then the first to arrive");
    ngx_cometa_queue_closed(&dev, NGX_COMETA_DISCONNECTED);
    ok(was("fails 1, moved 2"), "the device leaves");

    end(moves ? "moved, held" : "held");
}


/* The written call comes with its device; others follow in any order. */

static void
test_arrived(void)
{
    ngx_cometa_queue_state_t  state;

    begin();

    call(1, 10);
    ngx_cometa_queue_pause(&dev, &state);
    ngx_cometa_queue_drop(&dev);
    ok(was("writes 1"), "a device moves with a written call");

    ok(ngx_cometa_queue_arrive(&dev, &state, NULL) == NGX_OK
       && dev.queue->timer.timer.key == 20, "where it arrives it is held");
    reply();
    call(3, 30);
    call(2, 20);
    ok(was("reply 1, queued 3, queued 2") && dev.queue->timer.timer_set,
       "its reply comes, a new call overtakes one that follows it");
    time_is_over();
    ok(was("written 2, writes 2"), "they are written in their order");

    ngx_current_msec = 5400;
    cancel(2);
    ngx_cometa_queue_pause(&dev, &state);
    ngx_cometa_queue_send_back(dev.queue);
    ngx_cometa_queue_drop(&dev);
    ngx_current_msec = 5500;
    ok(ngx_cometa_queue_arrive(&dev, &state, NULL) == NGX_OK && was("moved 3"),
       "it moves once more, and owes a reply");
    time_is_over();
    ok(dev.queue->timer.timer.key == 800, "until the moment that was set");
    time_is_over();
    ok(was("closes 4"), "when it is closed");

    end("arrived");

    begin();

    call(1, 10);
    ngx_cometa_queue_pause(&dev, &state);
    ngx_cometa_queue_drop(&dev);
    ngx_cometa_queue_arrive(&dev, &state, NULL);
    time_is_over();
    ok(dev.queue->timer.timer.key == 1300,
       "a call that nobody can withdraw in time ends with its deadline");
    time_is_over();
    ok(was("writes 1, closes 4, fails 1"), "and its device");

    end("arrived, silent");
}


/* A queue that was used is as good as a new one. */

static void
test_again(void)
{
    begin();

    call(1, 10);
    cancel(1);
    ngx_cometa_queue_closed(&dev, NGX_COMETA_DISCONNECTED);
    call(2, 20);
    ok(!dev.queue->state.written.abandoned && !dev.queue->timer.timer_set,
       "the next device owes nothing");
    reply();
    ok(was("writes 1, writes 2, reply 2"), "and answers");

    end("again");
}


static void
test_text(void)
{
    begin();

    call(1, 10);
    texts = 1;
    call(2, 20);
    texts = 0;
    ok(was("writes 1, no text 2"),
       "a message that the device cannot take does not wait");
    call(3, 30);
    reply();
    ok(was("queued 3, reply 1, written 3, writes 3"), "others do");
    reply();
    ok(was("reply 3"), "and are answered");

    end("text");
}


int
main(void)
{
    int  moves;

    begin_all();

    for (moves = 0; moves < 2; moves++) {
        test_order(moves);
        test_owed(moves);
        test_held(moves);
    }

    test_arrived();
    test_again();
    test_text();

    return done_testing();
}
