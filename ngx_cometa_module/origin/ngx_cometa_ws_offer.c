
/*
 * Offers of WebSockets. State of this process: those that are under way.
 */

#include "ngx_cometa_ws_offer.h"
#include "ngx_cometa.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_batch.h"
#include "ngx_cometa_ws_event.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_json.h"
#include "ngx_cometa_ws_parcel.h"
#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_ws_time.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_WS_OFFERS         64     /* under way at a time */
#define NGX_COMETA_WS_OFFER_WAIT     1000   /* ms, after one was refused */
#define NGX_COMETA_WS_OFFER_PIECE    16384  /* bytes of a WS_TAIL */
#define NGX_COMETA_WS_OFFER_SILENCE  5000   /* ms, until it is made again */


/*
 * An answer names the parcel by `index`, which no two have in common; modulo
 * NGX_COMETA_WS_OFFERS it is the place of the offer.
 */

typedef struct {
    uint64_t           serial;      /* 0: no offer */
    ngx_msec_t         since;       /* when its last parcel was sent */
    uint32_t           index;       /* of its last parcel */
    ngx_cometa_ws_t   *socket;
    ngx_connection_t  *connection;
    uint32_t           slot;        /* of whom it was offered to */
    uint32_t           epoch;
    uint32_t           output;      /* bytes that go in a parcel */
    ngx_uint_t         sent;        /* any parcel */
} ngx_cometa_ws_offer_t;


static ngx_int_t ngx_cometa_ws_offer_send(ngx_cometa_ws_offer_t *offer);
static ngx_cometa_ws_offer_t *ngx_cometa_ws_offer_get(void);
static void ngx_cometa_ws_offer_end(ngx_cometa_ws_offer_t *offer);
static void ngx_cometa_ws_offer_tail(ngx_cometa_ws_offer_t *offer,
    ngx_cometa_mail_arrived_t *mail);
static void ngx_cometa_ws_offer_back(ngx_cometa_ws_offer_t *offer);
static void ngx_cometa_ws_offer_arm(void);
static void ngx_cometa_ws_offer_timer(ngx_event_t *ev);


static ngx_cometa_ws_offer_t   ngx_cometa_ws_offers[NGX_COMETA_WS_OFFERS];
static ngx_uint_t              ngx_cometa_ws_offers_n;
static ngx_uint_t              ngx_cometa_ws_gone;      /* any location */

static ngx_event_t             ngx_cometa_ws_offer_silence = {
    .handler = ngx_cometa_ws_offer_timer,
    .data = &ngx_cometa_ws_offer_silence,
    .cancelable = 1
};


ngx_uint_t
ngx_cometa_ws_offer_gone(void)
{
    return ngx_cometa_ws_gone;
}


ngx_int_t
ngx_cometa_ws_offer(ngx_cometa_ws_t *s, uint32_t slot, uint32_t epoch)
{
    ngx_int_t               rc;
    ngx_cometa_ws_offer_t  *offer;

    static uint64_t  serial;

    if (ngx_cometa_ws_offers_n == NGX_COMETA_WS_OFFERS) {
        return NGX_AGAIN;
    }

    offer = ngx_cometa_ws_offer_get();

    offer->serial = ++serial;
    offer->sent = 0;
    offer->socket = s;
    offer->connection = s->io.connection;
    offer->slot = slot;
    offer->epoch = epoch;
    offer->output = ngx_cometa_bytes_left(s->io.output);

    rc = ngx_cometa_ws_offer_send(offer);

    if (rc != NGX_OK) {
        offer->serial = 0;
        return rc;
    }

    ngx_cometa_ws_log(s);
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, offer->connection->log, 0,
                   "cometa ws is offered to slot %uD", slot);

    ngx_cometa_ws_offers_n++;
    ngx_cometa_ws_offer_arm();

    /* as if it were not open yet: what it hears is kept */

    ngx_cometa_ws_time_leave(&s->conf->times, &s->time);
    ngx_cometa_ws_batch_leave(&s->batch);
    s->io.connection = NULL;

    return NGX_OK;
}


/* A parcel: the first one of an offer, or the same once more. */

static ngx_int_t
ngx_cometa_ws_offer_send(ngx_cometa_ws_offer_t *offer)
{
    static uint32_t          n;

    size_t                   len;
    u_char                  *data;
    ngx_int_t                rc;
    ngx_cometa_ws_t         *s;
    ngx_cometa_ws_parcel_t   parcel;

    s = offer->socket;

    ngx_memzero(&parcel, sizeof(ngx_cometa_ws_parcel_t));

    parcel.kind = NGX_COMETA_PARCEL_WS;
    parcel.epoch = offer->epoch;
    parcel.from_slot = ngx_cometa_zone.slot;
    parcel.from_epoch = ngx_cometa_zone.epoch;
    parcel.serial = offer->serial;
    parcel.index = n * NGX_COMETA_WS_OFFERS + (offer - ngx_cometa_ws_offers);
    parcel.again = offer->sent;
    parcel.debug = s->debug;
    parcel.location = s->conf->id;
    parcel.output = offer->output;

    data = ngx_cometa_ws_parcel_pack(s, offer->connection, &parcel, &len);

    rc = data ? ngx_cometa_fdpass_offer(offer->slot, offer->epoch,
                                        offer->connection, data, len)
              : NGX_DECLINED;

    if (rc == NGX_OK) {
        n++;
        offer->sent = 1;
        offer->index = parcel.index;
        offer->since = ngx_current_msec;
    }

    return rc;
}


static ngx_cometa_ws_offer_t *
ngx_cometa_ws_offer_get(void)
{
    ngx_uint_t  i;

    for (i = 0; ngx_cometa_ws_offers[i].serial; i++) {
        /* void */
    }

    return &ngx_cometa_ws_offers[i];
}


void
ngx_cometa_ws_offer_arrived(ngx_cometa_mail_arrived_t *mail)
{
    ngx_cometa_ws_t        *s;
    ngx_cometa_ws_offer_t  *offer;

    offer = &ngx_cometa_ws_offers[mail->index % NGX_COMETA_WS_OFFERS];

    /* what was said to an earlier parcel is not the last word */

    if (offer->serial == 0
        || offer->serial != mail->head.session
        || offer->index != mail->index)
    {
        return;
    }

    /* what was heard before this letter goes before the tail */

    ngx_cometa_ws_event_flush();

    if (mail->rc == NGX_COMETA_ARRIVED) {
        ngx_cometa_ws_offer_tail(offer, mail);
        return;
    }

    s = offer->socket;

    if (mail->rc == NGX_COMETA_ARRIVE_NEVER) {
        s->conf->gone = 1;
        ngx_cometa_ws_gone = 1;
    }

    ngx_cometa_fdpass_back(offer->connection);
    ngx_cometa_ws_offer_back(offer);
}


/* What the device has said since the offer goes after the WebSocket. */

static void
ngx_cometa_ws_offer_tail(ngx_cometa_ws_offer_t *offer,
    ngx_cometa_mail_arrived_t *arrived)
{
    size_t                      n, left;
    u_char                     *p;
    uint32_t                    calls;
    ngx_cometa_ws_t            *s;
    ngx_connection_t           *c;
    ngx_cometa_mail_ws_tail_t   tail;

    s = offer->socket;
    c = offer->connection;

    calls = s->json ? ngx_cometa_ws_json_leave(s, arrived->slot,
                                               arrived->epoch, offer->serial)
                    : 0;

    ngx_memzero(&tail, sizeof(ngx_cometa_mail_ws_tail_t));

    tail.head.app = s->group->app;
    tail.head.session = offer->serial;
    tail.index = arrived->handle;

    left = ngx_cometa_bytes_left(s->io.output) - offer->output;
    p = left ? s->io.output->data + s->io.output->len - left : NULL;

    do {
        n = ngx_min(left, NGX_COMETA_WS_OFFER_PIECE);
        left -= n;

        tail.end = left ? 0 : 1 + calls;

        ngx_cometa_mail_ws_tail(arrived->slot, arrived->epoch, &tail, p, n);

        p += n;

    } while (left);

    ngx_cometa_ws_offer_end(offer);

    c->log = ngx_cycle->log;
    ngx_cometa_fdpass_left(c);

    ngx_cometa_ws_discard(s);
}


static void
ngx_cometa_ws_offer_end(ngx_cometa_ws_offer_t *offer)
{
    ngx_cometa_expect(ngx_cometa_ws_offers_n > 0);

    offer->serial = 0;
    ngx_cometa_ws_offers_n--;
}


/* It goes on here. */

static void
ngx_cometa_ws_offer_back(ngx_cometa_ws_offer_t *offer)
{
    ngx_cometa_ws_t   *s;
    ngx_connection_t  *c;

    s = offer->socket;
    c = offer->connection;

    ngx_cometa_ws_offer_end(offer);

    s->moving_since = ngx_current_msec + NGX_COMETA_WS_OFFER_WAIT;

    ngx_cometa_ws_connect_again(s, c);
    ngx_cometa_ws_read_on(s);
    ngx_cometa_ws_settle(s);
}


void
ngx_cometa_ws_offer_deaths(void)
{
    ngx_uint_t              i;
    ngx_cometa_ws_offer_t  *offer;

    for (i = 0; i < NGX_COMETA_WS_OFFERS && ngx_cometa_ws_offers_n; i++) {
        offer = &ngx_cometa_ws_offers[i];

        if (offer->serial == 0
            || ngx_cometa_slot_alive(offer->slot, offer->epoch))
        {
            continue;
        }

        /*
         * It reads and writes nothing before it has our tail, or has waited
         * long for it. A parked connection ends: what is not known for sure is
         * no ground to seal records on.
         */

        ngx_cometa_ws_offer_back(offer);
    }
}


static void
ngx_cometa_ws_offer_arm(void)
{
    if (!ngx_cometa_ws_offer_silence.timer_set) {
        ngx_cometa_ws_offer_silence.log = ngx_cycle->log;

        ngx_add_timer(&ngx_cometa_ws_offer_silence,
                      NGX_COMETA_WS_OFFER_SILENCE);
    }
}


/*
 * Offers without an answer, which may be lost, or the parcel lies unread: only
 * its reader knows. It is told once more through the same door, where one
 * parcel is read after the other: so the answer to the last one is the last
 * word. Who has taken it keeps that in mind until it has our tail, and says so
 * again.
 */

static void
ngx_cometa_ws_offer_timer(ngx_event_t *ev)
{
    ngx_uint_t              i;
    ngx_cometa_ws_offer_t  *offer;

    for (i = 0; i < NGX_COMETA_WS_OFFERS; i++) {
        offer = &ngx_cometa_ws_offers[i];

        if (offer->serial
            && ngx_current_msec - offer->since >= NGX_COMETA_WS_OFFER_SILENCE)
        {
            (void) ngx_cometa_ws_offer_send(offer);
        }
    }

    if (ngx_cometa_ws_offers_n) {
        ngx_cometa_ws_offer_arm();
    }
}
