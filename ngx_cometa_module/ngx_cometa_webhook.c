
/*
 * The webhook. All state is this process's own.
 *
 * Events of one device stand in one lane and go out one after the other, so
 * that they keep their order; a lane exists while it has events. Lanes whose
 * first event may go wait in `ready` for one of a few places, so that a slow
 * upstream costs neither memory nor descriptors without bound.
 *
 *     push --> lane --> ready --> running --2xx--> sent
 *               ^                    |
 *               `--- after a while --+--no more tries--> failed
 *
 * What happens to a running one is in ngx_cometa_webhook_request.c, and
 * nginx's.
 */

#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_request.h"


#define NGX_COMETA_WEBHOOK_QUEUE    16384               /* events */
#define NGX_COMETA_WEBHOOK_BYTES    (32 * 1024 * 1024)  /* of them */
#define NGX_COMETA_WEBHOOK_RUNNING  64
#define NGX_COMETA_WEBHOOK_TRIES    6
#define NGX_COMETA_WEBHOOK_WAIT     100                 /* ms, then doubled */
#define NGX_COMETA_WEBHOOK_TABLE    1024


/* What is still to be logged. */

typedef struct {
    ngx_uint_t                  dropped;
    ngx_uint_t                  failed;
    ngx_uint_t                  status;
    ngx_event_t                 timer;
} ngx_cometa_report_t;


static ngx_cometa_lane_t *ngx_cometa_lane_get(ngx_cometa_device_t *dev);
static void ngx_cometa_lane_wait(ngx_cometa_lane_t *lane);
static void ngx_cometa_lane_timer(ngx_event_t *ev);
static void ngx_cometa_webhook_drop(uint32_t app);
static void ngx_cometa_webhook_fail(ngx_cometa_lane_t *lane,
    ngx_cometa_event_t *e, ngx_uint_t status);
static void ngx_cometa_webhook_tell(void);
static void ngx_cometa_webhook_report_handler(ngx_event_t *ev);
static void ngx_cometa_lane_drop(ngx_cometa_lane_t *lane);
static void ngx_cometa_webhook_remove(ngx_cometa_event_t *e);
static void ngx_cometa_webhook_run(ngx_event_t *ev);
static void ngx_cometa_webhook_send(ngx_cometa_lane_t *lane);
static void ngx_cometa_webhook_done(ngx_cometa_lane_t *lane,
    ngx_uint_t status);
static void ngx_cometa_webhook_cleanup(void *data);


static ngx_queue_t   ngx_cometa_lanes[NGX_COMETA_WEBHOOK_TABLE];
static ngx_queue_t   ngx_cometa_lanes_ready;

static ngx_uint_t    ngx_cometa_webhook_queued;
static size_t        ngx_cometa_webhook_bytes;
static ngx_uint_t    ngx_cometa_webhook_running;
static ngx_event_t   ngx_cometa_webhook_event;
static ngx_uint_t    ngx_cometa_webhook_abandoned;

static ngx_cometa_report_t  ngx_cometa_webhook_report;


ngx_int_t
ngx_cometa_webhook_start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_WEBHOOK_TABLE; i++) {
        ngx_queue_init(&ngx_cometa_lanes[i]);
    }

    ngx_queue_init(&ngx_cometa_lanes_ready);

    ngx_cometa_webhook_event.handler = ngx_cometa_webhook_run;
    ngx_cometa_webhook_event.log = cycle->log;
    ngx_cometa_webhook_event.data = &ngx_cometa_webhook_event;

    ngx_cometa_webhook_report.timer.handler =
                                         ngx_cometa_webhook_report_handler;
    ngx_cometa_webhook_report.timer.log = cycle->log;
    ngx_cometa_webhook_report.timer.data = &ngx_cometa_webhook_report.timer;
    ngx_cometa_webhook_report.timer.cancelable = 1;

    return NGX_OK;
}


void
ngx_cometa_webhook_push(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_uint_t event, ngx_str_t *reason,
    u_char *data, size_t len)
{
    size_t               size;
    ngx_uint_t           idle;
    ngx_cometa_lane_t   *lane;
    ngx_cometa_event_t  *e;

    if (!(conf->events & event)) {
        return;
    }

    size = sizeof(ngx_cometa_event_t) + len;

    if (ngx_cometa_webhook_abandoned
        || ngx_cometa_webhook_queued == NGX_COMETA_WEBHOOK_QUEUE
        || ngx_cometa_webhook_bytes + size > NGX_COMETA_WEBHOOK_BYTES)
    {
        ngx_cometa_webhook_drop(dev->app);
        return;
    }

    e = ngx_alloc(size, ngx_cycle->log);
    if (e == NULL) {
        ngx_cometa_webhook_drop(dev->app);
        return;
    }

    lane = ngx_cometa_lane_get(dev);
    if (lane == NULL) {
        ngx_free(e);
        ngx_cometa_webhook_drop(dev->app);
        return;
    }

    e->lane = lane;
    e->conf = conf;
    e->reason = reason;
    e->session = dev->session;
    e->app = dev->app;
    e->len = len;
    e->event = event;
    e->tries = 0;
    ngx_memcpy(e + 1, data, len);

    idle = ngx_queue_empty(&lane->events);

    ngx_queue_insert_tail(&lane->events, &e->link);
    ngx_cometa_webhook_queued++;
    ngx_cometa_webhook_bytes += size;

    ngx_cometa_gauge_add(dev->app, webhook_queued, 1);

    if (idle) {
        ngx_cometa_lane_wait(lane);
    }
}


static ngx_cometa_lane_t *
ngx_cometa_lane_get(ngx_cometa_device_t *dev)
{
    ngx_str_t           app, device;
    ngx_queue_t        *q, *queue;
    ngx_cometa_key_t    key;
    ngx_cometa_lane_t  *lane;

    ngx_cometa_registry_name(dev->record, &app, &device);

    key.app = app;
    key.device = device;
    ngx_cometa_key_init(&key);

    /* taken over, and its record is another device's by now */

    if ((uint32_t) key.hash != dev->hash) {
        return NULL;
    }

    queue = &ngx_cometa_lanes[key.hash % NGX_COMETA_WEBHOOK_TABLE];

    for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {
        lane = ngx_queue_data(q, ngx_cometa_lane_t, link);

        if (lane->key.hash == key.hash) {
            return lane;
        }
    }

    lane = ngx_calloc(sizeof(ngx_cometa_lane_t), ngx_cycle->log);
    if (lane == NULL) {
        return NULL;
    }

    lane->key = key;
    lane->key.device.data = lane->device;
    ngx_memcpy(lane->device, device.data, device.len);

    lane->socklen = dev->addr_len;
    ngx_memcpy(lane->addr, dev->addr, dev->addr_len);

    lane->timer.handler = ngx_cometa_lane_timer;
    lane->timer.data = lane;
    lane->timer.log = ngx_cycle->log;

    ngx_queue_init(&lane->events);
    ngx_queue_insert_tail(queue, &lane->link);

    return lane;
}


static void
ngx_cometa_lane_wait(ngx_cometa_lane_t *lane)
{
    ngx_queue_insert_tail(&ngx_cometa_lanes_ready, &lane->ready);

    if (!ngx_cometa_webhook_event.posted) {
        ngx_post_event(&ngx_cometa_webhook_event, &ngx_posted_events);
    }
}


static void
ngx_cometa_lane_timer(ngx_event_t *ev)
{
    ngx_cometa_lane_wait(ev->data);
}


static void
ngx_cometa_webhook_drop(uint32_t app)
{
    ngx_cometa_stats_add(app, webhook_dropped, 1);

    ngx_cometa_webhook_report.dropped++;
    ngx_cometa_webhook_tell();
}


static void
ngx_cometa_webhook_fail(ngx_cometa_lane_t *lane, ngx_cometa_event_t *e,
    ngx_uint_t status)
{
    ngx_cometa_stats_add(e->app, webhook_failed, 1);

    if (ngx_cometa_webhook_abandoned) {
        return;
    }

    ngx_cometa_webhook_report.failed++;
    ngx_cometa_webhook_report.status = status;
    ngx_cometa_webhook_tell();
}


/* A line at once, and then one a second with what has come since. */

static void
ngx_cometa_webhook_tell(void)
{
    ngx_cometa_report_t  *report;

    report = &ngx_cometa_webhook_report;

    if (report->timer.timer_set) {
        return;
    }

    if (report->dropped) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "cometa_webhook: queue is full, %ui events dropped",
                      report->dropped);
    }

    if (report->failed) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "cometa_webhook: %ui events failed, the last one with "
                      "status %ui", report->failed, report->status);
    }

    report->dropped = 0;
    report->failed = 0;

    ngx_add_timer(&report->timer, 1000);
}


static void
ngx_cometa_webhook_report_handler(ngx_event_t *ev)
{
    if (ngx_cometa_webhook_report.dropped || ngx_cometa_webhook_report.failed)
    {
        ngx_cometa_webhook_tell();
    }
}


ngx_uint_t
ngx_cometa_webhook_count(void)
{
    return ngx_cometa_webhook_queued;
}


void
ngx_cometa_webhook_abandon(void)
{
    ngx_uint_t          i;
    ngx_queue_t        *q, *next;
    ngx_connection_t   *c;
    ngx_cometa_lane_t  *lane;

    if (ngx_cometa_webhook_queued == 0 || ngx_cometa_webhook_abandoned) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "cometa_webhook: %ui events are lost, for the worker "
                  "process ends", ngx_cometa_webhook_queued);

    ngx_cometa_webhook_abandoned = 1;

    for (i = 0; i < NGX_COMETA_WEBHOOK_TABLE; i++) {

        for (q = ngx_queue_head(&ngx_cometa_lanes[i]);
             q != ngx_queue_sentinel(&ngx_cometa_lanes[i]);
             q = next)
        {
            next = ngx_queue_next(q);
            lane = ngx_queue_data(q, ngx_cometa_lane_t, link);

            if (lane->request) {
                c = lane->request->connection;

                /* the upstream's end, among its cleanups, drops one */
                lane->request->main->count++;

                ngx_http_finalize_request(lane->request, NGX_ERROR);
                ngx_http_run_posted_requests(c);
                continue;
            }

            if (lane->timer.timer_set) {
                ngx_del_timer(&lane->timer);

            } else {
                ngx_queue_remove(&lane->ready);
            }

            ngx_cometa_lane_drop(lane);
        }
    }
}


/* Gives up all events of a lane, and the lane. */

static void
ngx_cometa_lane_drop(ngx_cometa_lane_t *lane)
{
    ngx_cometa_event_t  *e;

    while (!ngx_queue_empty(&lane->events)) {
        e = ngx_queue_data(ngx_queue_head(&lane->events), ngx_cometa_event_t,
                           link);
        ngx_cometa_webhook_fail(lane, e, 0);
        ngx_cometa_webhook_remove(e);
    }

    ngx_queue_remove(&lane->link);
    ngx_free(lane);
}


static void
ngx_cometa_webhook_remove(ngx_cometa_event_t *e)
{
    ngx_cometa_gauge_add(e->app, webhook_queued, -1);

    ngx_cometa_webhook_queued--;
    ngx_cometa_webhook_bytes -= sizeof(ngx_cometa_event_t) + e->len;

    ngx_queue_remove(&e->link);
    ngx_free(e);
}


static void
ngx_cometa_webhook_run(ngx_event_t *ev)
{
    ngx_queue_t  *q;

    while (ngx_cometa_webhook_running < NGX_COMETA_WEBHOOK_RUNNING
           && !ngx_queue_empty(&ngx_cometa_lanes_ready))
    {
        q = ngx_queue_head(&ngx_cometa_lanes_ready);
        ngx_queue_remove(q);

        ngx_cometa_webhook_send(ngx_queue_data(q, ngx_cometa_lane_t, ready));
    }
}


static void
ngx_cometa_webhook_send(ngx_cometa_lane_t *lane)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_cometa_webhook_running++;

    r = ngx_cometa_webhook_request(lane, ngx_cometa_webhook_cleanup);

    if (r == NULL) {
        ngx_cometa_webhook_done(lane, 0);
        return;
    }

    c = r->connection;
    lane->request = r;

    /* as an internal redirect: a location that is `internal` is found */

    r->internal = 1;

    ngx_http_handler(r);
    ngx_http_run_posted_requests(c);
}


/* The end of one try; called from the end of its request. */

static void
ngx_cometa_webhook_done(ngx_cometa_lane_t *lane, ngx_uint_t status)
{
    ngx_msec_t           wait;
    ngx_cometa_event_t  *e;

    ngx_cometa_webhook_running--;
    lane->request = NULL;

    e = ngx_queue_data(ngx_queue_head(&lane->events), ngx_cometa_event_t,
                       link);

    if (ngx_cometa_webhook_abandoned) {
        ngx_cometa_lane_drop(lane);
        return;
    }

    if (status < 200 || status >= 300) {

        /* what the upstream understood and refused, it will refuse again */

        if (++e->tries < NGX_COMETA_WEBHOOK_TRIES
            && (status < 400 || status >= 500 || status == 408
                || status == 429))
        {
            wait = NGX_COMETA_WEBHOOK_WAIT << (e->tries - 1);
            ngx_cometa_stats_add(e->app, webhook_retries, 1);
            ngx_add_timer(&lane->timer, wait / 2 + ngx_random() % wait);
            goto next;
        }

        ngx_cometa_webhook_fail(lane, e, status);

    } else {
        ngx_cometa_stats_add(e->app, webhook_sent, 1);
    }

    ngx_cometa_webhook_remove(e);

    if (ngx_queue_empty(&lane->events)) {
        ngx_queue_remove(&lane->link);
        ngx_free(lane);

    } else {
        ngx_cometa_lane_wait(lane);
    }

next:

    /* there is a place free again */

    if (!ngx_queue_empty(&ngx_cometa_lanes_ready)
        && !ngx_cometa_webhook_event.posted)
    {
        ngx_post_event(&ngx_cometa_webhook_event, &ngx_posted_events);
    }
}


static void
ngx_cometa_webhook_cleanup(void *data)
{
    ngx_cometa_lane_t  *lane = data;

    ngx_cometa_webhook_done(lane, lane->request
                                  ? lane->request->headers_out.status : 0);
}
