
/*
 * A request needs a connection. It gets a dummy one: a socket that is never
 * connected, whose output is discarded. All else is done by nginx as for any
 * request: proxy_pass, TLS, keep-alive, balancing, proxy_next_upstream, logs.
 *
 * The directives for clients must not touch the request: there is no client
 * that could be too slow, send too much or be waited for.
 *
 *     lingering_close, keepalive_timeout   the connection is at its end of file
 *                                          from the beginning
 *     limit_rate, X-Accel-Limit-Rate       switched off when an answer is
 *                                          written
 *     client_max_body_size                 the length is not known while a
 *                                          location is chosen
 *     post_action                          the status is noted when the first
 *                                          answer is written, and the body of
 *                                          an answer is kept up to its end
 *
 * Three phase handlers, which ngx_cometa_webhook_conf.c installs, take the
 * length away, put it back, and lower the level of the log for tries that may
 * not log.
 */

#include "ngx_cometa_webhook_request.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_webhook_message.h"
#include "ngx_cometa_webhook_queue.h"


#define NGX_COMETA_WEBHOOK_ANSWER  (256 * 1024)  /* bytes, then it is cut off */


/* nginx takes the data of a log for its log context: that comes first. */

typedef struct {
    ngx_http_log_ctx_t          log_ctx;
    ngx_log_t                   log;
    ngx_http_connection_t       connection;
    ngx_cometa_lane_t          *lane;
} ngx_cometa_hook_t;


static ngx_connection_t *ngx_cometa_webhook_connection(
    ngx_cometa_lane_t *lane, ngx_err_t *err);
static ngx_connection_t *ngx_cometa_webhook_open(ngx_cometa_lane_t *lane,
    ngx_pool_t *pool, ngx_socket_t fd);
static void ngx_cometa_webhook_log(ngx_connection_t *c,
    ngx_cometa_hook_t *hook);
static ngx_cometa_hook_t *ngx_cometa_webhook_of(ngx_http_request_t *r);
static void ngx_cometa_webhook_handler(ngx_event_t *ev);
static void ngx_cometa_webhook_keep(ngx_cometa_answer_t *answer,
    ngx_buf_t *b, off_t skip);
static ngx_int_t ngx_cometa_webhook_keep_bytes(ngx_cometa_answer_t *answer,
    u_char *data, size_t len);
static ngx_chain_t *ngx_cometa_webhook_discard(ngx_connection_t *c,
    ngx_chain_t *in, off_t limit);
static u_char *ngx_cometa_webhook_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


static void  (*ngx_cometa_webhook_closing)(void);


void
ngx_cometa_webhook_request_start(void (*closing)(void))
{
    ngx_cometa_webhook_closing = closing;
}


ngx_http_request_t *
ngx_cometa_webhook_request(ngx_cometa_lane_t *lane, ngx_pool_cleanup_pt done,
    ngx_err_t *err)
{
    ngx_connection_t    *c;
    ngx_cometa_event_t  *e;
    ngx_http_request_t  *r;
    ngx_pool_cleanup_t  *cln;

    e = ngx_cometa_lane_first(lane);

    c = ngx_cometa_webhook_connection(lane, err);
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

    if (lane->asks) {

        /*
         * The body is kept as it is: not in chunks, none of it in a file, and
         * its end is told.
         */

        c->need_last_buf = 1;
        r->http_version = NGX_HTTP_VERSION_10;
        r->main_filter_need_in_memory = 1;
    }

    if (lane->answer) {
        lane->answer->len = 0;
        lane->answer->complete = 0;
    }

    /* of the pool: it runs after the request was logged */

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
ngx_cometa_webhook_connection(ngx_cometa_lane_t *lane, ngx_err_t *err)
{
    ngx_pool_t         *pool;
    ngx_socket_t        fd;
    ngx_connection_t   *c;
    ngx_cometa_hook_t  *hook;

    *err = NGX_ENOMEM;

    fd = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (fd == (ngx_socket_t) -1) {
        *err = ngx_socket_errno;
        return NULL;
    }

    c = NULL;
    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool && ngx_nonblocking(fd) != -1) {
        c = ngx_cometa_webhook_open(lane, pool, fd);
    }

    if (c == NULL) {

        if (pool) {
            ngx_destroy_pool(pool);
        }

        (void) ngx_close_socket(fd);

        return NULL;
    }

    hook = c->data;
    hook->lane = lane;
    hook->connection.conf_ctx = lane->tenant->conf->ctx;

    c->data = &hook->connection;

    ngx_cometa_webhook_log(c, hook);

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    *err = 0;

    return c;
}


/* Opens the dummy connection; its data is the hook. */

static ngx_connection_t *
ngx_cometa_webhook_open(ngx_cometa_lane_t *lane, ngx_pool_t *pool,
    ngx_socket_t fd)
{
    u_char             *text;
    ngx_buf_t          *buffer;
    ngx_connection_t   *c;
    ngx_cometa_hook_t  *hook;

    hook = ngx_pcalloc(pool, sizeof(ngx_cometa_hook_t));
    buffer = ngx_create_temp_buf(pool, 1);
    text = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);

    if (hook == NULL || buffer == NULL || text == NULL) {
        return NULL;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        return NULL;
    }

    c->pool = pool;
    c->data = hook;
    c->buffer = buffer;
    c->start_time = ngx_current_msec;
    c->sockaddr = &lane->addr.sockaddr;
    c->socklen = lane->socklen;
    c->addr_text.data = text;
    c->addr_text.len = ngx_sock_ntop(c->sockaddr, c->socklen, text,
                                     NGX_SOCKADDR_STRLEN, 0);

    c->read->handler = ngx_cometa_webhook_handler;
    c->write->handler = ngx_cometa_webhook_handler;
    c->write->ready = 1;
    c->log_error = NGX_ERROR_INFO;

    /* nothing is read: no lingering close, no keep-alive */
    c->read->eof = 1;

    /* it is not a TCP socket */
    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_cometa_webhook_discard;

    return c;
}


static void
ngx_cometa_webhook_log(ngx_connection_t *c, ngx_cometa_hook_t *hook)
{
    ngx_log_t  *log;

    log = &hook->log;

    *log = *ngx_cycle->log;
    log->connection = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    log->handler = ngx_cometa_webhook_log_error;
    log->data = &hook->log_ctx;
    log->action = "sending an event to the webhook";

    hook->log_ctx.connection = c;

    c->number = log->connection;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->pool->log = log;
}


ngx_uint_t
ngx_cometa_webhook_made(ngx_http_request_t *r)
{
    return r->connection->send_chain == ngx_cometa_webhook_discard;
}


/* NULL: it is a client's request, or not the main one. */

static ngx_cometa_hook_t *
ngx_cometa_webhook_of(ngx_http_request_t *r)
{
    ngx_cometa_hook_t  *hook;

    if (!ngx_cometa_webhook_made(r) || r != r->main) {
        return NULL;
    }

    hook = r->connection->log->data;

    ngx_cometa_magic_check(hook->lane, NGX_COMETA_LANE_MAGIC);

    return hook;
}


/*
 * client_max_body_size is for clients: nginx compares it with the length when
 * it chooses a location, so the length is not known meanwhile.
 */

ngx_int_t
ngx_cometa_webhook_unsized(ngx_http_request_t *r)
{
    if (ngx_cometa_webhook_of(r)) {
        r->headers_in.content_length_n = -1;
    }

    return ngx_cometa_webhook_quiet(r);
}


ngx_int_t
ngx_cometa_webhook_sized(ngx_http_request_t *r)
{
    ngx_cometa_hook_t  *hook;

    hook = ngx_cometa_webhook_of(r);

    if (hook) {
        r->headers_in.content_length_n = ngx_cometa_lane_first(hook->lane)->len;
    }

    return NGX_DECLINED;
}


/* nginx has set the level of the log when it chose a location. */

ngx_int_t
ngx_cometa_webhook_quiet(ngx_http_request_t *r)
{
    ngx_cometa_hook_t  *hook;

    hook = ngx_cometa_webhook_of(r);

    if (hook && !hook->lane->speaks) {
        r->connection->log->log_level = NGX_LOG_ALERT;
    }

    return NGX_DECLINED;
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
        ngx_cometa_webhook_closing();
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
    ngx_buf_t           *b;
    ngx_uint_t            over;
    ngx_cometa_hook_t    *hook;
    ngx_http_request_t   *r;
    ngx_cometa_answer_t  *answer;

    r = c->data;
    hook = c->log->data;
    answer = hook->lane->answer;

    /* the answer of post_action comes later, and does not count */

    if (hook->lane->status == 0) {
        hook->lane->status = r->main->headers_out.status;
    }

    /* nginx looks at it after this: limit_rate, X-Accel-Limit-Rate */
    r->main->limit_rate = 0;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (answer && !answer->complete && !answer->too_long) {
            ngx_cometa_webhook_keep(answer, b,
                                    (off_t) r->main->header_size - c->sent);
        }

        c->sent += ngx_buf_size(b);

        if (ngx_buf_in_memory(b)) {
            b->pos = b->last;
        }

        if (b->in_file) {
            b->file_pos = b->file_last;
        }
    }

    /* the status is known: an answer without end must not hold the lane */

    over = answer ? answer->too_long : (c->sent > NGX_COMETA_WEBHOOK_ANSWER);

    return over ? NGX_CHAIN_ERROR : NULL;
}


/* The first `skip` bytes of the buffer, if it is positive, are the header. */

static void
ngx_cometa_webhook_keep(ngx_cometa_answer_t *answer, ngx_buf_t *b, off_t skip)
{
    size_t   len;
    u_char  *p;

    if (ngx_buf_in_memory(b)) {
        p = b->pos;
        len = b->last - b->pos;

        if (skip > 0) {
            skip = ngx_min(skip, (off_t) len);
            p += skip;
            len -= skip;
        }

        if (ngx_cometa_webhook_keep_bytes(answer, p, len) != NGX_OK) {
            answer->too_long = 1;
            return;
        }
    }

    if (b->last_buf) {
        answer->complete = 1;
    }
}


static ngx_int_t
ngx_cometa_webhook_keep_bytes(ngx_cometa_answer_t *answer, u_char *data,
    size_t len)
{
    size_t   size;
    u_char  *p;

    if (len > answer->max - answer->len) {
        return NGX_ERROR;
    }

    if (answer->len + len > answer->size) {
        size = ngx_max(answer->len + len, 2 * answer->size);
        size = ngx_min(size, answer->max);

        p = ngx_alloc(size, ngx_cycle->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (answer->body) {
            ngx_memcpy(p, answer->body, answer->len);
            ngx_free(answer->body);
        }

        answer->body = p;
        answer->size = size;
    }

    if (len) {
        ngx_memcpy(answer->body + answer->len, data, len);
        answer->len += len;
    }

    return NGX_OK;
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
