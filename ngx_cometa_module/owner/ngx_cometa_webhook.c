
/*
 * The webhook: when an event is tried, and when it is tried again. All state is
 * this process's own.
 *
 * Events of one device stand in one lane and go out one after the other, so
 * that they keep their order. Lanes whose first event may be sent take turns
 * for the requests of their webhook, so that a slow upstream cannot take memory
 * and descriptors without bound. ngx_cometa_webhook_queue.c says who gets how
 * many places and requests, and whose turn it is.
 *
 *     push --> lane --> ready --> running --2xx--> sent
 *               ^                    |
 *               `--- after a while --+--no more tries--> failed
 *
 * A running event is a request of nginx, which ngx_cometa_webhook_request.c
 * makes.
 */

#include "ngx_cometa_webhook.h"
#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_share.h"
#include "ngx_cometa_webhook_queue.h"
#include "ngx_cometa_webhook_report.h"
#include "ngx_cometa_webhook_request.h"
#include "ngx_cometa_stats.h"


/*
 * Requests that are begun in one turn of the event loop: if a location answers
 * by itself they end at once, and everything else waits meanwhile.
 */

#define NGX_COMETA_WEBHOOK_BATCH  16
#define NGX_COMETA_WEBHOOK_PAUSE  100   /* ms, if descriptors or memory lack */


static ngx_uint_t ngx_cometa_webhook_wants(ngx_cometa_webhook_conf_t *conf,
    uint32_t app, ngx_cometa_news_t *news);
static void ngx_cometa_webhook_put(ngx_cometa_webhook_conf_t *conf,
    uint32_t app, ngx_cometa_lane_t *lane, uint64_t session,
    ngx_cometa_news_t *news);
static void ngx_cometa_webhook_ready(ngx_cometa_lane_t *lane);
static void ngx_cometa_webhook_list(ngx_cometa_webhook_conf_t *conf);
static void ngx_cometa_webhook_timer(ngx_event_t *ev);
static void ngx_cometa_webhook_run(ngx_event_t *ev);
static ngx_cometa_lane_t *ngx_cometa_webhook_next(void);
static ngx_int_t ngx_cometa_webhook_send(ngx_cometa_lane_t *lane);
static void ngx_cometa_webhook_cleanup(void *data);
static void ngx_cometa_webhook_done(ngx_cometa_lane_t *lane);
static ngx_uint_t ngx_cometa_webhook_again(ngx_cometa_event_t *e);
static ngx_msec_t ngx_cometa_webhook_wait(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_event_t *e);
static void ngx_cometa_webhook_give_up(ngx_cometa_lane_t *lane);


static ngx_queue_t   ngx_cometa_webhooks;   /* that may have a turn */
static ngx_event_t   ngx_cometa_webhook_event;
static ngx_uint_t    ngx_cometa_webhook_abandoned;


void
ngx_cometa_webhook_conf_init(ngx_cometa_webhook_conf_t *conf)
{
    ngx_cometa_shares_init(&conf->tenants);
    ngx_queue_init(&conf->turns);
    ngx_cometa_webhook_report_init(&conf->report);
}


ngx_int_t
ngx_cometa_webhook_start(ngx_cycle_t *cycle)
{
    ngx_cometa_lanes_start();
    ngx_cometa_webhook_request_start(ngx_cometa_webhook_abandon);

    ngx_queue_init(&ngx_cometa_webhooks);

    ngx_cometa_webhook_event.handler = ngx_cometa_webhook_run;
    ngx_cometa_webhook_event.log = cycle->log;
    ngx_cometa_webhook_event.data = &ngx_cometa_webhook_event;

    return NGX_OK;
}


void
ngx_cometa_webhook_push(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_cometa_news_t *news)
{
    if (ngx_cometa_webhook_wants(conf, dev->state.app, news)) {
        ngx_cometa_webhook_put(conf, dev->state.app,
                               ngx_cometa_lane_get(conf, dev),
                               dev->state.session, news);
    }
}


void
ngx_cometa_webhook_push_absent(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_key_t *key, uint32_t app, uint64_t session,
    ngx_cometa_news_t *news)
{
    if (ngx_cometa_webhook_wants(conf, app, news)) {
        ngx_cometa_webhook_put(conf, app,
                               ngx_cometa_lane_named(conf, key, app, NULL),
                               session, news);
    }
}


static ngx_uint_t
ngx_cometa_webhook_wants(ngx_cometa_webhook_conf_t *conf, uint32_t app,
    ngx_cometa_news_t *news)
{
    if (!(conf->events & news->event)) {
        return 0;
    }

    if (ngx_cometa_webhook_abandoned) {
        ngx_cometa_stats_add(app, webhook_dropped, 1);
        return 0;
    }

    return 1;
}


/* Adds the event to the lane, which is NULL if there is none. */

static void
ngx_cometa_webhook_put(ngx_cometa_webhook_conf_t *conf, uint32_t app,
    ngx_cometa_lane_t *lane, uint64_t session, ngx_cometa_news_t *news)
{
    ngx_cometa_event_t  *e;

    if (lane == NULL) {
        ngx_cometa_webhook_dropped(conf, app, NULL, session);
        return;
    }

    e = ngx_cometa_lane_add(lane, news);
    if (e == NULL) {
        ngx_cometa_webhook_dropped(conf, app, lane, session);
        ngx_cometa_lane_settle(lane);
        return;
    }

    e->session = session;

    if (!lane->running && !lane->queued && !lane->timer.timer_set) {
        ngx_cometa_webhook_ready(lane);
    }
}


/* The first event of the lane may be sent. */

static void
ngx_cometa_webhook_ready(ngx_cometa_lane_t *lane)
{
    ngx_cometa_lane_ready(lane);
    ngx_cometa_webhook_list(lane->tenant->conf);
}


/*
 * Requests begin in the next turn of the event loop, after nginx has looked for
 * I/O: a request that ends at once must not make this turn longer.
 */

static void
ngx_cometa_webhook_list(ngx_cometa_webhook_conf_t *conf)
{
    if (!conf->listed) {
        conf->listed = 1;
        ngx_queue_insert_tail(&ngx_cometa_webhooks, &conf->turn);
    }

    if (!ngx_cometa_webhook_event.posted
        && !ngx_cometa_webhook_event.timer_set)
    {
        ngx_post_event(&ngx_cometa_webhook_event, &ngx_posted_next_events);
    }
}


static void
ngx_cometa_webhook_timer(ngx_event_t *ev)
{
    ngx_cometa_lane_t  *lane = ev->data;

    ngx_cometa_magic_check(lane, NGX_COMETA_LANE_MAGIC);

    ngx_cometa_webhook_ready(lane);
}


ngx_uint_t
ngx_cometa_webhook_count(void)
{
    return ngx_cometa_lanes_events();
}


static void
ngx_cometa_webhook_run(ngx_event_t *ev)
{
    ngx_uint_t          n;
    ngx_cometa_lane_t  *lane;

    for (n = 0; n < NGX_COMETA_WEBHOOK_BATCH; n++) {

        lane = ngx_cometa_webhook_next();
        if (lane == NULL) {
            return;
        }

        if (ngx_cometa_webhook_send(lane) != NGX_OK) {

            /* other requests would fail for the same reason now */

            if (ev->posted) {
                ngx_delete_posted_event(ev);
            }

            ngx_add_timer(ev, NGX_COMETA_WEBHOOK_PAUSE);
            return;
        }
    }

    if (!ngx_queue_empty(&ngx_cometa_webhooks) && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


/* Webhooks take turns; one without a ready lane leaves the queue. */

static ngx_cometa_lane_t *
ngx_cometa_webhook_next(void)
{
    ngx_queue_t                *q;
    ngx_cometa_lane_t          *lane;
    ngx_cometa_webhook_conf_t  *conf;

    while (!ngx_queue_empty(&ngx_cometa_webhooks)) {
        q = ngx_queue_head(&ngx_cometa_webhooks);
        conf = ngx_queue_data(q, ngx_cometa_webhook_conf_t, turn);

        ngx_queue_remove(q);

        lane = ngx_cometa_lane_next(conf);

        if (lane) {
            ngx_queue_insert_tail(&ngx_cometa_webhooks, &conf->turn);
            return lane;
        }

        conf->listed = 0;
    }

    return NULL;
}


static ngx_int_t
ngx_cometa_webhook_send(ngx_cometa_lane_t *lane)
{
    ngx_err_t            err;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_cometa_webhook_speak(lane);

    r = ngx_cometa_webhook_request(lane, ngx_cometa_webhook_cleanup, &err);

    if (r == NULL) {
        lane->tenant->conf->report.error = err;
        ngx_cometa_webhook_done(lane);
        return NGX_ERROR;
    }

    c = r->connection;
    lane->request = r;

    /* like an internal redirect, it may go to an `internal` location */

    r->internal = 1;

    ngx_http_handler(r);
    ngx_http_run_posted_requests(c);

    return NGX_OK;
}


/* A try has ended; called when its request is freed. */

static void
ngx_cometa_webhook_cleanup(void *data)
{
    ngx_cometa_lane_t  *lane = data;

    ngx_cometa_magic_check(lane, NGX_COMETA_LANE_MAGIC);

    if (lane->request && lane->status == 0) {
        lane->status = lane->request->headers_out.status;
    }

    ngx_cometa_webhook_done(lane);
}


static void
ngx_cometa_webhook_done(ngx_cometa_lane_t *lane)
{
    ngx_uint_t                  sent;
    ngx_cometa_event_t         *e;
    ngx_cometa_webhook_conf_t  *conf;

    sent = lane->status >= NGX_HTTP_OK
           && lane->status < NGX_HTTP_SPECIAL_RESPONSE;

    ngx_cometa_lane_end(lane);
    ngx_cometa_webhook_spoke(lane, !sent);

    if (ngx_cometa_webhook_abandoned) {
        ngx_cometa_webhook_give_up(lane);
        return;
    }

    conf = lane->tenant->conf;
    e = ngx_cometa_lane_first(lane);

    if (sent) {
        ngx_cometa_stats_add(lane->tenant->app, webhook_sent, 1);

    } else {

        if (++e->tries < conf->tries && ngx_cometa_webhook_again(e)) {
            ngx_cometa_stats_add(lane->tenant->app, webhook_retries, 1);

            lane->timer.handler = ngx_cometa_webhook_timer;
            lane->timer.data = lane;
            lane->timer.log = ngx_cycle->log;

            ngx_add_timer(&lane->timer, ngx_cometa_webhook_wait(conf, e));
            goto done;
        }

        ngx_cometa_webhook_failed(lane, e);
    }

    ngx_cometa_lane_remove(e);

    if (ngx_queue_empty(&lane->events)) {
        ngx_cometa_lane_settle(lane);

    } else {
        ngx_cometa_lane_ready(lane);
    }

done:

    /* a request has ended, so another one may begin */

    if (!ngx_queue_empty(&conf->turns)) {
        ngx_cometa_webhook_list(conf);
    }
}


/* An upstream that understood an event and refused it would do so again. */

static ngx_uint_t
ngx_cometa_webhook_again(ngx_cometa_event_t *e)
{
    ngx_uint_t  status;

    status = e->lane->status;

    return status < NGX_HTTP_BAD_REQUEST
           || status >= NGX_HTTP_INTERNAL_SERVER_ERROR
           || status == NGX_HTTP_REQUEST_TIME_OUT
           || status == NGX_HTTP_TOO_MANY_REQUESTS;
}


/*
 * Twice as long after each try, and by chance between half and one and a half
 * of that, so that events that failed together are not tried again together.
 */

static ngx_msec_t
ngx_cometa_webhook_wait(ngx_cometa_webhook_conf_t *conf, ngx_cometa_event_t *e)
{
    ngx_uint_t  i;
    ngx_msec_t  wait;

    wait = conf->retry;

    for (i = 1; i < e->tries && wait < conf->max_retry; i++) {
        wait *= 2;
    }

    wait = ngx_min(wait, conf->max_retry);

    return wait / 2 + ngx_random() % wait;
}


void
ngx_cometa_webhook_abandon(void)
{
    if (ngx_cometa_lanes_events() == 0 || ngx_cometa_webhook_abandoned) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "cometa_webhook: %ui events are lost, because the worker "
                  "process ends", ngx_cometa_lanes_events());

    ngx_cometa_webhook_abandoned = 1;

    ngx_cometa_lanes_each(ngx_cometa_webhook_give_up);

    if (ngx_cometa_webhook_event.timer_set) {
        ngx_del_timer(&ngx_cometa_webhook_event);
    }
}


/* All events of a lane fail; a running one when its request has ended. */

static void
ngx_cometa_webhook_give_up(ngx_cometa_lane_t *lane)
{
    ngx_connection_t  *c;

    if (lane->request) {
        c = lane->request->connection;

        /* the cleanup of the upstream module drops one reference */
        lane->request->main->count++;

        ngx_http_finalize_request(lane->request, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    while (!ngx_queue_empty(&lane->events)) {
        ngx_cometa_stats_add(lane->tenant->app, webhook_failed, 1);
        ngx_cometa_lane_remove(ngx_cometa_lane_first(lane));
    }

    ngx_cometa_lane_settle(lane);
}
