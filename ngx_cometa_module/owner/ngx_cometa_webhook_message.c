
/*
 * Fills a request: POST, the headers of an event, and its data as the body.
 */

#include "ngx_cometa_webhook_message.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"


/* In the order in which a request has them. */

typedef enum {
    NGX_COMETA_HEADER_TYPE = 0,
    NGX_COMETA_HEADER_APPLICATION,
    NGX_COMETA_HEADER_DEVICE,
    NGX_COMETA_HEADER_SESSION,
    NGX_COMETA_HEADER_SEQUENCE,
    NGX_COMETA_HEADER_TIME,
    NGX_COMETA_HEADER_EVENT,
    NGX_COMETA_HEADER_REASON,
    NGX_COMETA_HEADER_ERROR,
    NGX_COMETA_HEADER_CALL,
    NGX_COMETA_HEADER_INFO,
    NGX_COMETA_HEADER_ADDRESS,
    NGX_COMETA_HEADERS
} ngx_cometa_webhook_header_e;


/* The hash is that of nginx, set when the header is first made. */

typedef struct {
    ngx_str_t                    name;
    u_char                      *lowcase;
    ngx_uint_t                   hash;
} ngx_cometa_webhook_header_t;


static ngx_int_t ngx_cometa_webhook_headers(ngx_http_request_t *r,
    ngx_cometa_lane_t *lane, ngx_cometa_event_t *e);
static void ngx_cometa_webhook_kind(ngx_cometa_event_t *e,
    ngx_str_t *values);
static ngx_int_t ngx_cometa_webhook_numbers(ngx_http_request_t *r,
    ngx_cometa_event_t *e, ngx_str_t *values);
static ngx_int_t ngx_cometa_webhook_details(ngx_http_request_t *r,
    ngx_cometa_event_t *e, ngx_str_t *values);
static ngx_int_t ngx_cometa_webhook_header(ngx_http_request_t *r,
    ngx_uint_t header, ngx_str_t *value);
static ngx_int_t ngx_cometa_webhook_length(ngx_http_request_t *r,
    ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_body(ngx_http_request_t *r,
    ngx_cometa_event_t *e);


static ngx_cometa_webhook_header_t  ngx_cometa_webhook_names[] = {
    { ngx_string("Content-Type"), (u_char *) "content-type", 0 },
    { ngx_string("Cometa-Application"), (u_char *) "cometa-application", 0 },
    { ngx_string("Cometa-Device"), (u_char *) "cometa-device", 0 },
    { ngx_string("Cometa-Session"), (u_char *) "cometa-session", 0 },
    { ngx_string("Cometa-Sequence"), (u_char *) "cometa-sequence", 0 },
    { ngx_string("Cometa-Time"), (u_char *) "cometa-time", 0 },
    { ngx_string("Cometa-Event"), (u_char *) "cometa-event", 0 },
    { ngx_string("Cometa-Reason"), (u_char *) "cometa-reason", 0 },
    { ngx_string("Cometa-Error"), (u_char *) "cometa-error", 0 },
    { ngx_string("Cometa-Call"), (u_char *) "cometa-call", 0 },
    { ngx_string("Cometa-Info"), (u_char *) "cometa-info", 0 },
    { ngx_string("Cometa-Address"), (u_char *) "cometa-address", 0 }
};


ngx_int_t
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

    r->uri = lane->tenant->conf->uri;
    r->args = lane->tenant->conf->args;
    r->unparsed_uri = r->uri;
    r->headers_in.server = cscf->server_name;

    r->request_line.data = ngx_pnalloc(r->pool, r->uri.len
                                       + sizeof("POST  HTTP/1.1"));
    if (r->request_line.data == NULL) {
        return NGX_ERROR;
    }

    r->request_line.len = ngx_sprintf(r->request_line.data,
                                      "POST %V HTTP/1.1", &r->uri)
                          - r->request_line.data;

    if (ngx_list_init(&r->headers_in.headers, r->pool,
                      NGX_COMETA_HEADERS,
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
    ngx_str_t   values[NGX_COMETA_HEADERS];
    ngx_uint_t  i;

    if (ngx_cometa_webhook_length(r, e) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(values, sizeof(values));

    ngx_str_set(&values[NGX_COMETA_HEADER_TYPE], "application/octet-stream");

    values[NGX_COMETA_HEADER_APPLICATION] = lane->key.app;
    values[NGX_COMETA_HEADER_DEVICE] = lane->key.device;

    ngx_cometa_webhook_kind(e, values);

    if (ngx_cometa_webhook_numbers(r, e, values) != NGX_OK
        || ngx_cometa_webhook_details(r, e, values) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_COMETA_HEADERS; i++) {
        if (values[i].len
            && ngx_cometa_webhook_header(r, i, &values[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* the first header of the list */
    r->headers_in.content_type = r->headers_in.headers.part.elts;

    return NGX_OK;
}


static void
ngx_cometa_webhook_kind(ngx_cometa_event_t *e, ngx_str_t *values)
{
    ngx_str_t  *kind;

    kind = &values[NGX_COMETA_HEADER_EVENT];

    switch (e->event) {

    case NGX_COMETA_EVENT_ATTACH:
        ngx_str_set(kind, "attach");
        break;

    case NGX_COMETA_EVENT_DETACH:
        ngx_str_set(kind, "detach");
        break;

    case NGX_COMETA_EVENT_REPLY:
        ngx_str_set(kind, "reply");
        break;

    default:
        ngx_str_set(kind, "data");
    }
}


/* What tells this event from all others; each try has the same. */

static ngx_int_t
ngx_cometa_webhook_numbers(ngx_http_request_t *r, ngx_cometa_event_t *e,
    ngx_str_t *values)
{
    u_char     *p;
    ngx_tm_t    tm;
    ngx_str_t  *value;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + NGX_INT32_LEN
                             + sizeof("2026-11-26T22:39:23.000Z"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (e->session) {
        value = &values[NGX_COMETA_HEADER_SESSION];
        value->data = p;
        p = ngx_sprintf(p, "%uL", e->session);
        value->len = p - value->data;
    }

    /* a reply is told from others by the id of its call */

    if (e->event != NGX_COMETA_EVENT_REPLY) {
        value = &values[NGX_COMETA_HEADER_SEQUENCE];
        value->data = p;
        p = ngx_sprintf(p, "%uD", e->sequence);
        value->len = p - value->data;
    }

    ngx_gmtime(e->time / 1000, &tm);

    value = &values[NGX_COMETA_HEADER_TIME];
    value->data = p;
    p = ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                    tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                    tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                    (int) (e->time % 1000));
    value->len = p - value->data;

    return NGX_OK;
}


/* What only some events have. An info may be any bytes: they are escaped. */

static ngx_int_t
ngx_cometa_webhook_details(ngx_http_request_t *r, ngx_cometa_event_t *e,
    ngx_str_t *values)
{
    u_char     *p, *info;
    ngx_str_t  *value;

    if (e->word) {
        values[(e->event == NGX_COMETA_EVENT_REPLY)
               ? NGX_COMETA_HEADER_ERROR : NGX_COMETA_HEADER_REASON] = *e->word;
    }

    p = (u_char *) (e + 1) + e->len;

    value = &values[NGX_COMETA_HEADER_CALL];
    value->len = e->call;
    value->data = p;

    info = p + e->call;

    value = &values[NGX_COMETA_HEADER_ADDRESS];
    value->len = e->address;
    value->data = info + e->info;

    if (e->info == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 3 * e->info);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value = &values[NGX_COMETA_HEADER_INFO];
    value->data = p;
    value->len = (u_char *) ngx_escape_uri(p, info, e->info,
                                           NGX_ESCAPE_URI_COMPONENT)
                 - p;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_webhook_header(ngx_http_request_t *r, ngx_uint_t header,
    ngx_str_t *value)
{
    ngx_table_elt_t              *h;
    ngx_cometa_webhook_header_t  *name;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    name = &ngx_cometa_webhook_names[header];

    if (name->hash == 0) {
        name->hash = ngx_hash_key(name->lowcase, name->name.len);
    }

    h->key = name->name;
    h->lowcase_key = name->lowcase;
    h->hash = name->hash;
    h->value = *value;
    ngx_cometa_header_single(h);

    return NGX_OK;
}


/* For $content_length; proxy_pass makes this header by itself. */

static ngx_int_t
ngx_cometa_webhook_length(ngx_http_request_t *r, ngx_cometa_event_t *e)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    h = ngx_pcalloc(r->pool, sizeof(ngx_table_elt_t));
    p = ngx_pnalloc(r->pool, NGX_INT32_LEN);

    if (h == NULL || p == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Content-Length");
    h->lowcase_key = (u_char *) "content-length";
    h->value.data = p;
    h->value.len = ngx_sprintf(p, "%uD", e->len) - p;

    r->headers_in.content_length = h;

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
