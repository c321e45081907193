/*
 * Devices that arrive: parcels that are cut off or whose lengths are wrong,
 * what is not to be had, and that all parts of a parcel come where they belong.
 */

#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#define _NGX_COMETA_COMPAT_H_INCLUDED_

#include "ngx_cometa_bytes.c"
#include "ngx_cometa_arrive.c"
#include "ngx_cometa_asked.c"
#include "ngx_cometa_parcel.c"
#include "tap.h"


static ngx_log_t                  process;
static ngx_cycle_t                cycle = { .log = &process };
volatile ngx_cycle_t             *ngx_cycle = &cycle;
volatile ngx_msec_t               ngx_current_msec = 5000;
ngx_uint_t                        ngx_exiting;
ngx_cometa_zone_t                 ngx_cometa_zone = { .slot = 1, .epoch = 7 };

static ngx_cometa_head_t          head = { .apps = 1 };
static ngx_cometa_gauges_t        gauges[2];
static ngx_cometa_device_conf_t   conf = { .id = 100 };
static ngx_cometa_device_conf_t  *confs[] = { &conf };

static ngx_connection_t           connection;
static ngx_cometa_device_t        device;       /* there is one at a time */
static ngx_cometa_card_t         *card;
static int                        closed;       /* descriptors */
static int                        answers, continued;
static ngx_cometa_mail_arrived_t  answer;       /* the last one */
static int                        no_memory;    /* the n-th allocation fails */
static int                        dead;         /* the old worker */
static int                        elsewhere;    /* its record is */
static int                        queues;
static int                        calls_right;
static ngx_cometa_life_t          life;


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return (no_memory && --no_memory == 0) ? NULL : malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = ngx_alloc(size, log);

    return p ? memset(p, 0, size) : NULL;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    return !dead;
}


ngx_cometa_device_t *
ngx_cometa_device_create(ngx_cometa_device_conf_t *c)
{
    if (no_memory && --no_memory == 0) {
        return NULL;
    }

    memset(&device, 0, sizeof(device));
    device.used = 1;
    device.handle = 9;
    device.conf = c;

    return &device;
}


ngx_cometa_device_t *
ngx_cometa_device_get(uint32_t handle, uint64_t session)
{
    return (device.used && handle == 9 && device.state.session == session)
           ? &device : NULL;
}


ngx_int_t
ngx_cometa_device_info(ngx_cometa_device_t *dev, ngx_str_t *info)
{
    if (info->len == 0) {
        return NGX_OK;
    }

    card = ngx_calloc(sizeof(ngx_cometa_card_t) + info->len, NULL);
    if (card == NULL) {
        return NGX_ERROR;
    }

    card->len = info->len;
    memcpy(card->info, info->data, info->len);
    dev->card = card;

    return NGX_OK;
}


void
ngx_cometa_device_forget(ngx_cometa_device_t *dev)
{
    if (dev->unread) {
        free(dev->unread->data);
        free(dev->unread->rest);
        free(dev->unread);
    }

    free(dev->unsent);
    free(dev->card);
    ngx_cometa_asked_free(dev);
    dev->used = 0;
}


ngx_cometa_life_t *
ngx_cometa_life_get(ngx_cometa_device_conf_t *c, ngx_msec_t heartbeat,
    ngx_uint_t frames)
{
    if (heartbeat != 300 || !frames) {
        return NULL;
    }

    return &life;
}


void
ngx_cometa_device_continue(ngx_cometa_device_t *dev)
{
    continued++;
}


void
ngx_cometa_device_log(ngx_cometa_device_t *dev)
{
    /* void */
}


/* Written calls behind the first one: a letter for each. */

size_t
ngx_cometa_queue_more(ngx_cometa_queue_state_t *state)
{
    return state->busy ? state->busy - 1 : 0;
}


u_char *
ngx_cometa_queue_pack(ngx_cometa_device_t *dev, u_char *p)
{
    return ngx_cpymem(p, "CALLS", 5);
}


ngx_int_t
ngx_cometa_queue_arrive(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state, u_char *more)
{
    if (no_memory && --no_memory == 0) {
        return NGX_ERROR;
    }

    calls_right = (state->busy == 6 && memcmp(more, "CALLS", 5) == 0);
    queues++;

    return NGX_OK;
}


void
ngx_cometa_queue_drop(ngx_cometa_device_t *dev)
{
    queues--;
}


ngx_int_t
ngx_cometa_registry_move(uint32_t record, uint64_t session, uint32_t slot,
    uint32_t epoch, uint32_t handle)
{
    return elsewhere ? NGX_DECLINED : NGX_OK;
}


void
ngx_cometa_registry_name(uint32_t record, ngx_str_t *app, ngx_str_t *id)
{
    /* void */
}


ngx_uint_t
ngx_cometa_interest_any(uint64_t hash)
{
    return 0;
}


void
ngx_cometa_owner_head(ngx_cometa_device_t *dev, ngx_cometa_mail_head_t *from)
{
    /* void */
}


void
ngx_cometa_mail_online(ngx_cometa_key_t *key, ngx_cometa_mail_head_t *from)
{
    /* void */
}


void
ngx_cometa_fdpass_left(ngx_connection_t *c)
{
    closed++;
}


void
ngx_cometa_mail_arrived(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    ngx_cometa_mail_arrived_t *mail)
{
    answers++;
    answer = *mail;
}


/* The parcel of a device that has all parts, as its old worker packs it. */

static u_char *
pack(ngx_cometa_device_parcel_t *parcel, size_t *len)
{
    u_char               *data;
    ngx_cometa_device_t   old;
    ngx_cometa_unread_t   unread;

    static u_char               unsent[sizeof(ngx_cometa_unsent_t) + 8];
    static u_char               info[sizeof(ngx_cometa_card_t) + 8];
    static u_char               ping[sizeof(ngx_cometa_bytes_t) + 8];
    static u_char               pong[sizeof(ngx_cometa_bytes_t) + 8];
    static ngx_cometa_asked_t   asked = { .terms = { .pipeline = 16,
                                                     .frames = 1,
                                                     .heartbeat = 300,
                                                     .requests = 1 },
                                          .codec = { .rest = 8 },
                                          .echoes = 3 };

    memset(parcel, 0, sizeof(ngx_cometa_device_parcel_t));
    memset(&old, 0, sizeof(old));
    memset(&unread, 0, sizeof(unread));

    old.card = (ngx_cometa_card_t *) info;
    old.card->len = 7;
    memcpy(old.card->info, "an info", 7);

    old.asked = &asked;
    asked.ping = (ngx_cometa_bytes_t *) ping;
    asked.ping->len = 2;
    memcpy(asked.ping->data, "pi", 2);
    asked.pong = (ngx_cometa_bytes_t *) pong;
    asked.pong->len = 3;
    memcpy(asked.pong->data, "pon", 3);

    old.unread = &unread;
    unread.begun = 1;
    unread.since = 4000;
    unread.data = (u_char *) "half a";
    unread.len = 6;
    unread.size = 9;
    unread.rest = (u_char *) "rest";
    unread.rest_len = 4;

    old.unsent = (ngx_cometa_unsent_t *) unsent;
    old.unsent->pos = 3;
    old.unsent->len = 8;
    memcpy(old.unsent->data, "abcunsent", 8);

    parcel->kind = NGX_COMETA_PARCEL_DEVICE;
    parcel->epoch = 7;
    parcel->from_slot = 0;
    parcel->from_epoch = 3;
    parcel->handle = 4;
    parcel->index = 5;
    parcel->location = 100;
    parcel->state.session = 77;
    parcel->queue.busy = 6;

    data = ngx_cometa_parcel_pack(&old, parcel, len);

    return data;
}


/* Only the first `len` bytes, so that whoever reads on is caught. */

static void
arrive(ngx_cometa_device_parcel_t *parcel, u_char *data, size_t len,
    ngx_uint_t none)
{
    u_char  *copy;

    closed = 0;
    answers = 0;
    continued = 0;
    queues = 0;
    device.used = 0;
    memset(&answer, 0, sizeof(answer));

    copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    memcpy(copy, parcel, ngx_min(len, sizeof(ngx_cometa_device_parcel_t)));

    (void) ngx_cometa_arrive(none ? NULL : &connection, copy, len);

    free(copy);
}


static int
nothing_left(void)
{
    return !device.used && queues == 0 && continued == 0
           && gauges[1].holds == 0;
}


static int
refused(ngx_uint_t rc)
{
    return closed == 1 && answers == 1 && answer.rc == rc && nothing_left();
}


static void
test_malformed(void)
{
    size_t                       i, n, len, right;
    u_char                      *data;
    ngx_cometa_device_parcel_t   parcel, bad;

    static const size_t   fields[] = {
        offsetof(ngx_cometa_device_parcel_t, info),
        offsetof(ngx_cometa_device_parcel_t, asked),
        offsetof(ngx_cometa_device_parcel_t, unread),
        offsetof(ngx_cometa_device_parcel_t, rest),
        offsetof(ngx_cometa_device_parcel_t, unsent),
        offsetof(ngx_cometa_device_parcel_t, epoch)
    };
    static const int32_t  more[] = { 1, -1, 300, -300, 0x7fff, 0x40000000,
                                     INT32_MIN };

    data = pack(&parcel, &len);
    ok(data && len == sizeof(ngx_cometa_device_parcel_t)
                      + sizeof(ngx_cometa_asked_parcel_t) + 2 + 3
                      + 7 + 5 + 6 + 4 + 5,
       "a parcel is packed");

    for (n = 0, right = 0; n < len; n++) {
        arrive(&parcel, data, n, 0);
        right += (closed == 1 && answers == 0 && nothing_left());
    }

    ok(right == len, "cut off at each of %u bytes: closed, no answer",
       (unsigned) len);

    right = 0;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        for (n = 0; n < sizeof(more) / sizeof(more[0]); n++) {
            bad = parcel;
            *(uint32_t *) ((u_char *) &bad + fields[i]) += more[n];

            arrive(&bad, data, len, 0);
            right += (closed == 1 && answers == 0 && nothing_left());
        }
    }

    ok(right == i * n, "each length and the epoch wrong: the same");

    /* sums that come out right if they are of 32 bits */

    bad = parcel;
    bad.unread += 0x80000000;
    bad.unsent += 0x80000000;
    arrive(&bad, data, len, 0);
    ok(closed == 1 && answers == 0 && nothing_left(),
       "two lengths that overflow together: the same");

    /* all of it is there */

    bad = parcel;
    bad.info = NGX_COMETA_INFO_MAX + 1;
    bad.asked = 0;
    bad.unread = 0;
    bad.rest = 0;
    bad.unsent = 0;
    arrive(&bad, ngx_cometa_parcel_buffer,
           sizeof(bad) + NGX_COMETA_INFO_MAX + 1 + 5, 0);
    ok(closed == 1 && answers == 0 && nothing_left(),
       "an info that is too long: the same");
}


static void
test_calls_malformed(void)
{
    size_t                       len;
    u_char                      *data;
    ngx_cometa_device_parcel_t   parcel, bad;

    data = pack(&parcel, &len);

    bad = parcel;
    bad.queue.busy = 5;
    arrive(&bad, data, len, 0);
    ok(closed == 1 && answers == 0 && nothing_left(),
       "a wrong number of written calls: the same");

    bad = parcel;
    bad.queue.busy = NGX_COMETA_PIPELINE_MAX + 1;
    arrive(&bad, ngx_cometa_parcel_buffer, len + bad.queue.busy - 6, 0);
    ok(closed == 1 && answers == 0 && nothing_left(),
       "more written calls than any device has: the same");
}


static void
test_refused(void)
{
    size_t                       n, len, right;
    u_char                      *data;
    ngx_cometa_device_parcel_t   parcel, bad;

    data = pack(&parcel, &len);

    bad = parcel;
    bad.location++;
    arrive(&bad, data, len, 0);
    ok(refused(NGX_COMETA_ARRIVE_NEVER), "a location that is not there");

    arrive(&parcel, data, len, 1);
    ok(closed == 0 && answers == 1 && answer.rc == NGX_COMETA_ARRIVE_LATER
       && nothing_left(), "no connection is left for it");

    ngx_exiting = 1;
    arrive(&parcel, data, len, 0);
    ok(refused(NGX_COMETA_ARRIVE_LATER), "a worker that leaves itself");
    ngx_exiting = 0;

    dead = 1;
    arrive(&parcel, data, len, 0);
    ok(refused(NGX_COMETA_ARRIVE_LATER), "the old worker has died");
    dead = 0;

    elsewhere = 1;
    arrive(&parcel, data, len, 0);
    ok(refused(NGX_COMETA_ARRIVE_LATER), "its record has left the old worker");
    elsewhere = 0;

    for (n = 1, right = 0; n < 20; n++) {
        no_memory = n;
        arrive(&parcel, data, len, 0);

        if (answer.rc == NGX_COMETA_ARRIVED) {
            break;
        }

        right += refused(NGX_COMETA_ARRIVE_LATER);
    }

    no_memory = 0;
    ok(n > 6 && right == n - 1, "no memory, %u times", (unsigned) n - 1);
    ngx_cometa_device_forget(&device);
}


static void
test_taken(void)
{
    size_t                       len;
    u_char                      *data;
    ngx_cometa_device_parcel_t   parcel;

    data = pack(&parcel, &len);
    arrive(&parcel, data, len, 0);

    ok(answer.rc == NGX_COMETA_ARRIVED && closed == 0 && continued == 1
       && answer.handle == 9 && answer.slot == 1 && answer.epoch == 7
       && answer.index == 5 && answer.head.handle == 4
       && answer.head.session == 77, "a device is taken, and its sender told");
    ok(device.connection == &connection && device.state.session == 77,
       "it has its connection and its session");
    ok(device.card && device.card->len == 7
       && memcmp(device.card->info, "an info", 7) == 0, "its info");
    ok(device.asked && device.asked->terms.pipeline == 16
       && device.asked->terms.requests == 1 && device.frames
       && device.asked->life == &life && device.asked->echoes == 3,
       "what it was granted");
    ok(device.asked->codec.rest == 8
       && device.asked->ping->len == 2 && device.asked->pong->len == 3
       && memcmp(device.asked->ping->data, "pi", 2) == 0
       && memcmp(device.asked->pong->data, "pon", 3) == 0,
       "and the frame that it was in");
    ok(calls_right, "the calls that were written to it");
    ok(device.unread && device.unread->begun && device.unread->since == 4000
       && device.unread->len == 6
       && memcmp(device.unread->data, "half a", 6) == 0
       && device.unread->rest_len == 4
       && memcmp(device.unread->rest, "rest", 4) == 0,
       "what was read of it");
    ok(device.unsent && device.unsent->pos == 0 && device.unsent->len == 5
       && memcmp(device.unsent->data, "unsent", 5) == 0,
       "and what it has not taken");

    ngx_cometa_device_forget(&device);
}


int
main(void)
{
    ngx_cometa_zone.head = &head;
    ngx_cometa_zone.gauges = gauges;
    ngx_cometa_arrive_start(confs, 1);

    test_malformed();
    test_calls_malformed();
    test_refused();
    test_taken();

    free(ngx_cometa_parcel_buffer);

    return done_testing();
}
