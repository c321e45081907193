
/*
 * A request needs a connection. It gets one to nobody: a socket that is never
 * connected, whose output is discarded. What happens to it in between is all
 * nginx's: proxy_pass, TLS, keep-alive, balancing, proxy_next_upstream, logs.
 */

#include "ngx_cometa_webhook_request.h"


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
static u_char *ngx_cometa_webhook_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


ngx_http_request_t *
ngx_cometa_webhook_request(ngx_cometa_lane_t *lane, ngx_pool_cleanup_pt done)
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

    cln->handler = done;
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

    /* it is no TCP */
    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

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
