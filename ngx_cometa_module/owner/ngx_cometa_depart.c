
/*
 * Devices that depart. State of this process: the offers that are under way,
 * and how far the walk over the table of devices has come.
 */

#include "ngx_cometa_depart.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_device_time.h"
#include "ngx_cometa_parcel.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_webhook_queue.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_OFFERS        256    /* under way at a time */
#define NGX_COMETA_DEPART_SHARE  8      /* to one worker in a row */
#define NGX_COMETA_DEPART_WORKERS  1000 /* ms, for all new workers to come */
#define NGX_COMETA_DEPART_LOOK   4096   /* devices that a step looks at */
#define NGX_COMETA_DEPART_SPARE  5000   /* ms, for outstanding calls */
#define NGX_COMETA_DEPART_EVENTS 5000   /* ms that a webhook is waited for */


/* One that was offered. It may have been closed meanwhile. */

typedef struct {
    uint64_t              session;      /* 0: no offer */
    uint32_t              handle;
    uint32_t              slot;         /* of whom it was offered to */
    uint32_t              epoch;
} ngx_cometa_offer_t;


static ngx_uint_t ngx_cometa_depart_early(void);
static ngx_cometa_offer_t *ngx_cometa_offer_get(void);
static ngx_uint_t ngx_cometa_depart_can(ngx_cometa_device_t *dev);
static ngx_uint_t ngx_cometa_depart_waits(ngx_cometa_device_t *dev);
static ngx_int_t ngx_cometa_depart_offer(ngx_cometa_device_t *dev,
    uint32_t slot, uint32_t epoch);
static size_t ngx_cometa_depart_pack(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel);
static ngx_cometa_device_t *ngx_cometa_offer_device(ngx_cometa_offer_t *offer);
static void ngx_cometa_offer_end(ngx_cometa_offer_t *offer);
static ngx_int_t ngx_cometa_depart_uncount(ngx_cometa_device_t *dev);
static void ngx_cometa_depart_left(ngx_cometa_device_t *dev);


static ngx_cometa_offer_t  *ngx_cometa_offers;
static uint32_t            *ngx_cometa_offered;     /* by slot, under way */
static ngx_uint_t           ngx_cometa_offers_n;
static u_char              *ngx_cometa_depart_parcel;


ngx_int_t
ngx_cometa_depart_start(ngx_cycle_t *cycle)
{
    ngx_cometa_offers = ngx_pcalloc(cycle->pool, NGX_COMETA_OFFERS
                                                 * sizeof(ngx_cometa_offer_t));
    ngx_cometa_offered = ngx_pcalloc(cycle->pool, ngx_cometa_zone.head->slots
                                                  * sizeof(uint32_t));

    return (ngx_cometa_offers && ngx_cometa_offered) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_cometa_depart_step(void)
{
    static ngx_uint_t     place, moved;

    uint32_t              slot, epoch;
    ngx_int_t             rc;
    ngx_uint_t            n, looked;
    ngx_cometa_device_t  *dev;

    if (ngx_cometa_device_count() == 0) {
        return NGX_DONE;
    }

    if (ngx_cometa_depart_early()) {
        return NGX_AGAIN;
    }

    n = 0;
    slot = 0;
    epoch = 0;

    for (looked = 0; looked < NGX_COMETA_DEPART_LOOK; looked++) {

        if (n == NGX_COMETA_DEPART_BATCH) {
            return NGX_OK;
        }

        if (ngx_cometa_offers_n == NGX_COMETA_OFFERS) {
            return NGX_AGAIN;
        }

        if (n % NGX_COMETA_DEPART_SHARE == 0
            && ngx_cometa_fdpass_heir(ngx_cometa_offered, &slot, &epoch)
               != NGX_OK)
        {
            return NGX_AGAIN;
        }

        dev = ngx_cometa_device_next(&place);

        if (ngx_cometa_depart_can(dev)) {
            rc = ngx_cometa_depart_offer(dev, slot, epoch);

            if (rc == NGX_AGAIN) {
                /* others may fit still: this one is looked at once more */
                return NGX_AGAIN;
            }

            if (rc == NGX_OK) {
                moved = 1;
                n++;
            }
        }

        /* round once, and nothing could move: the others have to wait */

        if (place == 0) {

            if (!moved) {
                return NGX_DONE;
            }

            moved = 0;
        }
    }

    return NGX_OK;
}


/* New workers come one after the other; one that does not is not waited for. */

static ngx_uint_t
ngx_cometa_depart_early(void)
{
    static ngx_msec_t  since;

    if (since == 0) {
        since = ngx_current_msec;
    }

    return ngx_current_msec - since < NGX_COMETA_DEPART_WORKERS
           && !ngx_cometa_fdpass_complete();
}


static ngx_uint_t
ngx_cometa_depart_can(ngx_cometa_device_t *dev)
{
    if (!dev->used
        || dev->closing
        || dev->away
        || dev->connection == NULL
        || dev->conf->gone)
    {
        return 0;
    }

#if (NGX_SSL)
    /* the state of TLS is this process's own */
    if (dev->connection->ssl) {
        return 0;
    }
#endif

    return !ngx_cometa_depart_waits(dev);
}


/*
 * Its events are to reach the webhook in their order: those which this worker
 * holds go first. One that does not take them is not waited for.
 */

static ngx_uint_t
ngx_cometa_depart_waits(ngx_cometa_device_t *dev)
{
    static ngx_msec_t  since;

    if (dev->conf->webhook == NULL
        || !ngx_cometa_lane_exists(dev->conf->webhook, dev->state.hash))
    {
        return 0;
    }

    if (since == 0) {
        since = ngx_current_msec;
    }

    return ngx_current_msec - since < NGX_COMETA_DEPART_EVENTS;
}


/* NGX_DECLINED: it stays for now, others may go. */

static ngx_int_t
ngx_cometa_depart_offer(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch)
{
    size_t                       len;
    ngx_int_t                    rc;
    ngx_cometa_offer_t          *offer;
    ngx_cometa_device_parcel_t   parcel;

    offer = ngx_cometa_offer_get();

    ngx_memzero(&parcel, sizeof(ngx_cometa_device_parcel_t));

    parcel.kind = NGX_COMETA_PARCEL_DEVICE;
    parcel.epoch = epoch;
    parcel.from_slot = ngx_cometa_zone.slot;
    parcel.from_epoch = ngx_cometa_zone.epoch;
    parcel.handle = dev->handle;
    parcel.index = offer - ngx_cometa_offers;
    parcel.location = dev->conf->id;
    parcel.state = dev->state;

    ngx_cometa_queue_pause(dev, &parcel.queue);

    len = ngx_cometa_depart_pack(dev, &parcel);

    rc = len ? ngx_cometa_fdpass_offer(slot, epoch, dev->connection,
                                       ngx_cometa_depart_parcel, len)
             : NGX_DECLINED;

    if (rc != NGX_OK) {
        ngx_cometa_queue_resume(dev);
        return rc;
    }

    offer->session = dev->state.session;
    offer->handle = dev->handle;
    offer->slot = slot;
    offer->epoch = epoch;

    ngx_cometa_offers_n++;
    ngx_cometa_offered[slot]++;

    dev->away = 1;
    dev->turns = 0;

    /* no time passes for it here, and whoever closes it finds it in a queue */

    ngx_cometa_device_time_leave(dev);
    ngx_queue_init(&dev->life);

    if (dev->unread && dev->unread->begun) {
        ngx_queue_remove(&dev->unread->link);
        ngx_queue_init(&dev->unread->link);
    }

    ngx_cometa_device_log(dev);
    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, dev->connection->log, 0,
                   "cometa device is offered to slot %uD, %uz bytes",
                   slot, len);

    return NGX_OK;
}


static ngx_cometa_offer_t *
ngx_cometa_offer_get(void)
{
    static ngx_uint_t  next;

    /* there is one: whoever asks has seen that not all are under way */

    while (ngx_cometa_offers[next].session) {
        next = (next + 1) % NGX_COMETA_OFFERS;
    }

    return &ngx_cometa_offers[next];
}


/* Returns how many bytes it has; 0: too many, or no memory. */

static size_t
ngx_cometa_depart_pack(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel)
{
    u_char               *p;
    ngx_cometa_unread_t  *unread;
    ngx_cometa_unsent_t  *unsent;

    if (ngx_cometa_depart_parcel == NULL) {
        ngx_cometa_depart_parcel = ngx_alloc(NGX_COMETA_PARCEL_MAX,
                                             ngx_cycle->log);
        if (ngx_cometa_depart_parcel == NULL) {
            return 0;
        }
    }

    unread = dev->unread;
    unsent = dev->unsent;

    parcel->info = dev->card ? dev->card->len : 0;

    if (unread) {
        parcel->begun = unread->begun;
        parcel->since = unread->since;
        parcel->unread = unread->len;
        parcel->rest = unread->rest ? unread->rest_len : 0;
    }

    if (unsent) {
        parcel->unsent = unsent->len - unsent->pos;
    }

    if (sizeof(ngx_cometa_device_parcel_t) + parcel->info
        + (size_t) parcel->unread + parcel->rest + parcel->unsent
        > NGX_COMETA_PARCEL_MAX)
    {
        return 0;
    }

    p = ngx_cpymem(ngx_cometa_depart_parcel, parcel,
                   sizeof(ngx_cometa_device_parcel_t));

    if (parcel->info) {
        p = ngx_cpymem(p, dev->card->info, parcel->info);
    }

    if (unread && unread->len) {
        p = ngx_cpymem(p, unread->data, parcel->unread);
    }

    if (unread && unread->rest) {
        p = ngx_cpymem(p, unread->rest, parcel->rest);
    }

    if (unsent) {
        p = ngx_cpymem(p, unsent->data + unsent->pos, parcel->unsent);
    }

    return p - ngx_cometa_depart_parcel;
}


void
ngx_cometa_depart_arrived(ngx_cometa_mail_arrived_t *mail)
{
    ngx_cometa_place_t    to;
    ngx_cometa_offer_t   *offer;
    ngx_cometa_device_t  *dev;

    if (mail->index >= NGX_COMETA_OFFERS) {
        return;
    }

    offer = &ngx_cometa_offers[mail->index];

    if (offer->session == 0
        || offer->session != mail->head.session
        || offer->handle != mail->head.handle)
    {
        return;
    }

    dev = ngx_cometa_offer_device(offer);
    ngx_cometa_offer_end(offer);

    if (dev == NULL) {
        return;
    }

    if (mail->rc == NGX_COMETA_ARRIVED) {
        to.slot = mail->slot;
        to.epoch = mail->epoch;
        to.handle = mail->handle;
        to.record = dev->state.record;
        to.app = dev->state.app;
        to.session = dev->state.session;

        (void) ngx_cometa_depart_uncount(dev);
        ngx_cometa_queue_left(dev, &to);
        ngx_cometa_depart_left(dev);
        return;
    }

    if (mail->rc == NGX_COMETA_ARRIVE_NEVER) {
        dev->conf->gone = 1;
    }

    ngx_cometa_queue_resume(dev);
    ngx_cometa_device_continue(dev);
}


/* The device of an offer; NULL: it was closed meanwhile. */

static ngx_cometa_device_t *
ngx_cometa_offer_device(ngx_cometa_offer_t *offer)
{
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_get(offer->handle, offer->session);

    ngx_cometa_expect(dev == NULL || dev->away);

    return dev;
}


static void
ngx_cometa_offer_end(ngx_cometa_offer_t *offer)
{
    ngx_cometa_expect(ngx_cometa_offers_n && ngx_cometa_offered[offer->slot]);

    offer->session = 0;

    ngx_cometa_offers_n--;
    ngx_cometa_offered[offer->slot]--;
}


/* It was another worker's to read and write, whether that one lives or not. */

static void
ngx_cometa_depart_left(ngx_cometa_device_t *dev)
{
    ngx_connection_t  *c;

    c = dev->connection;

    ngx_cometa_device_log(dev);
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "cometa device has left, session %uL", dev->state.session);

    c->log = ngx_cycle->log;
    ngx_cometa_fdpass_left(c);

    ngx_cometa_device_forget(dev);
}


void
ngx_cometa_depart_deaths(void)
{
    ngx_uint_t            i;
    ngx_cometa_offer_t   *offer;
    ngx_cometa_device_t  *dev;

    for (i = 0; i < NGX_COMETA_OFFERS && ngx_cometa_offers_n; i++) {
        offer = &ngx_cometa_offers[i];

        if (offer->session == 0
            || ngx_cometa_slot_alive(offer->slot, offer->epoch))
        {
            continue;
        }

        dev = ngx_cometa_offer_device(offer);
        ngx_cometa_offer_end(offer);

        if (dev == NULL) {
            continue;
        }

        /* nothing was read or written there before the record was */

        if (ngx_cometa_registry_held(dev->state.record, dev->state.session)) {
            ngx_cometa_queue_resume(dev);
            ngx_cometa_device_continue(dev);
            continue;
        }

        /* not taken: it has attached anew elsewhere, and we are to hear it */

        if (ngx_cometa_depart_uncount(dev) != NGX_OK) {
            ngx_cometa_queue_resume(dev);
            ngx_cometa_device_close(dev, NGX_COMETA_TAKEN_OVER);
            continue;
        }

        ngx_cometa_queue_closed(dev, NGX_COMETA_DISCONNECTED);
        ngx_cometa_depart_left(dev);
    }
}


/* Another worker counts it. NGX_DECLINED: nobody does but this one. */

static ngx_int_t
ngx_cometa_depart_uncount(ngx_cometa_device_t *dev)
{
    if (ngx_cometa_stats_taken(dev->state.app, ngx_cometa_zone.slot,
                               ngx_cometa_zone.epoch, -1)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_cometa_gauge_add(dev->state.app, devices, -1);

    return NGX_OK;
}


void
ngx_cometa_depart_release(ngx_uint_t max)
{
    static ngx_uint_t     place;
    static ngx_msec_t     since;

    ngx_uint_t            n, spare;
    ngx_cometa_device_t  *dev;

    if (since == 0) {
        since = ngx_current_msec;
    }

    spare = (ngx_current_msec - since < NGX_COMETA_DEPART_SPARE);

    for (n = 0;
         n < NGX_COMETA_DEPART_LOOK && max && ngx_cometa_device_count();
         n++)
    {
        dev = ngx_cometa_device_next(&place);

        if (dev->used && dev->conf->gone && !dev->closing && !dev->away
            && !(spare && ngx_cometa_device_handlers.outstanding(dev)))
        {
            ngx_cometa_device_close(dev, NGX_COMETA_DRAINED);
            max--;
        }
    }
}
