
/*
 * Devices that depart. State of this process: the offers that are under way,
 * and how far the walk over the table of devices has come.
 */

#include "ngx_cometa_depart.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_device_time.h"
#include "ngx_cometa_parcel.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_request.h"
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


/*
 * One that was offered. It may have been closed meanwhile. An answer names the
 * parcel by `index`, which no two have in common; modulo NGX_COMETA_OFFERS it
 * is the place of the offer.
 */

typedef struct {
    uint64_t              session;      /* 0: no offer */
    ngx_msec_t            since;        /* when its last parcel was sent */
    uint32_t              index;        /* of its last parcel */
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
static ngx_int_t ngx_cometa_depart_send(ngx_cometa_device_t *dev,
    ngx_cometa_offer_t *offer);
static ngx_cometa_device_t *ngx_cometa_offer_device(ngx_cometa_offer_t *offer);
static void ngx_cometa_offer_end(ngx_cometa_offer_t *offer);
static void ngx_cometa_depart_look(ngx_cometa_device_t *dev);
static void ngx_cometa_depart_timer(ngx_event_t *ev);
static ngx_int_t ngx_cometa_depart_uncount(ngx_cometa_device_t *dev);
static void ngx_cometa_depart_left(ngx_cometa_device_t *dev);


static ngx_cometa_offer_t  *ngx_cometa_offers;
static uint32_t            *ngx_cometa_offered;     /* by slot, under way */
static ngx_uint_t           ngx_cometa_offers_n;
static ngx_event_t          ngx_cometa_depart_silence;


ngx_int_t
ngx_cometa_depart_start(ngx_cycle_t *cycle)
{
    ngx_cometa_offers = ngx_pcalloc(cycle->pool, NGX_COMETA_OFFERS
                                                 * sizeof(ngx_cometa_offer_t));
    ngx_cometa_offered = ngx_pcalloc(cycle->pool, ngx_cometa_zone.head->slots
                                                  * sizeof(uint32_t));

    ngx_cometa_depart_silence.handler = ngx_cometa_depart_timer;
    ngx_cometa_depart_silence.data = &ngx_cometa_depart_silence;
    ngx_cometa_depart_silence.log = cycle->log;
    ngx_cometa_depart_silence.cancelable = 1;

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
 * Events that this worker holds go first, to keep their order, and requests are
 * answered here. A webhook that does not take them is not waited for.
 */

static ngx_uint_t
ngx_cometa_depart_waits(ngx_cometa_device_t *dev)
{
    static ngx_msec_t  since;

    ngx_uint_t  asks;

    asks = (dev->asked && dev->asked->questions);

    if (!asks
        && (dev->conf->webhook == NULL
            || !ngx_cometa_lane_exists(dev->conf->webhook, dev->state.hash)))
    {
        return 0;
    }

    if (since == 0) {
        since = ngx_current_msec;
    }

    return ngx_current_msec - since < NGX_COMETA_DEPART_EVENTS
           || (asks && ngx_cometa_request_give_up(dev) != NGX_OK);
}


/* NGX_DECLINED: it stays for now, others may go. */

static ngx_int_t
ngx_cometa_depart_offer(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch)
{
    ngx_int_t            rc;
    ngx_cometa_offer_t  *offer;

    offer = ngx_cometa_offer_get();

    offer->slot = slot;
    offer->epoch = epoch;

    rc = ngx_cometa_depart_send(dev, offer);

    if (rc != NGX_OK) {
        ngx_cometa_queue_resume(dev);
        return rc;
    }

    offer->session = dev->state.session;
    offer->handle = dev->handle;

    if (ngx_cometa_offers_n++ == 0
        && !ngx_cometa_depart_silence.timer_set)
    {
        ngx_add_timer(&ngx_cometa_depart_silence, NGX_COMETA_DEPART_SILENCE);
    }

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
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, dev->connection->log, 0,
                   "cometa device is offered to slot %uD", slot);

    return NGX_OK;
}


/* A parcel for the addressee of an offer, the first one or one more. */

static ngx_int_t
ngx_cometa_depart_send(ngx_cometa_device_t *dev, ngx_cometa_offer_t *offer)
{
    static uint32_t              n;

    size_t                       len;
    u_char                      *data;
    ngx_int_t                    rc;
    ngx_cometa_device_parcel_t   parcel;

    ngx_memzero(&parcel, sizeof(ngx_cometa_device_parcel_t));

    parcel.kind = NGX_COMETA_PARCEL_DEVICE;
    parcel.epoch = offer->epoch;
    parcel.from_slot = ngx_cometa_zone.slot;
    parcel.from_epoch = ngx_cometa_zone.epoch;
    parcel.handle = dev->handle;
    parcel.index = n * NGX_COMETA_OFFERS + (offer - ngx_cometa_offers);
    parcel.location = dev->conf->id;
    parcel.state = dev->state;

    ngx_cometa_queue_pause(dev, &parcel.queue);

    data = ngx_cometa_parcel_pack(dev, &parcel, &len);
    if (data == NULL) {
        return NGX_DECLINED;
    }

    rc = ngx_cometa_fdpass_offer(offer->slot, offer->epoch, dev->connection,
                                 data, len);

    if (rc == NGX_OK) {
        n++;
        offer->index = parcel.index;
        offer->since = ngx_current_msec;
    }

    return rc;
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


void
ngx_cometa_depart_arrived(ngx_cometa_mail_arrived_t *mail)
{
    ngx_cometa_place_t    to;
    ngx_cometa_offer_t   *offer;
    ngx_cometa_device_t  *dev;

    offer = &ngx_cometa_offers[mail->index % NGX_COMETA_OFFERS];

    /* what was said to an earlier parcel is not the last word */

    if (offer->session == 0
        || offer->session != mail->head.session
        || offer->index != mail->index)
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

    /* to an earlier parcel the answer was perhaps another one, and was lost */

    ngx_cometa_depart_look(dev);
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

        if (dev) {
            ngx_cometa_depart_look(dev);
        }
    }
}


/* No parcel of it is on its way any more: the record says whose it is. */

static void
ngx_cometa_depart_look(ngx_cometa_device_t *dev)
{
    ngx_int_t           rc;
    ngx_cometa_place_t  to;

    rc = ngx_cometa_registry_where(dev->state.record, dev->state.session, &to);

    /* nothing was read or written there before the record was */

    if (rc == NGX_OK && to.slot == ngx_cometa_zone.slot
        && to.epoch == ngx_cometa_zone.epoch)
    {
        ngx_cometa_queue_resume(dev);
        ngx_cometa_device_continue(dev);
        return;
    }

    /* not taken: it has attached anew elsewhere, and we are to hear it */

    if (ngx_cometa_depart_uncount(dev) != NGX_OK) {
        ngx_cometa_queue_resume(dev);
        ngx_cometa_device_close(dev, NGX_COMETA_TAKEN_OVER);
        return;
    }

    if (rc == NGX_OK && ngx_cometa_slot_alive(to.slot, to.epoch)) {
        ngx_cometa_queue_left(dev, &to);

    } else {
        ngx_cometa_queue_closed(dev, NGX_COMETA_DISCONNECTED);
    }

    ngx_cometa_depart_left(dev);
}


/*
 * Offers without an answer. If the record is another worker's, the device has
 * left, and the letter was lost. If it is ours still, the parcel lies unread,
 * or was refused: only its reader knows. So it is not taken back but offered
 * once more through the same door, where one parcel is read after the other:
 * the answer to the last one is the last word on all of them. However many lie
 * there, one is taken at most, for the record leaves us once.
 */

static void
ngx_cometa_depart_timer(ngx_event_t *ev)
{
    ngx_uint_t            i;
    ngx_cometa_offer_t   *offer;
    ngx_cometa_device_t  *dev;

    for (i = 0; i < NGX_COMETA_OFFERS && ngx_cometa_offers_n; i++) {
        offer = &ngx_cometa_offers[i];

        if (offer->session == 0
            || ngx_current_msec - offer->since < NGX_COMETA_DEPART_SILENCE)
        {
            continue;
        }

        dev = ngx_cometa_offer_device(offer);

        if (dev && ngx_cometa_registry_held(dev->state.record,
                                            dev->state.session))
        {
            (void) ngx_cometa_depart_send(dev, offer);
            continue;
        }

        ngx_cometa_offer_end(offer);

        if (dev) {
            ngx_cometa_depart_look(dev);
        }
    }

    if (ngx_cometa_offers_n) {
        ngx_add_timer(ev, NGX_COMETA_DEPART_SILENCE);
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
