/*
 * The times of devices: who has gone silent and when, for devices that attached
 * here, that moved here, and that move on; chunks that are not completed;
 * intervals of their own, and pings.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)                                                 \
    ((ev)->timer.key = ngx_current_msec + (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)  ((ev)->timer_set = 0)

#include "ngx_cometa_life.c"
#include "ngx_cometa_device_time.c"
#include "tap.h"


#define TIMEOUT  1500
#define BODY     500
#define MANY     5000

static ngx_log_t                 process;
static ngx_cycle_t               cycle = { .log = &process };
volatile ngx_cycle_t            *ngx_cycle = &cycle;
volatile ngx_msec_t              ngx_current_msec;
ngx_cometa_zone_t                ngx_cometa_zone;

static ngx_cometa_counters_t     counters;
static ngx_cometa_device_conf_t  conf;
static ngx_connection_t          connection;
static ngx_cometa_device_t       devices[MANY];
static int                       expired, last;
static ngx_uint_t                why;
static int                       pinged;

#define LIVES  16

static ngx_cometa_life_t         memory[LIVES];
static int                       lives, no_memory;
static ngx_cometa_asked_t        asked[4];


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    return &counters;
}


void
ngx_cometa_device_log(ngx_cometa_device_t *dev)
{
    /* void */
}


static void
on_expire(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    expired++;
    last = dev - devices;
    why = reason;

    ngx_cometa_device_time_leave(dev);
    ngx_queue_init(&dev->life);

    if (dev->unread) {
        ngx_queue_remove(&dev->unread->link);
    }
}


static void
on_ping(ngx_cometa_device_t *dev)
{
    pinged++;
    last = dev - devices;
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return (no_memory || lives == LIVES)
           ? NULL : memset(&memory[lives++], 0, size);
}


/* From this moment on, with no device. */

static void
begin(ngx_msec_t now)
{
    int  i;

    ngx_current_msec = now;

    memset(&conf, 0, sizeof(conf));
    memset(devices, 0, sizeof(devices));
    conf.life.heartbeat = 1000;
    conf.life.timeout = TIMEOUT;
    conf.body_timeout = BODY;
    ngx_cometa_device_time_init(&conf, &process);

    for (i = 0; i < MANY; i++) {
        devices[i].conf = &conf;
        devices[i].connection = &connection;
    }

    expired = 0;
    pinged = 0;
    lives = 0;
}


/* A device that was heard of so long ago. */

static void
arrives(int i, uint32_t ms)
{
    devices[i].state.alive = (uint32_t) ngx_current_msec - ms;
    ngx_cometa_device_time_arrive(&devices[i]);
}


/* Time passes as nginx lets it: the timer is called when it is due. */

static void
passes(ngx_msec_t ms)
{
    ngx_msec_t          until;
    ngx_event_t        *next;
    ngx_cometa_life_t  *life;

    until = ngx_current_msec + ms;

    for ( ;; ) {
        next = NULL;

        for (life = &conf.life; life; life = life->next) {
            if (life->timer.timer_set
                && (ngx_msec_int_t) (life->timer.timer.key - until) <= 0
                && (next == NULL
                    || (ngx_msec_int_t) (life->timer.timer.key
                                         - next->timer.key) < 0))
            {
                next = &life->timer;
            }
        }

        if (next == NULL) {
            break;
        }

        ngx_current_msec = next->timer.key;
        next->timer_set = 0;
        next->handler(next);
    }

    ngx_current_msec = until;
}


/* One of so many seconds, over a WebSocket or not. */

static void
asks(int i, ngx_msec_t heartbeat, ngx_uint_t frames)
{
    memset(&asked[i], 0, sizeof(asked[i]));
    asked[i].life = ngx_cometa_life_get(&conf, heartbeat, frames);
    devices[i].asked = &asked[i];
}


static void
test_attached(ngx_msec_t now, const char *when)
{
    begin(now);

    ngx_cometa_device_time_enter(&devices[0]);
    passes(1000);
    ngx_cometa_device_time_enter(&devices[1]);
    passes(400);
    ngx_cometa_device_time_hear(&devices[0]);

    passes(TIMEOUT - 401);
    ok(expired == 0, "%s: nobody is silent for long", when);
    passes(1);
    ok(expired == 1 && last == 1 && why == NGX_COMETA_HEARTBEAT_TIMEOUT,
       "%s: the one that was not heard of goes", when);
    passes(400);
    ok(expired == 2 && last == 0 && !conf.life.timer.timer_set,
       "%s: then the other one, and the timer", when);
}


static void
test_moved(ngx_msec_t now, const char *when)
{
    int  at;

    begin(now);

    arrives(0, 1000);
    arrives(1, 200);
    arrives(2, 1200);
    ngx_cometa_device_time_enter(&devices[3]);

    /* they are looked at now and then */

    passes(300 - 1);
    ok(expired == 0, "%s: those that moved have their old time", when);

    passes(NGX_COMETA_DEVICE_LOOK + 1);
    ok(expired >= 1 && why == NGX_COMETA_HEARTBEAT_TIMEOUT,
       "%s: which counts on", when);

    ngx_cometa_device_time_hear(&devices[1]);
    at = expired;
    passes(200 + NGX_COMETA_DEVICE_LOOK);
    ok(at == 1 && expired == 2 && last == 0, "%s: one after the other", when);
    ok(ngx_queue_empty(&conf.life.arrived)
       && !ngx_queue_empty(&conf.life.heard),
       "%s: who is heard of stands with those who attached here", when);

    passes(TIMEOUT);
    ok(expired == 4 && !conf.life.timer.timer_set, "%s: at last all go", when);
}


static void
test_overdue(void)
{
    begin(100000);

    ngx_cometa_device_time_enter(&devices[1]);
    arrives(0, TIMEOUT + 100);
    ok(conf.life.timer.timer_set
       && conf.life.timer.timer.key == ngx_current_msec + 1,
       "one whose time was over on the way is looked at next");
    passes(1);
    ok(expired == 1 && last == 0, "and goes");
    passes(TIMEOUT);

    /* of a clock that is a little ahead */

    begin(100000);
    arrives(0, (uint32_t) -5);
    ok(conf.life.timer.timer.key == ngx_current_msec + NGX_COMETA_DEVICE_LOOK,
       "one that was heard of just now elsewhere is not looked at next");
    arrives(1, TIMEOUT + 100);
    passes(1);
    ok(expired == 1 && last == 1, "and does not go with one that is overdue");
    passes(TIMEOUT + 3);
    ok(expired == 1, "nor later");
    passes(1 + NGX_COMETA_DEVICE_LOOK);
    ok(expired == 2 && last == 0, "but in its time");
}


static void
test_leaves(void)
{
    begin(100000);

    arrives(0, 100);
    arrives(1, 200);
    ngx_cometa_device_time_enter(&devices[2]);

    ngx_cometa_device_time_leave(&devices[0]);
    ngx_queue_init(&devices[0].life);
    ok(conf.life.timer.timer_set, "one moves on, and the timer stays");

    ngx_cometa_device_time_leave(&devices[2]);
    ngx_queue_init(&devices[2].life);
    ok(conf.life.timer.timer_set && !ngx_queue_empty(&conf.life.arrived),
       "also when all have that attached here");

    ngx_cometa_device_time_leave(&devices[1]);
    ngx_queue_init(&devices[1].life);
    ok(!conf.life.timer.timer_set, "but not when nobody is left");

    arrives(0, 100);
    ngx_cometa_device_time_enter(&devices[1]);
    ngx_cometa_device_time_leave(&devices[0]);
    ngx_queue_init(&devices[0].life);
    ok(conf.life.timer.timer_set && !ngx_queue_empty(&conf.life.heard),
       "nor is one forgotten that attached here when all others move on");
    ngx_cometa_device_time_leave(&devices[1]);
    ngx_queue_init(&devices[1].life);

    /* no time passes while it is offered, and it comes back with its old one */

    passes(1000);
    ngx_cometa_device_time_leave(&devices[0]);
    ngx_cometa_device_time_arrive(&devices[0]);
    passes(TIMEOUT - 1100 - 1);
    ok(expired == 0, "one that comes back");
    passes(1 + NGX_COMETA_DEVICE_LOOK);
    ok(expired == 1 && last == 0, "has the time that it had");

    ngx_cometa_device_time_leave(&devices[4]);
    ok(1, "one that never entered may leave");
}


static void
test_many(void)
{
    int  i;

    begin(100000);

    for (i = 0; i < MANY; i++) {
        arrives(i, (i < MANY - 300) ? 0 : 1000);
    }

    conf.life.timer.timer_set = 0;
    ngx_current_msec += 600;
    conf.life.timer.handler(&conf.life.timer);
    ok(expired == 0 && MANY > NGX_COMETA_DEVICE_ARRIVED,
       "a part of those that moved is looked at in one go");

    conf.life.timer.timer_set = 0;
    conf.life.timer.handler(&conf.life.timer);
    ok(expired == NGX_COMETA_DEVICE_EXPIRE, "and so many are closed");

    passes(2 * NGX_COMETA_DEVICE_LOOK);
    ok(expired == 300, "the others in their turn");
}


/* Which of them is the first one afterwards tells how many were looked at. */

static void
test_few(void)
{
    int  i;

    begin(100000);

    for (i = 0; i < 3; i++) {
        arrives(i, 0);
    }

    passes(NGX_COMETA_DEVICE_LOOK);
    ok(expired == 0 && ngx_queue_head(&conf.life.arrived) == &devices[0].life,
       "each of a few is looked at once");
}


static void
test_many_here(void)
{
    int  i;

    begin(100000);

    for (i = 0; i < 300; i++) {
        ngx_cometa_device_time_enter(&devices[i]);
    }

    passes(TIMEOUT);
    ok(expired == NGX_COMETA_DEVICE_EXPIRE
       && last == NGX_COMETA_DEVICE_EXPIRE - 1,
       "so many that attached here are closed in one go");
    ok(conf.life.timer.timer_set
       && conf.life.timer.timer.key == ngx_current_msec + 1,
       "the others as soon as others had their turn");
    passes(1);
    ok(expired == 300 && !conf.life.timer.timer_set, "then nobody is left");
}


/* A chunk begins long before its device would be closed for its silence. */

static void
test_begun_here(void)
{
    ngx_msec_t           key;
    ngx_cometa_unread_t  unread;

    begin(100000);
    counters.errors = 0;

    ngx_cometa_device_time_enter(&devices[0]);
    passes(100);
    key = conf.life.timer.timer.key;
    ngx_cometa_device_time_enter(&devices[1]);
    ok(conf.life.timer.timer.key == key,
       "what is due later leaves the timer alone");

    memset(&unread, 0, sizeof(unread));
    unread.device = &devices[1];
    unread.begun = 1;
    unread.since = (uint32_t) ngx_current_msec;
    devices[1].unread = &unread;
    ngx_queue_insert_tail(&conf.life.partial, &unread.link);
    ngx_cometa_device_time_arm(&devices[1]);
    ok(conf.life.timer.timer.key == ngx_current_msec + BODY,
       "a chunk that is due before moves it");

    passes(BODY);
    ok(expired == 1 && last == 1 && why == NGX_COMETA_PROTOCOL_ERROR,
       "its device goes");
    ok(conf.life.timer.timer.key == key,
       "and the timer is the other one's again");
    passes(TIMEOUT);
}


static void
test_incomplete(ngx_msec_t now, const char *when)
{
    ngx_cometa_unread_t  unread;

    begin(now);
    counters.errors = 0;

    memset(&unread, 0, sizeof(unread));
    unread.device = &devices[0];
    unread.begun = 1;
    unread.since = (uint32_t) ngx_current_msec - 200;
    devices[0].unread = &unread;

    /* it has begun its chunk at another worker */

    arrives(0, 200);
    ngx_queue_insert_tail(&conf.life.partial, &unread.link);
    ngx_cometa_device_time_arm(&devices[0]);

    /* by a clock that was ahead, as far as we can tell */

    unread.since = (uint32_t) ngx_current_msec + 5;
    conf.life.timer.handler(&conf.life.timer);
    ok(expired == 0, "%s: a chunk of just now stays", when);
    unread.since = (uint32_t) ngx_current_msec - 200;
    ngx_cometa_device_time_arm(&devices[0]);

    passes(BODY - 200 - 1);
    ok(expired == 0, "%s: a chunk has its old time", when);
    passes(1);
    ok(expired == 1 && why == NGX_COMETA_PROTOCOL_ERROR
       && counters.errors == 1, "%s: which counts on", when);
}


static void
test_intervals(void)
{
    begin(100000);

    ok(ngx_cometa_life_get(&conf, 0, 0) == &conf.life
       && ngx_cometa_life_get(&conf, 1, 0) == &conf.life
       && lives == 0, "the interval of the location has its queues");

    asks(0, 2, 0);
    asks(1, 10, 0);
    asks(2, 2, 0);
    ok(lives == 2 && asked[0].life == asked[2].life
       && asked[1].life->timeout == 10 * TIMEOUT,
       "each other one has its own, and its timeout in the same ratio");

    no_memory = 1;
    ok(ngx_cometa_life_get(&conf, 3, 0) == NULL, "no memory for one");
    no_memory = 0;

    ngx_cometa_device_time_enter(&devices[1]);
    ngx_cometa_device_time_enter(&devices[0]);
    ngx_cometa_device_time_enter(&devices[3]);
    ngx_cometa_device_time_enter(&devices[2]);

    passes(TIMEOUT - 1);
    ok(expired == 0, "nobody is silent for long");
    passes(1);
    ok(expired == 1 && last == 3, "the one at the location's interval goes");
    passes(500);
    ngx_cometa_device_time_hear(&devices[0]);
    passes(TIMEOUT - 500 - 1);
    ok(expired == 1, "two intervals");
    passes(1);
    ok(expired == 2 && last == 2, "then the one at two, of two such ones");
    passes(TIMEOUT + 500 - 1);
    ok(expired == 2, "the other one");
    passes(1);
    ok(expired == 3 && last == 0 && !asked[0].life->timer.timer_set,
       "later, as it was heard of");
    passes(8 * TIMEOUT);
    ok(expired == 4 && last == 1 && !asked[1].life->timer.timer_set,
       "and the one at ten, which came first, last");

    conf.life.timeout = NGX_COMETA_LIFE_LONGEST;
    asks(0, 86400, 0);
    ok(asked[0].life->timeout == NGX_COMETA_LIFE_LONGEST,
       "no timeout is longer than its 32 bits can say");
}


static void
test_pings(ngx_msec_t now, const char *when)
{
    ngx_msec_t  ping;

    ping = TIMEOUT - TIMEOUT / 6;

    begin(now);

    asks(0, 0, 1);
    asks(1, 0, 1);
    ok(asked[0].life != &conf.life && asked[0].life->timeout == TIMEOUT,
       "%s: those over WebSockets have their own queues", when);

    ngx_cometa_device_time_enter(&devices[0]);
    passes(100);
    ngx_cometa_device_time_enter(&devices[1]);

    passes(ping - 100 - 1);
    ok(pinged == 0, "%s: no ping while there is time", when);
    passes(1);
    ok(pinged == 1 && last == 0 && expired == 0, "%s: a ping", when);
    ngx_cometa_device_time_hear(&devices[0]);
    passes(100);
    ok(pinged == 2 && last == 1, "%s: each gets one", when);
    passes(TIMEOUT - ping - 1);
    ok(pinged == 2 && expired == 0, "%s: and no second one", when);
    passes(1);
    ok(expired == 1 && last == 1 && why == NGX_COMETA_HEARTBEAT_TIMEOUT,
       "%s: who does not answer goes", when);
    ngx_cometa_device_time_hear(&devices[0]);
    passes(ping);
    ok(pinged == 3 && last == 0, "%s: who does gets another one", when);
    passes(TIMEOUT - ping);
    ok(expired == 2 && !asked[0].life->timer.timer_set,
       "%s: and goes when it is silent at last", when);

    /* from another worker */

    begin(now);
    asks(0, 0, 1);
    asks(1, 0, 1);
    arrives(0, ping - 100);
    arrives(1, ping + 10);
    passes(NGX_COMETA_DEVICE_LOOK);
    ok(pinged == 2 && expired == 0, "%s: those that moved get one", when);
    ngx_cometa_device_time_hear(&devices[0]);
    passes(NGX_COMETA_DEVICE_LOOK);
    ok(pinged == 2 && expired == 1 && last == 1,
       "%s: one, and go if they do not answer", when);
    ngx_cometa_device_time_leave(&devices[0]);
    ok(!asked[0].life->timer.timer_set, "%s: one leaves", when);

    begin(now);
    asks(0, 0, 1);
    ngx_cometa_device_time_enter(&devices[0]);
    passes(ping);
    ngx_cometa_device_time_leave(&devices[0]);
    ok(pinged && !asked[0].life->timer.timer_set, "%s: after a ping", when);
}


int
main(void)
{
    connection.log = &process;
    ngx_cometa_device_time_start(on_expire, on_ping);

    test_attached(100000, "attached");
    test_attached(0xffffffff - 900, "attached, the clock wraps");
    test_moved(100000, "moved");
    test_moved(0xffffffff - 300, "moved, the clock wraps");
    test_overdue();
    test_leaves();
    test_many();
    test_few();
    test_many_here();
    test_begun_here();
    test_intervals();
    test_pings(100000, "WebSocket");
    test_pings(0xffffffff - 900, "WebSocket, the clock wraps");
    test_incomplete(100000, "begun elsewhere");
    test_incomplete(0xffffffff - 100, "begun elsewhere, the clock wraps");
    test_incomplete(0x200001000, "begun elsewhere, it has wrapped");

    return done_testing();
}
