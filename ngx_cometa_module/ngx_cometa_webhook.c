
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
 * A request needs a connection. It gets one to nobody: a socket that is never
 * connected, whose output is discarded. What happens to it in between is all
 * nginx's: proxy_pass, TLS, keep-alive, balancing, proxy_next_upstream, logs.
 */

#include "ngx_cometa_webhook.h"
#include "ngx_cometa_compat.h"


#define NGX_COMETA_WEBHOOK_QUEUE    16384               /* events */
#define NGX_COMETA_WEBHOOK_BYTES    (32 * 1024 * 1024)  /* of them */
#define NGX_COMETA_WEBHOOK_RUNNING  64
#define NGX_COMETA_WEBHOOK_TRIES    6
#define NGX_COMETA_WEBHOOK_WAIT     100                 /* ms, then doubled */
#define NGX_COMETA_WEBHOOK_TABLE    1024


typedef struct ngx_cometa_lane_s  ngx_cometa_lane_t;


/* One event; its data follows. */

typedef struct {
    ngx_queue_t                 link;
    ngx_cometa_lane_t          *lane;
    ngx_cometa_webhook_conf_t  *conf;
    ngx_str_t                  *reason;
    uint64_t                    session;
    uint32_t                    app;
    uint32_t                    len;
    uint8_t                     event;
    uint8_t                     tries;
} ngx_cometa_event_t;


struct ngx_cometa_lane_s {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 ready;      /* in the queue of that name */
    ngx_queue_t                 events;
    ngx_event_t                 timer;      /* until the next try */
    ngx_http_request_t         *request;    /* running */
    ngx_cometa_key_t            key;
    u_char                      device[NGX_COMETA_ID_MAX];
    socklen_t                   socklen;
    u_char                      addr[sizeof(struct sockaddr_in6)]
                                    __attribute__((aligned(4)));
};


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
static ngx_http_request_t *ngx_cometa_webhook_request(
    ngx_cometa_lane_t *lane);
static ngx_connection_t *ngx_cometa_webhook_connection(
    ngx_cometa_lane_t *lane, ngx_cometa_webhook_conf_t *conf);
static ngx_int_t ngx_cometa_webhook_fill(ngx_http_request_t *r,
    ngx_cometa_lane_t *lane, ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_headers(ngx_http_request_t *r,
    ngx_cometa_lane_t *lane, ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value);
static ngx_int_t ngx_cometa_webhook_body(ngx_http_request_t *r,
    ngx_cometa_event_t *e);
static void ngx_cometa_webhook_handler(ngx_event_t *ev);
static ngx_chain_t *ngx_cometa_webhook_discard(ngx_connection_t *c,
    ngx_chain_t *in, off_t limit);
static void ngx_cometa_webhook_cleanup(void *data);
static u_char *ngx_cometa_webhook_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


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

    ngx_cometa_stats_add(dev->app, webhook_queued, 1);

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
    ngx_cometa_stats_add(e->app, webhook_queued, -1);

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

    r = ngx_cometa_webhook_request(lane);

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


static ngx_http_request_t *
ngx_cometa_webhook_request(ngx_cometa_lane_t *lane)
{
    ngx_connection_t    *c;
    ngx_cometa_event_t  *e;
    ngx_http_request_t  *r;
    ngx_pool_cleanup_t  *cln;

    e = ngx_queue_data(ngx_queue_head(&lane->events), ngx_cometa_event_t,
                       link);

    c = ngx_cometa_webhook_connection(lane, e->conf);
    if (c == NULL) {
        return NULL;
    }

    r = ngx_http_create_request(c);
    if (r == NULL) {
        ngx_http_close_connection(c);
        return NULL;
    }

    c->data = r;

    if (ngx_cometa_webhook_fill(r, lane, e) != NGX_OK) {
        goto failed;
    }

    /* of the pool: it runs when the request is logged, and all is read */

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        goto failed;
    }

    cln->handler = ngx_cometa_webhook_cleanup;
    cln->data = lane;

    return r;

failed:

    r->logged = 1;
    ngx_http_free_request(r, 0);
    ngx_http_close_connection(c);

    return NULL;
}


static ngx_connection_t *
ngx_cometa_webhook_connection(ngx_cometa_lane_t *lane,
    ngx_cometa_webhook_conf_t *conf)
{
    ngx_log_t              *log;
    ngx_pool_t             *pool;
    ngx_socket_t            fd;
    ngx_connection_t       *c;
    ngx_http_log_ctx_t     *ctx;
    ngx_http_connection_t  *hc;

    fd = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (fd == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_socket_errno,
                      "cometa_webhook: " ngx_socket_n " failed");
        return NULL;
    }

    c = NULL;
    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool == NULL || ngx_nonblocking(fd) == -1) {
        goto failed;
    }

    log = ngx_palloc(pool, sizeof(ngx_log_t));
    ctx = ngx_pcalloc(pool, sizeof(ngx_http_log_ctx_t));
    hc = ngx_pcalloc(pool, sizeof(ngx_http_connection_t));

    if (log == NULL || ctx == NULL || hc == NULL) {
        goto failed;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        goto failed;
    }

    c->pool = pool;
    c->data = hc;
    c->buffer = ngx_create_temp_buf(pool, 1);
    c->sockaddr = (struct sockaddr *) lane->addr;
    c->socklen = lane->socklen;
    c->addr_text.data = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);

    if (c->buffer == NULL || c->addr_text.data == NULL) {
        goto failed;
    }

    c->addr_text.len = ngx_sock_ntop(c->sockaddr, c->socklen,
                                     c->addr_text.data, NGX_SOCKADDR_STRLEN,
                                     0);

    *log = *ngx_cycle->log;
    log->connection = c->number = ngx_atomic_fetch_add(ngx_connection_counter,
                                                       1);
    log->handler = ngx_cometa_webhook_log_error;
    log->data = ctx;
    log->action = "sending an event to the webhook";

    ctx->connection = c;
    hc->conf_ctx = conf->ctx;

    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = ngx_cometa_webhook_handler;
    c->write->handler = ngx_cometa_webhook_handler;
    c->write->ready = 1;
    c->log_error = NGX_ERROR_INFO;

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_cometa_webhook_discard;

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    return c;

failed:

    if (c) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    (void) ngx_close_socket(fd);

    return NULL;
}


static ngx_int_t
ngx_cometa_webhook_fill(ngx_http_request_t *r, ngx_cometa_lane_t *lane,
    ngx_cometa_event_t *e)
{
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    r->method = NGX_HTTP_POST;
    ngx_str_set(&r->method_name, "POST");
    ngx_str_set(&r->http_protocol, "HTTP/1.1");
    r->http_version = NGX_HTTP_VERSION_11;
    r->http_state = NGX_HTTP_PROCESS_REQUEST_STATE;

    r->uri = e->conf->uri;
    r->args = e->conf->args;
    r->unparsed_uri = e->conf->uri;
    r->headers_in.server = cscf->server_name;

    r->request_line.data = ngx_pnalloc(r->pool, r->uri.len
                                       + sizeof("POST  HTTP/1.1"));
    if (r->request_line.data == NULL) {
        return NGX_ERROR;
    }

    r->request_line.len = ngx_sprintf(r->request_line.data,
                                      "POST %V HTTP/1.1", &r->uri)
                          - r->request_line.data;

    if (ngx_list_init(&r->headers_in.headers, r->pool, 8,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_cometa_webhook_headers(r, lane, e) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cometa_webhook_body(r, e);
}


static ngx_int_t
ngx_cometa_webhook_headers(ngx_http_request_t *r, ngx_cometa_lane_t *lane,
    ngx_cometa_event_t *e)
{
    u_char     *p;
    ngx_str_t   session, event, type;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    session.data = p;
    session.len = ngx_sprintf(p, "%uL", e->session) - p;

    switch (e->event) {

    case NGX_COMETA_EVENT_ATTACH:
        ngx_str_set(&event, "attach");
        break;

    case NGX_COMETA_EVENT_DETACH:
        ngx_str_set(&event, "detach");
        break;

    default:
        ngx_str_set(&event, "data");
    }

    ngx_str_set(&type, "application/octet-stream");

    if (ngx_cometa_webhook_header(r, "Content-Type", &type) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the first of the list */
    r->headers_in.content_type = r->headers_in.headers.part.elts;

    if (ngx_cometa_webhook_header(r, "Cometa-Application", &lane->key.app)
           != NGX_OK
        || ngx_cometa_webhook_header(r, "Cometa-Device", &lane->key.device)
           != NGX_OK
        || ngx_cometa_webhook_header(r, "Cometa-Session", &session) != NGX_OK
        || ngx_cometa_webhook_header(r, "Cometa-Event", &event) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (e->reason
        && ngx_cometa_webhook_header(r, "Cometa-Reason", e->reason) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_webhook_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value)
{
    size_t            len;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value = *value;

    h->lowcase_key = ngx_pnalloc(r->pool, len);
    if (h->lowcase_key == NULL) {
        return NGX_ERROR;
    }

    h->hash = ngx_hash_strlow(h->lowcase_key, h->key.data, len);
    ngx_cometa_header_single(h);

    return NGX_OK;
}


/* The data stays with the event, which outlives the request. */

static ngx_int_t
ngx_cometa_webhook_body(ngx_http_request_t *r, ngx_cometa_event_t *e)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    r->headers_in.content_length_n = e->len;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    r->request_body = rb;

    if (e->len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = (u_char *) (e + 1);
    b->pos = b->start;
    b->last = b->start + e->len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    rb->bufs = cl;

    return NGX_OK;
}


static void
ngx_cometa_webhook_handler(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    if (c->close) {
        /* worker_shutdown_timeout */
        ngx_cometa_webhook_abandon();
        return;
    }

    if (!ev->write) {
        return;
    }

    if (ev->delayed && ev->timedout) {
        ev->delayed = 0;
        ev->timedout = 0;
    }

    r->write_event_handler(r);
    ngx_http_run_posted_requests(c);
}


static ngx_chain_t *
ngx_cometa_webhook_discard(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        c->sent += ngx_buf_size(b);

        if (ngx_buf_in_memory(b)) {
            b->pos = b->last;
        }

        if (b->in_file) {
            b->file_pos = b->file_last;
        }
    }

    return NULL;
}


static void
ngx_cometa_webhook_cleanup(void *data)
{
    ngx_cometa_lane_t  *lane = data;

    ngx_cometa_webhook_done(lane, lane->request
                                  ? lane->request->headers_out.status : 0);
}


static u_char *
ngx_cometa_webhook_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              *p;
    ngx_http_log_ctx_t  *ctx;

    p = buf;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    ctx = log->data;

    if (ctx->request) {
        p = ngx_snprintf(buf, len, ", webhook: \"%V\"", &ctx->request->uri);
    }

    return p;
}
