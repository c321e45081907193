
/*
 * Fills a request: POST, the headers of an event, and its data as the body.
 */

#include "ngx_cometa_webhook_message.h"
#include "ngx_cometa_compat.h"


static ngx_int_t ngx_cometa_webhook_headers(ngx_http_request_t *r,
    ngx_cometa_lane_t *lane, ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_numbers(ngx_http_request_t *r,
    ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_details(ngx_http_request_t *r,
    ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_info(ngx_http_request_t *r,
    ngx_str_t *info);
static ngx_int_t ngx_cometa_webhook_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value);
static ngx_int_t ngx_cometa_webhook_length(ngx_http_request_t *r,
    ngx_cometa_event_t *e);
static ngx_int_t ngx_cometa_webhook_body(ngx_http_request_t *r,
    ngx_cometa_event_t *e);


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

    if (ngx_list_init(&r->headers_in.headers, r->pool, 12,
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
    ngx_str_t   event, type;

    if (ngx_cometa_webhook_length(r, e) != NGX_OK) {
        return NGX_ERROR;
    }

    switch (e->event) {

    case NGX_COMETA_EVENT_ATTACH:
        ngx_str_set(&event, "attach");
        break;

    case NGX_COMETA_EVENT_DETACH:
        ngx_str_set(&event, "detach");
        break;

    case NGX_COMETA_EVENT_REPLY:
        ngx_str_set(&event, "reply");
        break;

    default:
        ngx_str_set(&event, "data");
    }

    ngx_str_set(&type, "application/octet-stream");

    if (ngx_cometa_webhook_header(r, "Content-Type", &type) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the first header of the list */
    r->headers_in.content_type = r->headers_in.headers.part.elts;

    if (ngx_cometa_webhook_header(r, "Cometa-Application", &lane->key.app)
           != NGX_OK
        || ngx_cometa_webhook_header(r, "Cometa-Device", &lane->key.device)
           != NGX_OK
        || ngx_cometa_webhook_header(r, "Cometa-Event", &event) != NGX_OK
        || ngx_cometa_webhook_numbers(r, e) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_cometa_webhook_details(r, e);
}


/* What tells this event from all others; each try has the same. */

static ngx_int_t
ngx_cometa_webhook_numbers(ngx_http_request_t *r, ngx_cometa_event_t *e)
{
    u_char     *p;
    ngx_tm_t    tm;
    ngx_str_t   session, sequence, time;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + NGX_INT32_LEN
                             + sizeof("2026-11-26T22:39:23.000Z"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    session.data = p;
    p = ngx_sprintf(p, "%uL", e->session);
    session.len = p - session.data;

    sequence.data = p;
    p = ngx_sprintf(p, "%uD", e->sequence);
    sequence.len = p - sequence.data;

    ngx_gmtime(e->time / 1000, &tm);

    time.data = p;
    p = ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                    tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                    tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                    (int) (e->time % 1000));
    time.len = p - time.data;

    if (e->session
        && ngx_cometa_webhook_header(r, "Cometa-Session", &session) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (e->sequence
        && ngx_cometa_webhook_header(r, "Cometa-Sequence", &sequence)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_cometa_webhook_header(r, "Cometa-Time", &time);
}


/* What only some events have. */

static ngx_int_t
ngx_cometa_webhook_details(ngx_http_request_t *r, ngx_cometa_event_t *e)
{
    ngx_str_t  call, info, address;

    call.len = e->call;
    call.data = (u_char *) (e + 1) + e->len;

    info.len = e->info;
    info.data = call.data + call.len;

    address.len = e->address;
    address.data = info.data + info.len;

    if (e->word
        && ngx_cometa_webhook_header(r, (e->event == NGX_COMETA_EVENT_REPLY)
                                        ? "Cometa-Error" : "Cometa-Reason",
                                     e->word)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (call.len
        && ngx_cometa_webhook_header(r, "Cometa-Call", &call) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (info.len && ngx_cometa_webhook_info(r, &info) != NGX_OK) {
        return NGX_ERROR;
    }

    if (address.len
        && ngx_cometa_webhook_header(r, "Cometa-Address", &address) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* An info is any bytes, which a header cannot carry: they are escaped. */

static ngx_int_t
ngx_cometa_webhook_info(ngx_http_request_t *r, ngx_str_t *info)
{
    u_char     *p;
    ngx_str_t   escaped;

    p = ngx_pnalloc(r->pool, 3 * info->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    escaped.data = p;
    escaped.len = (u_char *) ngx_escape_uri(p, info->data, info->len,
                                            NGX_ESCAPE_URI_COMPONENT)
                  - p;

    return ngx_cometa_webhook_header(r, "Cometa-Info", &escaped);
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
