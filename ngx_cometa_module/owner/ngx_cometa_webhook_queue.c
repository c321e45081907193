
/*
 * Two rules keep tenants apart.
 *
 * Room: if the queue is full, a new event takes the place of another one. Of
 * the application that has most waiting, the device that has most waiting loses
 * its last event. If that is the device of the new event, the new event is
 * dropped.
 *
 * Turns: applications take turns, and within each its devices do. An
 * application may begin a further request while it runs fewer than are free:
 * one application alone gets half of the requests, and another one always finds
 * one.
 */

#include "ngx_cometa_webhook_queue.h"
#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_share.h"
#include "ngx_cometa_webhook_report.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_LANES_TABLE    4096
#define NGX_COMETA_TENANTS_TABLE  256


static ngx_queue_t *ngx_cometa_lanes_bucket(uint64_t hash);
static ngx_cometa_lane_t *ngx_cometa_lane_find(
    ngx_cometa_webhook_conf_t *conf, uint64_t hash);
static ngx_cometa_lane_t *ngx_cometa_lane_new(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_key_t *key, uint32_t app, ngx_cometa_address_t *address);
static ngx_cometa_lane_t *ngx_cometa_lane_create(ngx_cometa_tenant_t *tenant,
    ngx_cometa_key_t *key, ngx_cometa_address_t *address);
static ngx_cometa_tenant_t *ngx_cometa_tenant_get(
    ngx_cometa_webhook_conf_t *conf, uint32_t app);
static void ngx_cometa_tenant_settle(ngx_cometa_tenant_t *tenant);
static void ngx_cometa_event_set(ngx_cometa_event_t *e,
    ngx_cometa_news_t *news);
static u_char *ngx_cometa_event_keep(u_char *dst, u_char *data, size_t len);
static ngx_int_t ngx_cometa_lane_room(ngx_cometa_lane_t *lane, ngx_uint_t n);
static void ngx_cometa_lane_evict(ngx_cometa_lane_t *lane);
static void ngx_cometa_lane_unready(ngx_cometa_lane_t *lane);
static void ngx_cometa_lane_hold(ngx_cometa_lane_t *lane, ngx_int_t n);


static ngx_queue_t  ngx_cometa_lanes[NGX_COMETA_LANES_TABLE];
static ngx_queue_t  ngx_cometa_tenants[NGX_COMETA_TENANTS_TABLE];
static ngx_uint_t   ngx_cometa_events;


void
ngx_cometa_lanes_start(void)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_LANES_TABLE; i++) {
        ngx_queue_init(&ngx_cometa_lanes[i]);
    }

    for (i = 0; i < NGX_COMETA_TENANTS_TABLE; i++) {
        ngx_queue_init(&ngx_cometa_tenants[i]);
    }
}


ngx_uint_t
ngx_cometa_lanes_events(void)
{
    return ngx_cometa_events;
}


void
ngx_cometa_lanes_each(void (*handler)(ngx_cometa_lane_t *lane))
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *next;

    for (i = 0; i < NGX_COMETA_LANES_TABLE; i++) {

        for (q = ngx_queue_head(&ngx_cometa_lanes[i]);
             q != ngx_queue_sentinel(&ngx_cometa_lanes[i]);
             q = next)
        {
            next = ngx_queue_next(q);
            handler(ngx_queue_data(q, ngx_cometa_lane_t, link));
        }
    }
}


ngx_cometa_lane_t *
ngx_cometa_lane_get(ngx_cometa_webhook_conf_t *conf, ngx_cometa_device_t *dev,
    ngx_uint_t asks)
{
    ngx_str_t           app, device;
    ngx_cometa_key_t    key;
    ngx_cometa_lane_t  *lane;

    if (!ngx_cometa_registry_named(dev->state.record, dev->state.hash)) {
        return NULL;
    }

    lane = asks ? NULL : ngx_cometa_lane_find(conf, dev->state.hash);
    if (lane) {
        return lane;
    }

    ngx_cometa_registry_name(dev->state.record, &app, &device);

    key.app = app;
    key.device = device;
    ngx_cometa_key_init(&key);

    /* the record may have got another name while it was read */

    if (key.hash != dev->state.hash) {
        return NULL;
    }

    lane = ngx_cometa_lane_new(conf, &key, dev->state.app,
                               &dev->state.address);
    if (lane) {
        lane->asks = asks;
    }

    return lane;
}


ngx_cometa_lane_t *
ngx_cometa_lane_named(ngx_cometa_webhook_conf_t *conf, ngx_cometa_key_t *key,
    uint32_t app, ngx_cometa_address_t *address)
{
    ngx_cometa_lane_t  *lane;

    lane = ngx_cometa_lane_find(conf, key->hash);

    return lane ? lane : ngx_cometa_lane_new(conf, key, app, address);
}


static ngx_cometa_lane_t *
ngx_cometa_lane_new(ngx_cometa_webhook_conf_t *conf, ngx_cometa_key_t *key,
    uint32_t app, ngx_cometa_address_t *address)
{
    ngx_cometa_lane_t    *lane;
    ngx_cometa_tenant_t  *tenant;

    tenant = ngx_cometa_tenant_get(conf, app);
    if (tenant == NULL) {
        return NULL;
    }

    lane = ngx_cometa_lane_create(tenant, key, address);
    if (lane == NULL) {
        ngx_cometa_tenant_settle(tenant);
    }

    return lane;
}


static ngx_queue_t *
ngx_cometa_lanes_bucket(uint64_t hash)
{
    return &ngx_cometa_lanes[hash % NGX_COMETA_LANES_TABLE];
}


static ngx_cometa_lane_t *
ngx_cometa_lane_find(ngx_cometa_webhook_conf_t *conf, uint64_t hash)
{
    ngx_queue_t        *q, *queue;
    ngx_cometa_lane_t  *lane;

    queue = ngx_cometa_lanes_bucket(hash);

    for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {
        lane = ngx_queue_data(q, ngx_cometa_lane_t, link);

        if (lane->key.hash == hash && lane->tenant->conf == conf
            && !lane->asks)
        {
            return lane;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_cometa_lane_exists(ngx_cometa_webhook_conf_t *conf, uint64_t hash)
{
    return ngx_cometa_lane_find(conf, hash) != NULL;
}


static ngx_cometa_lane_t *
ngx_cometa_lane_create(ngx_cometa_tenant_t *tenant, ngx_cometa_key_t *key,
    ngx_cometa_address_t *address)
{
    ngx_cometa_lane_t     *lane;
    ngx_cometa_address_t   nowhere;

    ngx_memzero(&nowhere, sizeof(ngx_cometa_address_t));

    lane = ngx_calloc(sizeof(ngx_cometa_lane_t), ngx_cycle->log);
    if (lane == NULL) {
        return NULL;
    }

    ngx_cometa_magic_set(lane, NGX_COMETA_LANE_MAGIC);

    /* copies: the names may leave the zone before the lane is freed */

    lane->key = *key;
    lane->key.app.data = lane->app;
    lane->key.device.data = lane->device;
    ngx_memcpy(lane->app, key->app.data, key->app.len);
    ngx_memcpy(lane->device, key->device.data, key->device.len);

    lane->socklen = ngx_cometa_address_get(address ? address : &nowhere,
                                           &lane->addr);

    lane->tenant = tenant;
    tenant->lanes++;

    ngx_queue_init(&lane->events);
    ngx_queue_insert_tail(ngx_cometa_lanes_bucket(key->hash), &lane->link);

    return lane;
}


void
ngx_cometa_lane_settle(ngx_cometa_lane_t *lane)
{
    ngx_cometa_tenant_t  *tenant;

    if (!ngx_queue_empty(&lane->events)) {
        return;
    }

    tenant = lane->tenant;

    ngx_cometa_lane_unready(lane);

    if (lane->timer.timer_set) {
        ngx_del_timer(&lane->timer);
    }

    ngx_cometa_expect(!lane->running && tenant->lanes > 0);

    ngx_queue_remove(&lane->link);
    ngx_cometa_magic_clear(lane);
    ngx_free(lane);

    tenant->lanes--;
    ngx_cometa_tenant_settle(tenant);
}


static ngx_cometa_tenant_t *
ngx_cometa_tenant_get(ngx_cometa_webhook_conf_t *conf, uint32_t app)
{
    ngx_queue_t          *q, *queue;
    ngx_cometa_tenant_t  *tenant;

    queue = &ngx_cometa_tenants[app % NGX_COMETA_TENANTS_TABLE];

    for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {
        tenant = ngx_queue_data(q, ngx_cometa_tenant_t, link);

        if (tenant->app == app && tenant->conf == conf) {
            return tenant;
        }
    }

    tenant = ngx_calloc(sizeof(ngx_cometa_tenant_t), ngx_cycle->log);
    if (tenant == NULL) {
        return NULL;
    }

    tenant->conf = conf;
    tenant->app = app;

    ngx_queue_init(&tenant->ready);
    ngx_cometa_shares_init(&tenant->shares);
    ngx_queue_insert_tail(queue, &tenant->link);

    return tenant;
}


static void
ngx_cometa_tenant_settle(ngx_cometa_tenant_t *tenant)
{
    if (tenant->lanes == 0) {
        ngx_cometa_expect(tenant->running == 0 && tenant->share.held == 0);

        ngx_queue_remove(&tenant->link);
        ngx_free(tenant);
    }
}


ngx_cometa_event_t *
ngx_cometa_lane_first(ngx_cometa_lane_t *lane)
{
    return ngx_queue_data(ngx_queue_head(&lane->events), ngx_cometa_event_t,
                          link);
}


ngx_cometa_event_t *
ngx_cometa_lane_add(ngx_cometa_lane_t *lane, ngx_cometa_news_t *news)
{
    size_t                      size;
    ngx_uint_t                  n;
    ngx_cometa_event_t         *e;
    ngx_cometa_webhook_conf_t  *conf;

    conf = lane->tenant->conf;

    size = sizeof(ngx_cometa_event_t) + news->len + news->call.len
           + news->info.len + news->address.len;
    n = (size + NGX_COMETA_WEBHOOK_PLACE - 1) / NGX_COMETA_WEBHOOK_PLACE;
    n = ngx_min(n, conf->queue);

    if (ngx_cometa_lane_room(lane, n) != NGX_OK) {
        return NULL;
    }

    e = ngx_alloc(size, ngx_cycle->log);
    if (e == NULL) {
        return NULL;
    }

    e->lane = lane;
    e->places = n;
    e->tries = 0;

    ngx_cometa_event_set(e, news);

    ngx_queue_insert_tail(&lane->events, &e->link);
    ngx_cometa_lane_hold(lane, n);

    conf->held += n;
    ngx_cometa_events++;

    ngx_cometa_gauge_add(lane->tenant->app, webhook_queued, 1);

    return e;
}


static void
ngx_cometa_event_set(ngx_cometa_event_t *e, ngx_cometa_news_t *news)
{
    u_char      *p;
    ngx_time_t  *now;

    now = ngx_timeofday();

    e->time = (uint64_t) now->sec * 1000 + now->msec;
    e->event = news->event;
    e->word = news->word;
    e->sequence = news->sequence;
    e->len = news->len;
    e->call = news->call.len;
    e->info = news->info.len;
    e->address = news->address.len;

    p = (u_char *) (e + 1);
    p = ngx_cometa_event_keep(p, news->data, news->len);
    p = ngx_cometa_event_keep(p, news->call.data, news->call.len);
    p = ngx_cometa_event_keep(p, news->info.data, news->info.len);
    (void) ngx_cometa_event_keep(p, news->address.data, news->address.len);
}


/* Without a length there is no address either. */

static u_char *
ngx_cometa_event_keep(u_char *dst, u_char *data, size_t len)
{
    return len ? ngx_cpymem(dst, data, len) : dst;
}


/* If it is the first event of its lane, the lane must not be running. */

void
ngx_cometa_lane_remove(ngx_cometa_event_t *e)
{
    ngx_cometa_lane_t  *lane;

    lane = e->lane;

    ngx_cometa_expect(ngx_cometa_events > 0);
    ngx_cometa_expect(lane->tenant->conf->held >= e->places);

    ngx_cometa_lane_hold(lane, -(ngx_int_t) e->places);

    lane->tenant->conf->held -= e->places;
    ngx_cometa_events--;

    ngx_cometa_gauge_add(lane->tenant->app, webhook_queued, -1);

    ngx_queue_remove(&e->link);
    ngx_free(e);
}


/* NGX_BUSY: no other lane holds clearly more than this one would. */

static ngx_int_t
ngx_cometa_lane_room(ngx_cometa_lane_t *lane, ngx_uint_t n)
{
    ngx_cometa_share_t         *share;
    ngx_cometa_tenant_t        *tenant;
    ngx_cometa_webhook_conf_t  *conf;

    conf = lane->tenant->conf;

    while (conf->held + n > conf->queue) {

        share = ngx_cometa_share_payer(&conf->tenants, &lane->tenant->share,
                                       n);
        tenant = ngx_queue_data(share, ngx_cometa_tenant_t, share);

        share = (tenant == lane->tenant)
                ? ngx_cometa_share_payer(&tenant->shares, &lane->share, n)
                : ngx_cometa_share_largest(&tenant->shares);

        if (share == &lane->share) {
            return NGX_BUSY;
        }

        ngx_cometa_lane_evict(ngx_queue_data(share, ngx_cometa_lane_t,
                                             share));
    }

    return NGX_OK;
}


static void
ngx_cometa_lane_evict(ngx_cometa_lane_t *lane)
{
    ngx_cometa_event_t   *e;
    ngx_cometa_answer_t  *answer;

    answer = lane->answer;

    /* not the one that runs, which is not part of the share */

    e = ngx_queue_data(ngx_queue_last(&lane->events), ngx_cometa_event_t,
                       link);

    ngx_cometa_webhook_dropped(lane->tenant->conf, lane->tenant->app, lane,
                               e->session);
    ngx_cometa_lane_remove(e);
    ngx_cometa_lane_settle(lane);

    if (answer) {
        answer->handler(answer, 0);
    }
}


void
ngx_cometa_lane_ready(ngx_cometa_lane_t *lane)
{
    ngx_cometa_tenant_t  *tenant;

    tenant = lane->tenant;

    if (ngx_queue_empty(&tenant->ready)) {
        ngx_queue_insert_tail(&tenant->conf->turns, &tenant->turn);
    }

    ngx_cometa_expect(!lane->queued && !lane->running);
    ngx_cometa_expect(!ngx_queue_empty(&lane->events));

    ngx_queue_insert_tail(&tenant->ready, &lane->ready);
    lane->queued = 1;
}


static void
ngx_cometa_lane_unready(ngx_cometa_lane_t *lane)
{
    if (!lane->queued) {
        return;
    }

    lane->queued = 0;
    ngx_queue_remove(&lane->ready);

    if (ngx_queue_empty(&lane->tenant->ready)) {
        ngx_queue_remove(&lane->tenant->turn);
    }
}


/* At most `concurrency` tenants are passed over: each has a request. */

ngx_cometa_lane_t *
ngx_cometa_lane_next(ngx_cometa_webhook_conf_t *conf)
{
    ngx_uint_t            free;
    ngx_queue_t          *q;
    ngx_cometa_lane_t    *lane;
    ngx_cometa_tenant_t  *tenant;

    free = conf->concurrency - conf->running;

    if (free == 0) {
        return NULL;
    }

    for (q = ngx_queue_head(&conf->turns);
         q != ngx_queue_sentinel(&conf->turns);
         q = ngx_queue_next(q))
    {
        tenant = ngx_queue_data(q, ngx_cometa_tenant_t, turn);

        if (tenant->running < free) {
            goto found;
        }
    }

    return NULL;

found:

    /* the next turn is that of another tenant */

    ngx_queue_remove(&tenant->turn);
    ngx_queue_insert_tail(&conf->turns, &tenant->turn);

    lane = ngx_queue_data(ngx_queue_head(&tenant->ready), ngx_cometa_lane_t,
                          ready);

    ngx_cometa_lane_unready(lane);
    ngx_cometa_lane_hold(lane,
                         -(ngx_int_t) ngx_cometa_lane_first(lane)->places);

    ngx_cometa_expect(!lane->running);

    lane->running = 1;
    lane->status = 0;
    tenant->running++;
    conf->running++;

    return lane;
}


void
ngx_cometa_lane_end(ngx_cometa_lane_t *lane)
{
    ngx_cometa_expect(lane->running && lane->tenant->running > 0);
    ngx_cometa_expect(lane->tenant->conf->running > 0);

    lane->running = 0;
    lane->request = NULL;
    lane->tenant->running--;
    lane->tenant->conf->running--;

    ngx_cometa_lane_hold(lane, ngx_cometa_lane_first(lane)->places);
}


/* Adds n, which may be negative, to the places that a lane holds. */

static void
ngx_cometa_lane_hold(ngx_cometa_lane_t *lane, ngx_int_t n)
{
    ngx_cometa_tenant_t  *tenant;

    tenant = lane->tenant;

    ngx_cometa_share_add(&tenant->shares, &lane->share, n);
    ngx_cometa_share_add(&tenant->conf->tenants, &tenant->share, n);
}
