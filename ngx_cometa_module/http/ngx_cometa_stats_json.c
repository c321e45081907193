
/*
 * The statistics request: tells its kinds apart, and answers two of them, one
 * device (its owner tells) and the figures of an application.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_otk.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_histogram.h"


#define NGX_COMETA_QUERY_TIMEOUT  5000          /* ms, for an owner's answer */


static ngx_int_t ngx_cometa_stats_json_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_stats_json_device_done(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);
static ngx_int_t ngx_cometa_stats_json_app(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static u_char *ngx_cometa_stats_json_latency(u_char *p, char *name, double us);
static void ngx_cometa_stats_json_cleanup(void *data);


ngx_int_t
ngx_cometa_stats_json_handler(ngx_http_request_t *r)
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

    if (lcf->prometheus) {
        return ngx_cometa_stats_prometheus(r);
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
        return ngx_cometa_stats_list(r, ctx);
    }

    if (device.len) {
        return ngx_cometa_stats_json_device(r, ctx);
    }

    return ngx_cometa_stats_json_app(r, ctx);
}


static ngx_int_t
ngx_cometa_stats_json_device(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
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

    cln->handler = ngx_cometa_stats_json_cleanup;
    cln->data = ctx;

    call->key = ctx->key;
    call->timeout = NGX_COMETA_QUERY_TIMEOUT;
    call->query = 1;
    call->debug = ngx_cometa_traced(r->connection);
    call->handler = ngx_cometa_stats_json_device_done;
    call->data = r;

    ctx->call = call;

    r->main->count++;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_cometa_http_start(r, ctx);

    return NGX_DONE;
}


static void
ngx_cometa_stats_json_device_done(ngx_cometa_call_t *call, ngx_uint_t error,
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
ngx_cometa_stats_json_app(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    u_char                  *p;
    uint32_t                 app;
    uint64_t                 detached, failed, ms;
    ngx_str_t                name, body;
    ngx_uint_t               i, dropped;
    ngx_cometa_gauges_t      gauges;
    ngx_cometa_counters_t    sum;
    ngx_cometa_loc_conf_t   *lcf;
    ngx_cometa_latencies_t  *lat;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    name = ctx->key.app;

    if (lcf->app_name
        && ngx_http_complex_value(r, lcf->app_name, &name) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lat = ngx_pcalloc(r->pool, sizeof(ngx_cometa_latencies_t));
    p = ngx_pnalloc(r->pool, 1024 + 32 * NGX_INT64_LEN + NGX_COMETA_ID_MAX
                             + 6 * name.len);

    if (lat == NULL || p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&sum, sizeof(ngx_cometa_counters_t));
    ngx_memzero(&gauges, sizeof(ngx_cometa_gauges_t));

    dropped = 0;

    app = ngx_cometa_app_hold(&ctx->key.app, 0, holds);

    if (app != NGX_COMETA_NONE) {
        ngx_cometa_stats_sum(app, &sum);
        ngx_cometa_stats_gauges(app, &gauges);
        ngx_cometa_stats_latencies(app, lat);
        dropped = ngx_cometa_otk_dropped(app);

        ngx_cometa_gauge_add(app, holds, -1);
    }

    detached = 0;
    failed = 0;

    for (i = 0; i < NGX_COMETA_REASONS; i++) {
        detached += sum.detached[i];
    }

    for (i = 0; i < NGX_COMETA_ERRORS; i++) {
        failed += sum.failed[i];
    }

    body.data = p;

    p = ngx_sprintf(p, "{\"app_id\":\"%V\",\"app_name\":\"", &ctx->key.app);
    p = (u_char *) ngx_escape_json(p, name.data, name.len);

    p = ngx_sprintf(p, "\",\"stats\":{\"num_devices\":\"%uL\","
                    "\"messages\":\"%uL\",\"errors\":\"%uL\","
                    "\"bytes_up\":\"%uL\",\"bytes_down\":\"%uL\",",
                    gauges.devices, sum.messages, sum.errors, sum.bytes_up,
                    sum.bytes_down);

    ms = lat->mean / 1000 + 0.5;

    p = ngx_sprintf(p, "\"latency\":\"%uL\",\"latency_min\":\"%uL\","
                    "\"latency_max\":\"%uL\",", ms, lat->min / 1000,
                    (lat->max + 999) / 1000);

    p = ngx_cometa_stats_json_latency(p, "std_deviation", lat->deviation);

    p = ngx_sprintf(p, "\"websockets\":\"%uL\",", gauges.websockets);

    p = ngx_cometa_stats_json_latency(p, "latency_p50",
                           cometa_histogram_quantile(lat->counts, 0.5));
    p = ngx_cometa_stats_json_latency(p, "latency_p90",
                           cometa_histogram_quantile(lat->counts, 0.9));
    p = ngx_cometa_stats_json_latency(p, "latency_p99",
                           cometa_histogram_quantile(lat->counts, 0.99));
    p = ngx_cometa_stats_json_latency(p, "latency_p999",
                           cometa_histogram_quantile(lat->counts, 0.999));

    p = ngx_sprintf(p, "\"events\":\"%uL\",\"late\":\"%uL\","
                    "\"timeouts\":\"%uL\",\"queued\":\"%uL\","
                    "\"attached_total\":\"%uL\",\"detached_total\":\"%uL\","
                    "\"calls\":\"%uL\",\"failed\":\"%uL\","
                    "\"websockets_slow\":\"%uL\",\"webhook_sent\":\"%uL\","
                    "\"webhook_failed\":\"%uL\",\"webhook_retries\":\"%uL\","
                    "\"webhook_dropped\":\"%uL\",\"webhook_queued\":\"%uL\","
                    "\"keys_dropped\":\"%ui\"}}",
                    sum.events, sum.late,
                    sum.failed[NGX_COMETA_DEVICE_TIMEOUT], gauges.queued,
                    sum.attached, detached, gauges.calls, failed,
                    sum.websockets_slow, sum.webhook_sent,
                    sum.webhook_failed, sum.webhook_retries,
                    sum.webhook_dropped, gauges.webhook_queued,
                    dropped);

    body.len = p - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_OK, &body);
}


/* In ms with three decimals, as a string. */

static u_char *
ngx_cometa_stats_json_latency(u_char *p, char *name, double us)
{
    uint64_t  n;

    n = us + 0.5;

    return ngx_sprintf(p, "\"%s\":\"%uL.%03uL\",", name, n / 1000, n % 1000);
}


static void
ngx_cometa_stats_json_cleanup(void *data)
{
    ngx_cometa_ctx_t  *ctx = data;

    if (ctx->call) {
        ngx_cometa_call_cancel(ctx->call);
        ctx->call = NULL;
    }
}
