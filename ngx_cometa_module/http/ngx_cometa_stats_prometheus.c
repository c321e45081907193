
/*
 * Statistics in the text format of Prometheus: by application and by worker,
 * never by device, so they are written in one go.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_ring.h"


#define NGX_COMETA_LINE  192            /* bytes of a line, name and labels */
#define NGX_COMETA_LINES                                                      \
    (NGX_COMETA_BOUNDS + NGX_COMETA_REASONS + NGX_COMETA_ERRORS + 24)


/* A text that grows in the request's pool, a chain of buffers. */

typedef struct {
    ngx_http_request_t  *request;
    ngx_chain_t         *first;
    ngx_chain_t        **last;
    ngx_buf_t           *buf;
    off_t                size;
    unsigned             failed:1;
} ngx_cometa_text_t;


/* The figures of an application when the text was begun. */

typedef struct {
    ngx_cometa_counters_t  counters;
    ngx_cometa_gauges_t    gauges;
    uint32_t               index;
    ngx_str_t              name;
    u_char                 text[NGX_COMETA_ID_MAX];
} ngx_cometa_sum_t;


/* A counter or a gauge: one field of these figures. */

typedef struct {
    char                *name;
    char                *type;
    char                *help;
    char                *label;         /* with its value, or NULL */
    size_t               field;
} ngx_cometa_metric_t;


static u_char *ngx_cometa_text_line(ngx_cometa_text_t *t);
static void ngx_cometa_text_add(ngx_cometa_text_t *t, const char *fmt, ...);
static void ngx_cometa_text_head(ngx_cometa_text_t *t, const char *name,
    const char *type, const char *help);
static ngx_int_t ngx_cometa_text_send(ngx_cometa_text_t *t);
static ngx_uint_t ngx_cometa_stats_prometheus_sums(ngx_cometa_sum_t *sums,
    ngx_uint_t n);
static void ngx_cometa_stats_prometheus_fields(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n);
static void ngx_cometa_stats_prometheus_arrays(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n);
static void ngx_cometa_stats_prometheus_latencies(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n);
static uint64_t ngx_cometa_stats_prometheus_workers(ngx_cometa_text_t *t);
static void ngx_cometa_stats_prometheus_overflows(ngx_cometa_text_t *t,
    ngx_cometa_worker_t *w);
static void ngx_cometa_stats_prometheus_zone(ngx_cometa_text_t *t,
    uint64_t devices);
static void ngx_cometa_stats_prometheus_server(ngx_cometa_text_t *t);


#define ngx_cometa_field(f)  offsetof(ngx_cometa_sum_t, counters.f)
#define ngx_cometa_gauge(f)  offsetof(ngx_cometa_sum_t, gauges.f)


/* Metrics of one name stand together. */

static ngx_cometa_metric_t  ngx_cometa_metrics[] = {
    { "cometa_devices", "gauge", "Attached devices.", NULL,
      ngx_cometa_gauge(devices) },
    { "cometa_websockets", "gauge", "Open WebSockets.", NULL,
      ngx_cometa_gauge(websockets) },
    { "cometa_calls_in_progress", "gauge", "Calls begun and not ended.",
      NULL, ngx_cometa_gauge(calls) },
    { "cometa_calls_queued", "gauge", "Calls that wait for their turn.",
      NULL, ngx_cometa_gauge(queued) },
    { "cometa_attaches_total", "counter", "Devices attached.", NULL,
      ngx_cometa_field(attached) },
    { "cometa_device_errors_total", "counter",
      "Malformed or stray messages of devices.", NULL,
      ngx_cometa_field(errors) },
    { "cometa_late_replies_total", "counter",
      "Replies that nobody waited for any more.", NULL,
      ngx_cometa_field(late) },
    { "cometa_events_total", "counter", "Events of devices.", NULL,
      ngx_cometa_field(events) },
    { "cometa_received_bytes_total", "counter",
      "Payload from devices, without heartbeats.", NULL,
      ngx_cometa_field(bytes_up) },
    { "cometa_sent_bytes_total", "counter", "Payload to devices.", NULL,
      ngx_cometa_field(bytes_down) },
    { "cometa_websockets_slow_total", "counter",
      "WebSockets closed because their peer did not read.", NULL,
      ngx_cometa_field(websockets_slow) },
    { "cometa_webhook_queued", "gauge", "Events that wait for the webhook.",
      NULL, ngx_cometa_gauge(webhook_queued) },
    { "cometa_webhook_retries_total", "counter",
      "Tries of the webhook that are repeated.", NULL,
      ngx_cometa_field(webhook_retries) },
    { "cometa_webhook_events_total", "counter",
      "Events for the webhook, by their end.", "outcome=\"sent\"",
      ngx_cometa_field(webhook_sent) },
    { "cometa_webhook_events_total", "counter", NULL, "outcome=\"failed\"",
      ngx_cometa_field(webhook_failed) },
    { "cometa_webhook_events_total", "counter", NULL, "outcome=\"dropped\"",
      ngx_cometa_field(webhook_dropped) },
    { "cometa_tls_parked", "gauge",
      "Connections over TLS without an SSL object.", NULL,
      ngx_cometa_gauge(tls_parked) },
    { "cometa_tls_parked_total", "counter",
      "Connections over TLS that were parked.", NULL,
      ngx_cometa_field(tls_parked) },
    { NULL, NULL, NULL, NULL, 0 }
};


ngx_int_t
ngx_cometa_stats_prometheus(ngx_http_request_t *r)
{
    ngx_uint_t          n;
    ngx_cometa_sum_t   *sums;
    ngx_cometa_text_t   t;

    if (!ngx_cometa_http_authorize(r)) {
        return ngx_cometa_http_error(r, NGX_COMETA_UNAUTHORIZED);
    }

    if (!ngx_cometa_zone.claimed) {
        return ngx_cometa_http_error(r, NGX_COMETA_OVERLOADED);
    }

    n = __atomic_load_n(&ngx_cometa_zone.head->napps, __ATOMIC_ACQUIRE);

    sums = ngx_pmemalign(r->pool, (n + 1) * sizeof(ngx_cometa_sum_t), 64);
    if (sums == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    n = ngx_cometa_stats_prometheus_sums(sums, n);

    ngx_memzero(&t, sizeof(ngx_cometa_text_t));

    t.request = r;
    t.last = &t.first;

    ngx_cometa_stats_prometheus_fields(&t, sums, n);
    ngx_cometa_stats_prometheus_arrays(&t, sums, n);
    ngx_cometa_stats_prometheus_latencies(&t, sums, n);
    ngx_cometa_stats_prometheus_zone(&t,
                                     ngx_cometa_stats_prometheus_workers(&t));
    ngx_cometa_stats_prometheus_server(&t);

    return ngx_cometa_text_send(&t);
}


/* Sums up the places that have a name; returns how many there are. */

static ngx_uint_t
ngx_cometa_stats_prometheus_sums(ngx_cometa_sum_t *sums, ngx_uint_t n)
{
    uint32_t           app;
    ngx_cometa_sum_t  *sum;

    sum = sums;

    for (app = 0; app < n; app++) {

        if (ngx_cometa_app_name(app, &sum->name, sum->text) != NGX_OK) {
            continue;
        }

        sum->index = app;
        ngx_cometa_stats_sum(app, &sum->counters);
        ngx_cometa_stats_gauges(app, &sum->gauges);
        sum++;
    }

    return sum - sums;
}


static void
ngx_cometa_stats_prometheus_fields(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n)
{
    uint64_t              value;
    ngx_uint_t            i;
    ngx_cometa_metric_t  *m;

    for (m = ngx_cometa_metrics; m->name; m++) {

        if (m->help) {
            ngx_cometa_text_head(t, m->name, m->type, m->help);
        }

        for (i = 0; i < n; i++) {
            value = *(uint64_t *) ((u_char *) &sums[i] + m->field);

            ngx_cometa_text_add(t, "%s{application=\"%V\"%s%s} %uL\n",
                                m->name, &sums[i].name, m->label ? "," : "",
                                m->label ? m->label : "", value);
        }
    }
}


static void
ngx_cometa_stats_prometheus_arrays(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n)
{
    ngx_uint_t  i, k;

    ngx_cometa_text_head(t, "cometa_detaches_total", "counter",
                         "Devices that left, by reason.");

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_COMETA_REASONS; k++) {
            ngx_cometa_text_add(t, "cometa_detaches_total{application=\"%V\","
                                "reason=\"%V\"} %uL\n", &sums[i].name,
                                &ngx_cometa_reasons[k],
                                sums[i].counters.detached[k]);
        }
    }

    ngx_cometa_text_head(t, "cometa_tls_unparked_total", "counter",
                         "Connections over TLS not parked, by reason.");

    for (i = 0; i < n; i++) {
        for (k = 0; k < NGX_COMETA_TLS_REASONS; k++) {
            ngx_cometa_text_add(t, "cometa_tls_unparked_total{application="
                                "\"%V\",reason=\"%V\"} %uL\n", &sums[i].name,
                                &ngx_cometa_tls_reasons[k],
                                sums[i].counters.tls_unparked[k]);
        }
    }

    ngx_cometa_text_head(t, "cometa_calls_total", "counter",
                         "Calls that have ended, by outcome.");

    for (i = 0; i < n; i++) {
        ngx_cometa_text_add(t, "cometa_calls_total{application=\"%V\","
                            "outcome=\"ok\"} %uL\n", &sums[i].name,
                            sums[i].counters.messages);

        for (k = 1; k < NGX_COMETA_ERRORS; k++) {

            /* a call cannot end with the others, they are never counted */

            if (!ngx_cometa_errors[k].call) {
                continue;
            }

            ngx_cometa_text_add(t, "cometa_calls_total{application=\"%V\","
                                "outcome=\"%V\"} %uL\n", &sums[i].name,
                                &ngx_cometa_errors[k].word,
                                sums[i].counters.failed[k]);
        }
    }
}


static void
ngx_cometa_stats_prometheus_latencies(ngx_cometa_text_t *t,
    ngx_cometa_sum_t *sums, ngx_uint_t n)
{
    uint64_t                 sum;
    ngx_uint_t               i, k;
    ngx_cometa_latencies_t  *lat;

    lat = ngx_palloc(t->request->pool, sizeof(ngx_cometa_latencies_t));
    if (lat == NULL) {
        t->failed = 1;
        return;
    }

    ngx_cometa_text_head(t, "cometa_call_duration_seconds", "histogram",
                         "From the arrival of a message at the server to "
                         "that of the device's reply.");

    for (i = 0; i < n; i++) {
        sum = 0;

        ngx_cometa_stats_latencies(sums[i].index, lat);

        for (k = 0; k < NGX_COMETA_BOUNDS - 1; k++) {
            sum += lat->bounds[k];
            ngx_cometa_text_add(t, "cometa_call_duration_seconds_bucket"
                                "{application=\"%V\",le=\"%uD.%04uD\"} %uL\n",
                                &sums[i].name, ngx_cometa_bounds[k] / 1000000,
                                ngx_cometa_bounds[k] % 1000000 / 100, sum);
        }

        sum += lat->bounds[k];

        ngx_cometa_text_add(t, "cometa_call_duration_seconds_bucket"
                            "{application=\"%V\",le=\"+Inf\"} %uL\n",
                            &sums[i].name, sum);
        ngx_cometa_text_add(t, "cometa_call_duration_seconds_sum"
                            "{application=\"%V\"} %uL.%06uL\n", &sums[i].name,
                            lat->total_sum / 1000000,
                            lat->total_sum % 1000000);
        ngx_cometa_text_add(t, "cometa_call_duration_seconds_count"
                            "{application=\"%V\"} %uL\n", &sums[i].name, sum);
    }
}


/* Writes the workers; returns how many devices they have in all. */

static uint64_t
ngx_cometa_stats_prometheus_workers(ngx_cometa_text_t *t)
{
    uint64_t              devices;
    ngx_uint_t            i, n;
    ngx_cometa_slot_t    *slots;
    ngx_cometa_worker_t  *w;

    n = ngx_cometa_zone.head->slots;
    slots = ngx_cometa_zone.slots;

    w = ngx_palloc(t->request->pool, n * sizeof(ngx_cometa_worker_t));
    if (w == NULL) {
        t->failed = 1;
        return 0;
    }

    ngx_cometa_stats_workers(w);

    devices = 0;

    ngx_cometa_text_head(t, "cometa_worker_devices", "gauge",
                         "Attached devices of a worker process, by slot.");

    for (i = 0; i < n; i++) {
        if (w[i].pid) {
            ngx_cometa_text_add(t, "cometa_worker_devices{slot=\"%ui\"} "
                                "%uL\n", i, w[i].devices);
            devices += w[i].devices;
        }
    }

    ngx_cometa_text_head(t, "cometa_mailbox_bytes", "gauge",
                         "Mail that a worker process has not read yet.");

    for (i = 0; i < n; i++) {
        if (w[i].pid) {
            ngx_cometa_text_add(t, "cometa_mailbox_bytes{slot=\"%ui\"} %uz\n",
                                i, cometa_ring_used(&slots[i].ring));
        }
    }

    ngx_cometa_stats_prometheus_overflows(t, w);

    return devices;
}


/* Also of slots without a process: a counter must not disappear. */

static void
ngx_cometa_stats_prometheus_overflows(ngx_cometa_text_t *t,
    ngx_cometa_worker_t *w)
{
    uint64_t            sum;
    ngx_uint_t          i, k;
    ngx_cometa_slot_t  *s;

    static const char  *kinds[] = { "event", "answer" };

    ngx_cometa_text_head(t, "cometa_mailbox_overflows_total", "counter",
                         "Messages that found a mailbox full, by slot.");

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];
        sum = s->delayed + s->refused + s->lost[0] + s->lost[1];

        if (w[i].pid || sum) {
            ngx_cometa_text_add(t, "cometa_mailbox_overflows_total"
                                "{slot=\"%ui\"} %uL\n", i, sum);
        }
    }

    ngx_cometa_text_head(t, "cometa_mailbox_delayed_total", "counter",
                         "Of these, those that waited for room, by slot.");

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (w[i].pid || s->delayed) {
            ngx_cometa_text_add(t, "cometa_mailbox_delayed_total"
                                "{slot=\"%ui\"} %uL\n", i, s->delayed);
        }
    }

    ngx_cometa_text_head(t, "cometa_mailbox_lost_total", "counter",
                         "Of these, those that were dropped, by slot.");

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        for (k = 0; k < 2 && (w[i].pid || s->lost[0] + s->lost[1]); k++) {
            ngx_cometa_text_add(t, "cometa_mailbox_lost_total"
                                "{slot=\"%ui\",kind=\"%s\"} %uL\n",
                                i, kinds[k], s->lost[k]);
        }
    }
}


static void
ngx_cometa_stats_prometheus_zone(ngx_cometa_text_t *t, uint64_t devices)
{
    ngx_cometa_text_head(t, "cometa_zone_records_used", "gauge",
                         "Records in use, one for each device.");
    ngx_cometa_text_add(t, "cometa_zone_records_used %uL\n", devices);

    ngx_cometa_text_head(t, "cometa_zone_records_capacity", "gauge",
                         "Records that the zone has room for.");
    ngx_cometa_text_add(t, "cometa_zone_records_capacity %uD\n",
                        ngx_cometa_zone.head->records);

    ngx_cometa_text_head(t, "cometa_zone_applications_used", "gauge",
                         "Applications with something worth keeping.");
    ngx_cometa_text_add(t, "cometa_zone_applications_used %ui\n",
                        ngx_cometa_app_count());

    ngx_cometa_text_head(t, "cometa_zone_applications_capacity", "gauge",
                         "Applications that the zone has room for.");
    ngx_cometa_text_add(t, "cometa_zone_applications_capacity %uD\n",
                        ngx_cometa_zone.head->apps);
}


/* The metrics that are not of any application. */

static void
ngx_cometa_stats_prometheus_server(ngx_cometa_text_t *t)
{
    uint64_t            n;
    ngx_uint_t          k;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    ngx_cometa_text_head(t, "cometa_attaches_refused_total", "counter",
                         "Attaches that were refused, by error.");

    for (k = 1; k < NGX_COMETA_ERRORS; k++) {

        if (!ngx_cometa_errors[k].attach) {
            continue;
        }

        n = __atomic_load_n(&head->refused[k], __ATOMIC_RELAXED);

        ngx_cometa_text_add(t, "cometa_attaches_refused_total{error=\"%V\"} "
                            "%uL\n", &ngx_cometa_errors[k].word, n);
    }

    n = __atomic_load_n(&head->lost, __ATOMIC_RELAXED);

    ngx_cometa_text_head(t, "cometa_devices_lost_total", "counter",
                         "Devices whose worker process has died.");
    ngx_cometa_text_add(t, "cometa_devices_lost_total %uL\n", n);

    ngx_cometa_text_head(t, "cometa_build_info", "gauge",
                         "Versions of the module and of nginx; always 1.");
    ngx_cometa_text_add(t, "cometa_build_info{version=\"%s\","
                        "nginx=\"%s\"} 1\n", NGX_COMETA_VERSION,
                        NGINX_VERSION);
}


static void
ngx_cometa_text_head(ngx_cometa_text_t *t, const char *name,
    const char *type, const char *help)
{
    ngx_cometa_text_add(t, "# HELP %s %s\n", name, help);
    ngx_cometa_text_add(t, "# TYPE %s %s\n", name, type);
}


static void
ngx_cometa_text_add(ngx_cometa_text_t *t, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    p = ngx_cometa_text_line(t);
    if (p == NULL) {
        return;
    }

    va_start(args, fmt);
    t->buf->last = ngx_vslprintf(p, p + NGX_COMETA_LINE, fmt, args);
    va_end(args);

    t->size += t->buf->last - p;
}


/* Room for a line at the end of the text. */

static u_char *
ngx_cometa_text_line(ngx_cometa_text_t *t)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = t->buf;

    if (b && b->end - b->last >= NGX_COMETA_LINE) {
        return b->last;
    }

    cl = ngx_alloc_chain_link(t->request->pool);
    b = ngx_create_temp_buf(t->request->pool, 32768);

    if (cl == NULL || b == NULL) {
        t->failed = 1;
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    *t->last = cl;
    t->last = &cl->next;
    t->buf = b;

    return b->last;
}


static ngx_int_t
ngx_cometa_text_send(ngx_cometa_text_t *t)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = t->request;

    if (t->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    t->buf->last_buf = (r == r->main) ? 1 : 0;
    t->buf->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = t->size;

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, t->first);
}
