
/*
 * WebSockets that depart: which, when and where to. State of this process: how
 * far the walk over the groups has come.
 */

#include "ngx_cometa_ws_depart.h"
#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_offer.h"
#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_WS_DEPART_BATCH  32      /* offers of one step */
#define NGX_COMETA_WS_DEPART_LOOK   256     /* chains that a step looks at */
#define NGX_COMETA_WS_DEPART_WAIT   1000    /* ms that calls may take, ... */
#define NGX_COMETA_WS_DEPART_PAUSE  5000    /* ... before it is read again */


static ngx_int_t ngx_cometa_ws_depart_group(ngx_cometa_ws_group_t *group);
static ngx_int_t ngx_cometa_ws_depart_place(ngx_cometa_ws_group_t *group,
    uint32_t *slot, uint32_t *epoch);
static void ngx_cometa_ws_depart_stay(ngx_cometa_ws_group_t *group);
static ngx_uint_t ngx_cometa_ws_depart_can(ngx_cometa_ws_t *s);


static ngx_uint_t              ngx_cometa_ws_paused;    /* seen in this round */
static ngx_uint_t              ngx_cometa_ws_told;      /* chains to halt */


ngx_int_t
ngx_cometa_ws_depart_step(void)
{
    static ngx_uint_t       chain, moved;

    ngx_int_t               rc;
    ngx_uint_t              n, looked;
    ngx_cometa_ws_group_t  *group, *next;

    if (ngx_cometa_ws_count() == 0) {
        return NGX_DONE;
    }

    n = 0;

    for (looked = 0; looked < NGX_COMETA_WS_DEPART_LOOK; looked++) {

        for (group = ngx_cometa_ws_group_first(chain); group; group = next) {
            next = group->next;

            rc = ngx_cometa_ws_depart_group(group);

            if (rc == NGX_AGAIN) {
                return NGX_AGAIN;
            }

            moved += rc;
            n += rc;
        }

        chain = (chain + 1) % NGX_COMETA_WS_CHAINS;

        if (chain == 0) {

            if (moved == 0) {
                rc = ngx_cometa_ws_paused ? NGX_AGAIN : NGX_DONE;
                ngx_cometa_ws_paused = 0;
                return rc;
            }

            moved = 0;
            ngx_cometa_ws_paused = 0;
        }

        if (n >= NGX_COMETA_WS_DEPART_BATCH) {
            return NGX_OK;
        }
    }

    return NGX_OK;
}


/* Returns how many were offered; NGX_AGAIN: the rest of them later. */

static ngx_int_t
ngx_cometa_ws_depart_group(ngx_cometa_ws_group_t *group)
{
    uint32_t          slot, epoch;
    ngx_int_t         n, rc;
    ngx_queue_t      *q, *next;
    ngx_cometa_ws_t  *s;

    if (ngx_cometa_ws_depart_place(group, &slot, &epoch) != NGX_OK) {
        ngx_cometa_ws_depart_stay(group);
        return 0;
    }

    n = 0;

    for (q = ngx_queue_head(&group->sockets);
         q != ngx_queue_sentinel(&group->sockets);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);

        if (!ngx_cometa_ws_depart_can(s)) {
            continue;
        }

        rc = ngx_cometa_ws_offer(s, slot, epoch);

        if (rc == NGX_DECLINED) {

            /* perhaps its message is complete when it was read on */

            s->moving_since = ngx_current_msec + NGX_COMETA_WS_DEPART_WAIT;
            ngx_cometa_ws_read_on(s);
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        n += (rc == NGX_OK);
    }

    return n;
}


/*
 * Where the WebSockets of a device should go. NGX_DECLINED: they wait, for the
 * device is at a worker that leaves itself.
 */

static ngx_int_t
ngx_cometa_ws_depart_place(ngx_cometa_ws_group_t *group, uint32_t *slot,
    uint32_t *epoch)
{
    ngx_cometa_place_t  place;

    if (ngx_cometa_registry_find_in(group->app, &group->key, &place)
        != NGX_OK)
    {
        return ngx_cometa_fdpass_heir(NULL, slot, epoch);
    }

    *slot = place.slot;
    *epoch = place.epoch;

    return ngx_cometa_fdpass_is_heir(place.slot) ? NGX_OK : NGX_DECLINED;
}


/*
 * There was a place for them, and it has gone before their calls ended: those
 * that are not read any more go on here.
 */

static void
ngx_cometa_ws_depart_stay(ngx_cometa_ws_group_t *group)
{
    ngx_queue_t      *q;
    ngx_cometa_ws_t  *s;

    for (q = ngx_queue_head(&group->sockets);
         q != ngx_queue_sentinel(&group->sockets);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);

        if (s->moving && s->io.connection) {
            ngx_cometa_ws_read_on(s);
        }
    }
}


/*
 * From now on it is not read, so that its calls come to an end. If they take
 * long it goes on for a while: its client may be waiting for a pong.
 */

static ngx_uint_t
ngx_cometa_ws_depart_can(ngx_cometa_ws_t *s)
{
    uint32_t  now;

    if (s->io.connection == NULL
        || s->closing || s->dead || s->busy || s->conf->gone)
    {
        return 0;
    }

#if (NGX_SSL)
    /* the state of TLS is this process's own */
    if (s->io.connection->ssl) {
        return 0;
    }
#endif

    now = ngx_current_msec;

    /* its calls end here, and what they end with is sent after it */

    if (s->json) {

        if (s->json->away
            || (s->moving_since && (int32_t) (now - s->moving_since) < 0))
        {
            return 0;
        }

        s->moving = 1;
        ngx_cometa_ws_told = NGX_COMETA_WS_CHAINS;
        return 1;
    }

    if (!s->moving) {

        /* the clock may be past its middle: 0 is no time */

        if (s->moving_since && (int32_t) (now - s->moving_since) < 0) {
            return 0;
        }

        s->moving = 1;
        s->moving_since = now;
        ngx_cometa_ws_told = NGX_COMETA_WS_CHAINS;

        ngx_cometa_ws_log(s);
        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                       "cometa ws is to move and not read until then");
    }

    if (ngx_queue_empty(&s->requests)) {
        return 1;
    }

    if (now - s->moving_since > NGX_COMETA_WS_DEPART_WAIT) {
        s->moving_since = now + NGX_COMETA_WS_DEPART_PAUSE;
        ngx_cometa_ws_read_on(s);
        return 0;
    }

    ngx_cometa_ws_paused = 1;

    return 0;
}


/* A round over all chains, unless nobody has been told to move since. */

void
ngx_cometa_ws_depart_halt(void)
{
    static ngx_uint_t       chain;

    ngx_uint_t              looked;
    ngx_cometa_ws_group_t  *group;

    for (looked = 0;
         looked < NGX_COMETA_WS_DEPART_LOOK && ngx_cometa_ws_told;
         looked++)
    {
        for (group = ngx_cometa_ws_group_first(chain);
             group;
             group = group->next)
        {
            ngx_cometa_ws_depart_stay(group);
        }

        chain = (chain + 1) % NGX_COMETA_WS_CHAINS;
        ngx_cometa_ws_told--;
    }
}


void
ngx_cometa_ws_depart_release(ngx_uint_t max)
{
    static ngx_uint_t       chain;

    ngx_uint_t              looked;
    ngx_queue_t            *q, *next;
    ngx_cometa_ws_t        *s;
    ngx_cometa_ws_group_t  *group, *after;

    if (!ngx_cometa_ws_offer_gone()) {
        return;
    }

    for (looked = 0; looked < NGX_COMETA_WS_DEPART_LOOK && max; looked++) {

        for (group = ngx_cometa_ws_group_first(chain); group; group = after) {
            after = group->next;

            for (q = ngx_queue_head(&group->sockets);
                 q != ngx_queue_sentinel(&group->sockets) && max;
                 q = next)
            {
                next = ngx_queue_next(q);
                s = ngx_queue_data(q, ngx_cometa_ws_t, link);

                if (s->conf->gone && s->io.connection && !s->closing) {
                    ngx_cometa_ws_log(s);
                    ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
                    max--;
                }
            }
        }

        chain = (chain + 1) % NGX_COMETA_WS_CHAINS;
    }
}
