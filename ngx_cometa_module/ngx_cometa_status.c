
/*
 * What is asked about: one device (its owner tells), the list of devices of
 * an application (a slice at a time), the figures of an application.
 */

#include "ngx_cometa_http.h"
#include "ngx_cometa_keys.h"


#define NGX_COMETA_QUERY_TIMEOUT  5000          /* ms, for an owner's answer */
#define NGX_COMETA_LIST_BUFFER                                                \
    (NGX_COMETA_WALK_MAX * (NGX_COMETA_ID_MAX + 3) + 128)


/* A list under way: counts all devices first, then sends their names. */

typedef struct {
    ngx_event_t           event;        /* the next slice */
    ngx_buf_t            *buf;
    uint32_t              app;
    uint32_t              cursor;
    ngx_uint_t            total;
    ngx_uint_t            sent;
    unsigned              counted:1;
    unsigned              done:1;
} ngx_cometa_list_t;


static ngx_int_t ngx_cometa_status_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_status_device_done(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);
static ngx_int_t ngx_cometa_status_app(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_int_t ngx_cometa_status_list(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_list_event(ngx_event_t *ev);
static void ngx_cometa_list_next(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_list_slice(ngx_http_request_t *r,
    ngx_cometa_list_t *list);
static void ngx_cometa_list_fill(ngx_cometa_list_t *list,
    ngx_cometa_id_t *ids, ngx_uint_t n);
static void ngx_cometa_status_cleanup(void *data);


static ngx_cometa_id_t  ngx_cometa_list_ids[NGX_COMETA_WALK_MAX];


ngx_int_t
ngx_cometa_status_handler(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_str_t               device;
    ngx_uint_t              error, list;
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    ctx = ngx_cometa_http_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_null(&device);

    if (lcf->device
        && ngx_http_complex_value(r, lcf->device, &device) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* "*" names the list; so does, without a device, a URI in /devices */

    list = (device.len == 1 && device.data[0] == '*')
           || (device.len == 0
               && r->uri.len >= 8
               && ngx_strncmp(r->uri.data + r->uri.len - 8, "/devices", 8)
                  == 0);

    error = ngx_cometa_http_key(r, ctx, device.len && !list);

    if (error == NGX_COMETA_OK && !ngx_cometa_http_authorize(r)) {
        error = NGX_COMETA_UNAUTHORIZED;
    }

    if (error == NGX_COMETA_OK && !ngx_cometa_zone.claimed) {
        error = NGX_COMETA_OVERLOADED;
    }

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    if (list) {
        return ngx_cometa_status_list(r, ctx);
    }

    if (device.len) {
        return ngx_cometa_status_device(r, ctx);
    }

    return ngx_cometa_status_app(r, ctx);
}


static ngx_int_t
ngx_cometa_status_device(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_cometa_call_t   *call;
    ngx_http_cleanup_t  *cln;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_cometa_status_cleanup;
    cln->data = ctx;

    call->key = ctx->key;
    call->timeout = NGX_COMETA_QUERY_TIMEOUT;
    call->query = 1;
    call->handler = ngx_cometa_status_device_done;
    call->data = r;

    ctx->call = call;

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_cometa_http_start(r, ctx);

    return NGX_DONE;
}


static void
ngx_cometa_status_device_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len)
{
    ngx_int_t            rc;
    ngx_str_t            body;
    ngx_cometa_ctx_t    *ctx;
    ngx_http_request_t  *r;

    r = call->data;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ctx->call = NULL;
    ctx->session = call->session;
    ctx->placed = (call->session != 0);
    ctx->remote = call->remote;

    if (error != NGX_COMETA_OK) {
        rc = ngx_cometa_http_error(r, error);
        goto done;
    }

    body.len = len;
    body.data = ngx_pnalloc(r->pool, len);

    if (body.data == NULL) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto done;
    }

    ngx_memcpy(body.data, data, len);

    rc = ngx_cometa_http_json(r, NGX_HTTP_OK, &body);

done:

    ngx_cometa_http_end(r, ctx, rc);
}


static ngx_int_t
ngx_cometa_status_app(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    uint32_t                app;
    uint64_t                detached;
    ngx_str_t               name, body;
    ngx_uint_t              i;
    ngx_cometa_counters_t   sum;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    name = ctx->key.app;

    if (lcf->app_name
        && ngx_http_complex_value(r, lcf->app_name, &name) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    app = ngx_cometa_app(&ctx->key.app, 0);

    if (app == NGX_COMETA_NONE) {
        ngx_memzero(&sum, sizeof(ngx_cometa_counters_t));

    } else {
        ngx_cometa_stats_sum(app, &sum);
    }

    detached = 0;

    for (i = 0; i < NGX_COMETA_REASONS; i++) {
        detached += sum.detached[i];
    }

    body.data = ngx_pnalloc(r->pool, 768 + 24 * NGX_INT64_LEN
                            + NGX_COMETA_ID_MAX + 6 * name.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data, "{\"app_id\":\"%V\",\"app_name\":\"",
                           &ctx->key.app)
               - body.data;

    body.len = (u_char *) ngx_escape_json(body.data + body.len, name.data,
                                          name.len)
               - body.data;

    body.len = ngx_sprintf(body.data + body.len,
                           "\",\"stats\":{\"num_devices\":\"%uL\","
                           "\"messages\":\"%uL\",\"errors\":\"%uL\","
                           "\"bytes_up\":\"%uL\",\"bytes_down\":\"%uL\","
                           "\"websockets\":\"%uL\","
                           "\"events\":\"%uL\",\"late\":\"%uL\","
                           "\"timeouts\":\"%uL\",\"queued\":\"%uL\","
                           "\"calls\":\"%uL\",\"failed\":\"%uL\","
                           "\"attached_total\":\"%uL\","
                           "\"detached_total\":\"%uL\","
                           "\"websockets_slow\":\"%uL\","
                           "\"webhook_sent\":\"%uL\","
                           "\"webhook_failed\":\"%uL\","
                           "\"webhook_retries\":\"%uL\","
                           "\"webhook_dropped\":\"%uL\","
                           "\"webhook_queued\":\"%uL\","
                           "\"keys_dropped\":\"%ui\"}}",
                           sum.devices, sum.messages, sum.errors,
                           sum.bytes_up, sum.bytes_down, sum.websockets,
                           sum.events,
                           sum.late, sum.timeouts, sum.queued, sum.calls,
                           sum.failed, sum.attached, detached,
                           sum.websockets_slow, sum.webhook_sent,
                           sum.webhook_failed, sum.webhook_retries,
                           sum.webhook_dropped, sum.webhook_queued,
                           app == NGX_COMETA_NONE
                           ? 0 : ngx_cometa_keys_dropped(app))
               - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_cometa_status_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_cometa_list_t   *list;
    ngx_http_cleanup_t  *cln;

    list = ngx_pcalloc(r->pool, sizeof(ngx_cometa_list_t));
    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    list->buf = ngx_create_temp_buf(r->pool, NGX_COMETA_LIST_BUFFER);
    if (list->buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_cometa_status_cleanup;
    cln->data = ctx;

    ctx->list = list;

    list->app = ngx_cometa_app(&ctx->key.app, 0);

    if (list->app == NGX_COMETA_NONE) {
        list->cursor = NGX_COMETA_NONE;
    }

    list->event.handler = ngx_cometa_list_event;
    list->event.data = r;
    list->event.log = r->connection->log;

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_cometa_list_next;

    ngx_cometa_list_next(r);

    return NGX_DONE;
}


static void
ngx_cometa_list_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ev->data;
    c = r->connection;

    ngx_cometa_list_next(r);
    ngx_http_run_posted_requests(c);
}


/* One slice for each turn of the event loop, if the client keeps up. */

static void
ngx_cometa_list_next(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_event_t               *wev;
    ngx_cometa_ctx_t          *ctx;
    ngx_cometa_list_t         *list;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    list = ctx->list;
    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (list->event.posted) {
        return;
    }

    rc = NGX_OK;

    if (list->buf->pos < list->buf->last) {
        rc = ngx_http_output_filter(r, NULL);

    } else if (!list->done) {
        rc = ngx_cometa_list_slice(r, list);
    }

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (list->done) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (wev->delayed) {
        /* limit_rate: nginx comes back when it is time */
        return;
    }

    if (list->buf->pos < list->buf->last) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        ngx_add_timer(wev, clcf->send_timeout);

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    ngx_post_event(&list->event, &ngx_posted_next_events);
}


static ngx_int_t
ngx_cometa_list_slice(ngx_http_request_t *r, ngx_cometa_list_t *list)
{
    ngx_buf_t    *b;
    ngx_uint_t    n;
    ngx_chain_t   out;

    n = 0;

    if (list->cursor != NGX_COMETA_NONE) {
        n = ngx_cometa_registry_walk(list->app, &list->cursor,
                                     ngx_cometa_list_ids);
    }

    b = list->buf;
    b->pos = b->start;
    b->last = b->start;

    if (!list->counted) {
        list->total += n;

        if (list->cursor == NGX_COMETA_NONE) {
            list->counted = 1;
            list->cursor = list->total ? 0 : NGX_COMETA_NONE;
            b->last = ngx_sprintf(b->last,
                                  "{\"num_devices\":%ui,\"devices\":[",
                                  list->total);
            n = 0;
        }

        if (list->cursor != NGX_COMETA_NONE && b->last == b->start) {
            return NGX_OK;
        }

    } else {
        ngx_cometa_list_fill(list, ngx_cometa_list_ids, n);
    }

    if (list->cursor == NGX_COMETA_NONE) {
        *b->last++ = ']';
        *b->last++ = '}';

        b->last_buf = (r == r->main) ? 1 : 0;
        b->last_in_chain = 1;
        list->done = 1;
    }

    if (b->last == b->start) {
        return NGX_OK;
    }

    b->flush = 1;
    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_cometa_list_fill(ngx_cometa_list_t *list, ngx_cometa_id_t *ids,
    ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    p = list->buf->last;

    for (i = 0; i < n; i++) {
        if (list->sent++) {
            *p++ = ',';
        }

        *p++ = '"';
        p = ngx_cpymem(p, ids[i].data, ids[i].len);
        *p++ = '"';
    }

    list->buf->last = p;
}


static void
ngx_cometa_status_cleanup(void *data)
{
    ngx_cometa_list_t  *list;
    ngx_cometa_ctx_t   *ctx = data;

    if (ctx->call) {
        ngx_cometa_call_cancel(ctx->call);
        ctx->call = NULL;
    }

    list = ctx->list;

    if (list && list->event.posted) {
        ngx_delete_posted_event(&list->event);
    }
}
