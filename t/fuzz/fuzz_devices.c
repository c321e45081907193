/*
 * Devices, their queues, calls and the hand-over, of several workers, against a
 * simple model. The input is a sequence of operations: clients attach, some
 * over WebSockets, say something, do not read, or leave; calls begin or are
 * withdrawn; letters and parcels arrive; time passes; workers begin to leave,
 * or die anywhere. After it all that is under way comes to its end.
 *
 * What must hold whatever the order:
 *
 *   - a call ends exactly once, unless its caller or its worker has gone;
 *   - a message is written to a device at most once, and not at all if the
 *     call has ended with an error that says so;
 *   - a reply ends the call that it answers;
 *   - no more messages are with a device than it takes, and of those that wait
 *     the one that came first to the server is written first;
 *   - no call waits in front of a device that could be written to;
 *   - a device is read by one worker at a time, also if the answer to an offer
 *     is lost;
 *   - the gauges are those of the model, and the registry has one place for
 *     each device, where it is;
 *   - in the end nothing is left: no device, call, record, descriptor, memory.
 */

#include "devices_checks.h"


#define SETTLE      200         /* rounds of 50 ms, until all has ended */
#define WORKER_OPS  10
#define CLIENT_OPS  9
#define WORLD_OPS   8


static const uint8_t  *input, *input_end;


static unsigned
byte(void)
{
    return (input < input_end) ? *input++ : 0;
}


/* A worker dies; its calls and the clients that it has not opened go too. */

static void
worker_dies(worker_t *w)
{
    int  i;

    world_death = 0;

    for (i = 0; i < ncalls; i++) {
        if (&workers[calls[i].origin] == w) {
            calls[i].open = 0;
        }
    }

    for (i = 0; i < nclients; i++) {
        if (&workers[clients[i].worker] == w) {
            clients[i].opening = NULL;
        }
    }

    world_end(w);
}


/* One turn of its event loop. */

static void
worker_turn(void)
{
    int  n;

    worker_door(0);
    worker_mail();

    for (n = 0; worker_events(); n++) {
        check(n < 2 * CLIENTS);
    }

    for (n = 0; worker_timer(); n++) {
        check(n < WORLD_TIMERS);
    }

    worker_posted();
    worker_leaves();
}


static void
worker_does(unsigned op, unsigned how)
{
    switch (op) {

    case 0:
        worker_mail();
        break;

    case 1:
        worker_posted();
        break;

    case 2:
        worker_door(how & 1);
        break;

    case 3:
        (void) worker_events();
        break;

    case 4:
        worker_leaves();
        break;

    case 5:
        (void) worker_timer();
        break;

    case 6:
        attach(how);
        break;

    case 7:
        call_begin(how);
        break;

    case 8:
        call_cancel(how);
        break;

    default:
        worker_turn();
    }
}


static void
worker_op(worker_t *w, unsigned op, unsigned how)
{
    if (!w->alive) {
        return;
    }

    world_enter(w);

    if (setjmp(world_dies)) {
        worker_dies(self);
        return;
    }

    worker_does(op, how);
    worker_turn_ends();
    worker_is_right();

    w->posted = !ngx_queue_empty(&ngx_posted_next_events);
}


static void
client_op(client_t *client, unsigned op, unsigned how)
{
    socket_t  *s;

    s = &client->socket;

    switch (op) {

    case 0:
        client_reply(client, how & 1);
        break;

    case 1:
        for (how %= DEPTH; how && client->nwith; how--) {
            client_reply(client, how == 1 || client->nwith == 1);
        }

        break;

    case 2:
        client_stray(client, how & 1);
        break;

    case 3:
        client_flood(client, how % 32);
        break;

    case 4:
        s->there = ngx_min(s->len, s->there + 1 + how % 16);
        world_edge(s);
        break;

    case 5:
        s->fin = 1 + (how & 1);
        s->broken = how & 1;
        s->there = s->len;
        world_edge(s);
        break;

    case 6:
        s->space = (how & 1) ? 0 : SEEN + 2 + how % 16;
        break;

    case 7:
        s->space = SIZE_MAX / 2;
        world_edge(s);
        break;

    case 8:
        if (setjmp(world_dies)) {
            worker_dies(self);
            return;
        }

        client_open(client, (how & 7) == 7);

        if (self) {
            worker_turn_ends();
        }

        break;
    }
}


static void
world_time_passes(unsigned ms)
{
    world_ms += ms;
    world_us = 0;
    ngx_current_msec = world_ms;
    world_time.sec = world_ms / 1000;
}


static void
world_op(unsigned op, unsigned how)
{
    switch (op) {

    case 0:
        world_time_passes(1 + how % 64);
        break;

    case 1:
        world_time_passes(1 + how * 16);
        break;

    case 2:
        reload(1 + how % 2, (how & 4) ? 1 : 2);
        break;

    case 3:
        if (workers[how % WORLD_SLOTS].alive) {
            worker_dies(&workers[how % WORLD_SLOTS]);
        }

        break;

    case 4:
        world_death = how % 64;
        break;

    case 5:
        world_no_memory = how % 16;
        world_no_answer = how / 16 % 4;
        break;

    case 6:
        workers[how / 2 % WORLD_SLOTS].full = how & 1;
        break;

    case 7:
        worker_start(2);
        break;
    }
}


static void
world_turn(void)
{
    int  i;

    for (i = 0; i < WORLD_SLOTS; i++) {
        (void) ngx_cometa_slot_alive(i, world_slots[i].epoch);

        if (world_slots[i].draining || world_busy(&workers[i])) {
            worker_op(&workers[i], WORKER_OPS - 1, 0);
        }
    }
}


static void
world_settle(void)
{
    int  i, n;

    world_death = 0;
    world_no_memory = 0;
    world_no_answer = 0;

    for (i = 0; i < nclients; i++) {
        client_op(&clients[i], 7, 0);
        client_op(&clients[i], 8, 0);

        /* who has lost it to a worker that died learns that now */

        client_say(&clients[i], "1\r\n\x06\r\n", 6, 1);
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        workers[i].full = 0;
    }

    for (n = 0; n < 120; n++) {
        world_turn();
        world_time_passes(1);
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        if (workers[i].alive) {
            check(workers[i].parcels == 0);
        }
    }
}


/* Nobody says anything any more: all that is left has to end by time. */

static void
world_ends(void)
{
    int                 i, n;
    uint32_t            b;
    ngx_cometa_key_t    key;
    ngx_cometa_place_t  place;

    for (n = 0; n < SETTLE; n++) {
        world_time_passes(50);
        world_turn();
    }

    for (i = 0; i < ncalls; i++) {
        check(!calls[i].open);
    }

    for (i = 0; i < nclients; i++) {
        check(clients[i].socket.fds == 0);
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        check(workers[i].parcels == 0);

        if (workers[i].alive) {
            world_enter(&workers[i]);
            worker_left_nothing();
        }
    }

    if (self) {
        for (i = 0; i < DEVICES; i++) {
            key_of(i, &key);
            check(ngx_cometa_registry_find_in(0, &key, &place) != NGX_OK);
        }

        for (b = 0; b < WORLD_SHARDS * WORLD_BUCKETS; b++) {
            check(world_buckets[b] == 0);
        }
    }

    check(world_interests[0] == 0 && world_interests[1] == 0);
}


static void
world_begin(void)
{
    int  i;

    if (world_fresh == NULL) {
        world_fresh = calloc(1, world_memory());
        world_save(world_fresh);

        for (i = 0; i < WORLD_SLOTS; i++) {
            workers[i].memory = calloc(1, world_memory());
        }
    }

    memset(clients, 0, sizeof(clients));
    memset(calls, 0, sizeof(calls));
    memset(&world_head, 0, sizeof(world_head));
    memset(world_slots, 0, sizeof(world_slots));
    memset(world_interests, 0, sizeof(world_interests));
    memset(&world_counters, 0, sizeof(world_counters));
    memset(world_shards, 0, sizeof(world_shards));
    memset(world_buckets, 0, sizeof(world_buckets));
    memset(world_records, 0, sizeof(world_records));

    nclients = 0;
    ncalls = 0;
    world_lacked = 0;
    self = NULL;
    world_ms = 1000;
    world_generation = 1;
    world_time_passes(0);

    world_head.slots = WORLD_SLOTS;
    world_head.apps = 1;
    world_head.napps = 1;
    world_head.words = 1;
    world_head.shards = WORLD_SHARDS;
    world_head.buckets = WORLD_BUCKETS;
    world_head.records = WORLD_RECORDS;
    world_head.ring_size = WORLD_RING;

    for (i = 0; i < WORLD_SLOTS; i++) {
        workers[i].dead = 0;
        workers[i].full = 0;
        cometa_ring_init(&world_slots[i].ring);
        world_slots[i].epoch = 1;
    }

    worker_start(2);
    worker_start(2);
}


int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    int       i;
    unsigned  what, how;

    input = in;
    input_end = in + len;

    world_begin();

    while (input_end - input >= 2) {
        what = byte();
        how = byte();

        switch (what % 4) {

        case 0:
            world_op(what / 4 % WORLD_OPS, how);
            break;

        case 1:
            if (nclients) {
                client_op(&clients[nclients - 1 - how % 4 % nclients],
                          what / 4 % CLIENT_OPS, how / 4);
            }

            break;

        default:
            worker_op(&workers[how % WORLD_SLOTS], what / 4 % WORKER_OPS,
                      how / WORLD_SLOTS + what / 64 * 43);
        }
    }

    world_settle();
    registry_is_right();
    world_ends();

    for (i = 0; i < WORLD_SLOTS; i++) {
        if (workers[i].alive) {
            world_end(&workers[i]);
            world_vacate(i);
        }
    }

    free(world_parcel);
    world_parcel = NULL;

    return 0;
}
