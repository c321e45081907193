/*
 * What tests of the queue of calls share: stubs of the device and of mail that
 * say what is done to them, and the letters that come.
 */

#ifndef QUEUE_WORLD_H
#define QUEUE_WORLD_H


#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/* A timer is only noted. */

#undef ngx_add_timer
#undef ngx_del_timer

#define ngx_add_timer(ev, ms)  ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)      ((ev)->timer_set = 0)

#include "ngx_cometa_written.c"
#include "ngx_cometa_queue.c"
#include "ngx_cometa_queue_move.c"
#include "ngx_cometa_waiting.c"
#include "tap.h"


static ngx_log_t               process;
static ngx_cycle_t             cycle = { .log = &process };
volatile ngx_cycle_t          *ngx_cycle = &cycle;
volatile ngx_msec_t            ngx_current_msec = 5000;
ngx_cometa_zone_t              ngx_cometa_zone;

static ngx_cometa_head_t       head = { .apps = 1 };
static ngx_cometa_gauges_t     gauges;
static ngx_cometa_counters_t   counters;

static ngx_cometa_device_t     dev;
static ngx_connection_t        connection;
static u_char                  said[1024];  /* what was done, in words */
static size_t                  len;
static uint32_t                dead;        /* slot of a worker that died */
static int                     texts;       /* it takes texts only */


static void
say(const char *word, uint32_t call)
{
    len += sprintf((char *) said + len, "%s%s %u", len ? ", " : "", word,
                   call);
}


static int
was(const char *expected)
{
    int  same;

    said[len] = '\0';
    same = strcmp((char *) said, expected) == 0;

    if (!same) {
        diag("%s", said);
    }

    len = 0;

    return same;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


ngx_log_t *
ngx_cometa_trace_log(void)
{
    return &process;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    return calloc(1, size);
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    return &counters;
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    return slot != dead;
}


ngx_cometa_device_t *
ngx_cometa_device_get(uint32_t handle, uint64_t session)
{
    return (session == dev.state.session) ? &dev : NULL;
}


ngx_uint_t
ngx_cometa_asked_takes(ngx_cometa_device_t *d, u_char *message, size_t n)
{
    return !texts;
}


ngx_uint_t
ngx_cometa_device_writable(ngx_cometa_device_t *d)
{
    return d->connection != NULL;
}


/* A message is the number of its call. */

ngx_int_t
ngx_cometa_device_write(ngx_cometa_device_t *d, u_char *data, size_t n)
{
    if (d->connection == NULL) {
        return NGX_AGAIN;
    }

    ok(n == 1
       && data[0] == ngx_cometa_written_get(d->queue, d->queue->state.busy - 1)
                         ->ref.index,
       "the message is that of the call");
    say("writes", data[0]);

    return NGX_OK;
}


void
ngx_cometa_device_close(ngx_cometa_device_t *d, ngx_uint_t reason)
{
    say("closes", reason);
    ngx_cometa_queue_closed(d, reason);
}


void
ngx_cometa_owner_head(ngx_cometa_device_t *d, ngx_cometa_mail_head_t *from)
{
    from->session = d->state.session;
}


ngx_int_t
ngx_cometa_mail_written(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from)
{
    say("written", to->index);
    return NGX_OK;
}


void
ngx_cometa_mail_reply(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    uint64_t latency, u_char *data, size_t n)
{
    say("reply", to->index);
}


void
ngx_cometa_mail_fail(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    ngx_uint_t error)
{
    say(error == NGX_COMETA_MOVED ? "moved"
        : error == NGX_COMETA_DEVICE_BUSY ? "busy"
        : error == NGX_COMETA_TEXT_REQUIRED ? "no text" : "fails", to->index);
}


void
ngx_cometa_mail_cancel(ngx_cometa_place_t *to, ngx_cometa_ref_t *ref)
{
    say("cancel", ref->index);
}


void
ngx_cometa_mail_follow(ngx_cometa_ref_t *to, ngx_cometa_place_t *place)
{
    say("follow", to->index);
}


void
ngx_cometa_mail_queued(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from)
{
    say("queued", to->index);
}


/* A call that arrived at the server at that time, and ends at 6,000 ms. */

static void
call(uint32_t n, uint64_t time)
{
    u_char                  message = n;
    ngx_cometa_mail_call_t  mail;

    memset(&mail, 0, sizeof(mail));

    mail.head.session = dev.state.session;
    mail.ref.slot = 1 + (n & 1);
    mail.ref.index = n;
    mail.deadline = 6000;
    mail.time = time;
    mail.timeout = 300;
    mail.queue = 4;

    ngx_cometa_queue_call(&mail, &message, 1);
}


static void
cancel(uint32_t n)
{
    ngx_cometa_mail_cancel_t  mail;

    memset(&mail, 0, sizeof(mail));

    mail.head.session = dev.state.session;
    mail.ref.slot = 1 + (n & 1);
    mail.ref.index = n;

    ngx_cometa_queue_cancel(&mail);
}


static void
reply(void)
{
    u_char  data = 'r';

    if (ngx_cometa_queue_reply(&dev, &data, 1) == NGX_OK) {
        ngx_cometa_queue_next(&dev);
    }
}


static void
begin(void)
{
    memset(&dev, 0, sizeof(dev));
    memset(&gauges, 0, sizeof(gauges));

    dev.used = 1;
    dev.connection = &connection;
    dev.state.session = 7;
    ngx_current_msec = 5000;
    dead = 0;

    ngx_cometa_queue_start();
}


static void
end(const char *name)
{
    int                  pipes = 0;
    ngx_queue_t         *q;
    ngx_cometa_queue_t  *queue;

    while (!ngx_queue_empty(&ngx_cometa_queues_free)) {
        q = ngx_queue_head(&ngx_cometa_queues_free);
        ngx_queue_remove(q);

        queue = ngx_queue_data(q, ngx_cometa_queue_t, link);
        pipes += (queue->pipe != NULL);
        free(queue);
    }

    ok(dev.queue == NULL && gauges.queued == 0 && len == 0 && pipes == 0,
       "%s: nothing is left", name);
}


/* The timer of the queue. */

static void
time_is_over(void)
{
    dev.queue->timer.timer_set = 0;
    dev.queue->timer.handler(&dev.queue->timer);
}


/* At the start of a test program. */

static void
begin_all(void)
{
    ngx_cometa_zone.head = &head;
    ngx_cometa_zone.gauges = &gauges;
}


#endif /* QUEUE_WORLD_H */
