
/*
 * The statistics request: finds out which kind it is, and answers two kinds:
 * one device, whose owner is asked, and the figures of an application.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_args.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_http_call.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_otk.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_histogram.h"


#define NGX_COMETA_QUERY_TIMEOUT  5000          /* ms, for an answer */
#define NGX_COMETA_JSON_ESCAPE    6             /* bytes of one: \u001f */


/* The figures of an application, and what is computed from them. */

typedef struct {
    ngx_cometa_counters_t   counters;
    ngx_cometa_gauges_t     gauges;
    ngx_cometa_latencies_t  latencies;
    uint64_t                keys_dropped;
    uint64_t                detached;
    uint64_t                failed;
    uint64_t                mean_ms;
    uint64_t                min_ms;
    uint64_t                max_ms;
    uint64_t                deviation;      /* us, as those below */
    uint64_t                p50;
    uint64_t                p90;
    uint64_t                p99;
    uint64_t                p999;
} ngx_cometa_app_figures_t;


typedef struct {
    const char             *name;
    size_t                  offset;         /* of a uint64_t among them */
    ngx_uint_t              latency;        /* it is one, in us */
} ngx_cometa_json_field_t;


static ngx_int_t ngx_cometa_stats_json_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_stats_json_device_done(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);
static ngx_int_t ngx_cometa_stats_json_app(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_stats_json_collect(ngx_str_t *name,
    ngx_cometa_app_figures_t *f);
static u_char *ngx_cometa_stats_json_field(u_char *p,
    ngx_cometa_json_field_t *field, ngx_cometa_app_figures_t *f);


#define ngx_cometa_figure(f)   offsetof(ngx_cometa_app_figures_t, f), 0
#define ngx_cometa_latency(f)  offsetof(ngx_cometa_app_figures_t, f), 1
#define ngx_cometa_unparked(reason)                                           \
    ngx_cometa_figure(counters.tls_unparked[NGX_COMETA_TLS_ ## reason])


/* In the order of the answer. */

static ngx_cometa_json_field_t  ngx_cometa_json_fields[] = {
    { "num_devices", ngx_cometa_figure(gauges.devices) },
    { "messages", ngx_cometa_figure(counters.messages) },
    { "errors", ngx_cometa_figure(counters.errors) },
    { "bytes_up", ngx_cometa_figure(counters.bytes_up) },
    { "bytes_down", ngx_cometa_figure(counters.bytes_down) },
    { "latency", ngx_cometa_figure(mean_ms) },
    { "latency_min", ngx_cometa_figure(min_ms) },
    { "latency_max", ngx_cometa_figure(max_ms) },
    { "std_deviation", ngx_cometa_latency(deviation) },
    { "websockets", ngx_cometa_figure(gauges.websockets) },
    { "latency_p50", ngx_cometa_latency(p50) },
    { "latency_p90", ngx_cometa_latency(p90) },
    { "latency_p99", ngx_cometa_latency(p99) },
    { "latency_p999", ngx_cometa_latency(p999) },
    { "events", ngx_cometa_figure(counters.events) },
    { "late", ngx_cometa_figure(counters.late) },
    { "timeouts",
      ngx_cometa_figure(counters.failed[NGX_COMETA_DEVICE_TIMEOUT]) },
    { "queued", ngx_cometa_figure(gauges.queued) },
    { "attached_total", ngx_cometa_figure(counters.attached) },
    { "detached_total", ngx_cometa_figure(detached) },
    { "calls", ngx_cometa_figure(gauges.calls) },
    { "failed", ngx_cometa_figure(failed) },
    { "websockets_slow", ngx_cometa_figure(counters.websockets_slow) },
    { "webhook_sent", ngx_cometa_figure(counters.webhook_sent) },
    { "webhook_failed", ngx_cometa_figure(counters.webhook_failed) },
    { "webhook_retries", ngx_cometa_figure(counters.webhook_retries) },
    { "webhook_dropped", ngx_cometa_figure(counters.webhook_dropped) },
    { "webhook_queued", ngx_cometa_figure(gauges.webhook_queued) },
    { "keys_dropped", ngx_cometa_figure(keys_dropped) },
    { "tls_parked", ngx_cometa_figure(gauges.tls_parked) },
    { "tls_parked_total", ngx_cometa_figure(counters.tls_parked) },
    { "tls_unparked_protocol", ngx_cometa_unparked(PROTOCOL) },
    { "tls_unparked_cipher", ngx_cometa_unparked(CIPHER) },
    { "tls_unparked_extension", ngx_cometa_unparked(EXTENSION) },
    { "tls_unparked_rekeyed", ngx_cometa_unparked(REKEYED) },
    { "tls_unparked_callback", ngx_cometa_unparked(CALLBACK) },
    { "tls_unparked_pending", ngx_cometa_unparked(PENDING) },
    { "tls_unparked_proof", ngx_cometa_unparked(PROOF) },
    { "tls_unparked_memory", ngx_cometa_unparked(MEMORY) }
};

#define NGX_COMETA_JSON_FIELDS                                                \
    (sizeof(ngx_cometa_json_fields) / sizeof(ngx_cometa_json_field_t))

/* Bytes of the whole answer without the name of the application. */

#define NGX_COMETA_JSON_FIELD                                                 \
    (sizeof("\"tls_unparked_extension\":\"\",.000") + NGX_INT64_LEN)
#define NGX_COMETA_JSON_SIZE                                                  \
    (sizeof("{\"app_id\":\"\",\"app_name\":\"\",\"stats\":{}}")               \
     + NGX_COMETA_ID_MAX + NGX_COMETA_JSON_FIELDS * NGX_COMETA_JSON_FIELD)


ngx_int_t
ngx_cometa_stats_json_handler(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_uint_t              error;
    ngx_cometa_subject_e    subject;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (lcf->prometheus) {
        return ngx_cometa_stats_prometheus(r);
    }

    if (ngx_cometa_args_subject(r, &subject) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    error = ngx_cometa_http_admit(r, ctx,
                                  subject == NGX_COMETA_SUBJECT_DEVICE);

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    if (subject == NGX_COMETA_SUBJECT_DEVICES) {
        return ngx_cometa_stats_list(r, ctx);
    }

    if (subject == NGX_COMETA_SUBJECT_DEVICE) {
        return ngx_cometa_stats_json_device(r, ctx);
    }

    return ngx_cometa_stats_json_app(r, ctx);
}


static ngx_int_t
ngx_cometa_stats_json_device(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_http_call(r, ctx, ngx_cometa_stats_json_device_done);
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call->timeout = NGX_COMETA_QUERY_TIMEOUT;
    call->query = 1;

    r->main->count++;

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

    r = ngx_cometa_http_called(call, error);
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

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


/* Figures are strings, because clients of Cometa 2.1 expect strings. */

static ngx_int_t
ngx_cometa_stats_json_app(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    u_char                 *p;
    ngx_str_t               name, body;
    ngx_uint_t              i;
    ngx_cometa_loc_conf_t  *lcf;

    static ngx_cometa_app_figures_t  f;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    name = ctx->key.app;

    if (lcf->app_name
        && ngx_http_complex_value(r, lcf->app_name, &name) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_pnalloc(r->pool, NGX_COMETA_JSON_SIZE
                             + NGX_COMETA_JSON_ESCAPE * name.len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_cometa_stats_json_collect(&ctx->key.app, &f);

    body.data = p;

    p = ngx_sprintf(p, "{\"app_id\":\"%V\",\"app_name\":\"", &ctx->key.app);
    p = (u_char *) ngx_escape_json(p, name.data, name.len);
    p = ngx_cpymem(p, "\",\"stats\":{", sizeof("\",\"stats\":{") - 1);

    for (i = 0; i < NGX_COMETA_JSON_FIELDS; i++) {
        p = ngx_cometa_stats_json_field(p, &ngx_cometa_json_fields[i], &f);
    }

    /* instead of the last comma */

    p[-1] = '}';
    *p++ = '}';

    body.len = p - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_OK, &body);
}


/* All figures are zero if there is no such application. */

static void
ngx_cometa_stats_json_collect(ngx_str_t *name, ngx_cometa_app_figures_t *f)
{
    uint32_t                 app;
    ngx_uint_t               i;
    ngx_cometa_latencies_t  *lat;

    ngx_memzero(f, sizeof(ngx_cometa_app_figures_t));

    lat = &f->latencies;

    app = ngx_cometa_app_hold(name, 0, holds);

    if (app != NGX_COMETA_NONE) {
        ngx_cometa_stats_sum(app, &f->counters);
        ngx_cometa_stats_gauges(app, &f->gauges);
        ngx_cometa_stats_latencies(app, lat);
        f->keys_dropped = ngx_cometa_otk_dropped(app);

        ngx_cometa_gauge_add(app, holds, -1);
    }

    for (i = 0; i < NGX_COMETA_REASONS; i++) {
        f->detached += f->counters.detached[i];
    }

    for (i = 0; i < NGX_COMETA_ERRORS; i++) {
        f->failed += f->counters.failed[i];
    }

    f->mean_ms = lat->mean / 1000 + 0.5;
    f->min_ms = lat->min / 1000;
    f->max_ms = (lat->max + 999) / 1000;

    f->deviation = lat->deviation + 0.5;
    f->p50 = cometa_histogram_quantile(lat->counts, 0.5) + 0.5;
    f->p90 = cometa_histogram_quantile(lat->counts, 0.9) + 0.5;
    f->p99 = cometa_histogram_quantile(lat->counts, 0.99) + 0.5;
    f->p999 = cometa_histogram_quantile(lat->counts, 0.999) + 0.5;
}


/* Latencies are in us, and shown in ms with three decimals. */

static u_char *
ngx_cometa_stats_json_field(u_char *p, ngx_cometa_json_field_t *field,
    ngx_cometa_app_figures_t *f)
{
    uint64_t  n;

    n = *(uint64_t *) ((u_char *) f + field->offset);

    if (field->latency) {
        return ngx_sprintf(p, "\"%s\":\"%uL.%03uL\",", field->name, n / 1000,
                           n % 1000);
    }

    return ngx_sprintf(p, "\"%s\":\"%uL\",", field->name, n);
}
