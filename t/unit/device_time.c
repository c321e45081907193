/*
 * The times of devices: who has gone silent and when, for devices that attached
 * here, that moved here, and that move on; and chunks that are not completed.
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


/* From this moment on, with no device. */

static void
begin(ngx_msec_t now)
{
    int  i;

    ngx_current_msec = now;

    memset(&conf, 0, sizeof(conf));
    memset(devices, 0, sizeof(devices));
    conf.timeout = TIMEOUT;
    conf.body_timeout = BODY;
    ngx_cometa_device_time_init(&conf, &process);

    for (i = 0; i < MANY; i++) {
        devices[i].conf = &conf;
        devices[i].connection = &connection;
    }

    expired = 0;
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
    ngx_msec_t  until;

    until = ngx_current_msec + ms;

    while (conf.timer.timer_set
           && (ngx_msec_int_t) (conf.timer.timer.key - until) <= 0)
    {
        ngx_current_msec = conf.timer.timer.key;
        conf.timer.timer_set = 0;
        conf.timer.handler(&conf.timer);
    }

    ngx_current_msec = until;
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
    ok(expired == 2 && last == 0 && !conf.timer.timer_set,
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
    ok(ngx_queue_empty(&conf.arrived) && !ngx_queue_empty(&conf.life),
       "%s: who is heard of stands with those who attached here", when);

    passes(TIMEOUT);
    ok(expired == 4 && !conf.timer.timer_set, "%s: at last all go", when);
}


static void
test_overdue(void)
{
    begin(100000);

    ngx_cometa_device_time_enter(&devices[1]);
    arrives(0, TIMEOUT + 100);
    ok(conf.timer.timer_set && conf.timer.timer.key == ngx_current_msec + 1,
       "one whose time was over on the way is looked at next");
    passes(1);
    ok(expired == 1 && last == 0, "and goes");
    passes(TIMEOUT);

    /* of a clock that is a little ahead */

    begin(100000);
    arrives(0, (uint32_t) -5);
    ok(conf.timer.timer.key == ngx_current_msec + NGX_COMETA_DEVICE_LOOK,
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
    ok(conf.timer.timer_set, "one moves on, and the timer stays");

    ngx_cometa_device_time_leave(&devices[2]);
    ngx_queue_init(&devices[2].life);
    ok(conf.timer.timer_set && !ngx_queue_empty(&conf.arrived),
       "also when all have that attached here");

    ngx_cometa_device_time_leave(&devices[1]);
    ngx_queue_init(&devices[1].life);
    ok(!conf.timer.timer_set, "but not when nobody is left");

    arrives(0, 100);
    ngx_cometa_device_time_enter(&devices[1]);
    ngx_cometa_device_time_leave(&devices[0]);
    ngx_queue_init(&devices[0].life);
    ok(conf.timer.timer_set && !ngx_queue_empty(&conf.life),
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

    conf.timer.timer_set = 0;
    ngx_current_msec += 600;
    conf.timer.handler(&conf.timer);
    ok(expired == 0 && MANY > NGX_COMETA_DEVICE_ARRIVED,
       "a part of those that moved is looked at in one go");

    conf.timer.timer_set = 0;
    conf.timer.handler(&conf.timer);
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
    ok(expired == 0 && ngx_queue_head(&conf.arrived) == &devices[0].life,
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
    ok(conf.timer.timer_set && conf.timer.timer.key == ngx_current_msec + 1,
       "the others as soon as others had their turn");
    passes(1);
    ok(expired == 300 && !conf.timer.timer_set, "then nobody is left");
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
    key = conf.timer.timer.key;
    ngx_cometa_device_time_enter(&devices[1]);
    ok(conf.timer.timer.key == key, "what is due later leaves the timer alone");

    memset(&unread, 0, sizeof(unread));
    unread.device = &devices[1];
    unread.begun = 1;
    unread.since = (uint32_t) ngx_current_msec;
    devices[1].unread = &unread;
    ngx_queue_insert_tail(&conf.partial, &unread.link);
    ngx_cometa_device_time_arm(&conf);
    ok(conf.timer.timer.key == ngx_current_msec + BODY,
       "a chunk that is due before moves it");

    passes(BODY);
    ok(expired == 1 && last == 1 && why == NGX_COMETA_PROTOCOL_ERROR,
       "its device goes");
    ok(conf.timer.timer.key == key, "and the timer is the other one's again");
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
    ngx_queue_insert_tail(&conf.partial, &unread.link);
    ngx_cometa_device_time_arm(&conf);

    /* by a clock that was ahead, as far as we can tell */

    unread.since = (uint32_t) ngx_current_msec + 5;
    conf.timer.handler(&conf.timer);
    ok(expired == 0, "%s: a chunk of just now stays", when);
    unread.since = (uint32_t) ngx_current_msec - 200;
    ngx_cometa_device_time_arm(&conf);

    passes(BODY - 200 - 1);
    ok(expired == 0, "%s: a chunk has its old time", when);
    passes(1);
    ok(expired == 1 && why == NGX_COMETA_PROTOCOL_ERROR
       && counters.errors == 1, "%s: which counts on", when);
}


int
main(void)
{
    connection.log = &process;
    ngx_cometa_device_time_start(on_expire);

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
    test_incomplete(100000, "begun elsewhere");
    test_incomplete(0xffffffff - 100, "begun elsewhere, the clock wraps");
    test_incomplete(0x200001000, "begun elsewhere, it has wrapped");

    return done_testing();
}
