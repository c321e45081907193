
/*
 * The attach request: checks it, enters the device, answers 200 with the first
 * chunk, or 101 with the first frame, then frees the request and gives its
 * connection to the device. Letters to the device that come in between are
 * taken; nothing is written to the device before it has the connection.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_throttle.h"
#include "ngx_cometa_attach_answer.h"
#include "ngx_cometa_attach_asked.h"
#include "ngx_cometa_attach_info.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_handshake.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_CONTINUE  "HTTP/1.1 100 Continue" CRLF CRLF


static ngx_uint_t ngx_cometa_attach_check(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_int_t ngx_cometa_attach_refuse(ngx_http_request_t *r,
    ngx_uint_t error);
static ngx_int_t ngx_cometa_attach_expect(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_attach_open(ngx_http_request_t *r);
static ngx_uint_t ngx_cometa_attach_enter(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_cometa_device_t *ngx_cometa_attach_device(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_attach_max(ngx_http_request_t *r,
    ngx_cometa_takeover_t *takeover);
static void ngx_cometa_attach_tell(ngx_http_request_t *r,
    ngx_cometa_place_t *old, ngx_uint_t wait);
static void ngx_cometa_attach_full(ngx_cometa_throttle_t *throttle,
    ngx_log_t *log);
static void ngx_cometa_attach_cleanup(void *data);


static ngx_cometa_throttle_t  ngx_cometa_attach_throttle = {
    .handler = ngx_cometa_attach_full
};


ngx_int_t
ngx_cometa_attach_handler(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  error;

    error = (r->method == NGX_HTTP_GET)
            ? ngx_cometa_handshake_check(r, &ctx->nonce) : NGX_COMETA_OK;

    if (error == NGX_COMETA_OK) {
        error = ngx_cometa_attach_check(r, ctx);
    }

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_attach_refuse(r, error);
    }

    if (ctx->nonce == NULL && !r->headers_in.chunked) {

        /*
         * form A: the body is the info, and chunks follow it; the body is read
         * without nginx's buffering, because only its beginning is kept
         */

        return ngx_cometa_attach_info_read(r, ngx_cometa_attach_open);
    }

    /*
     * form B: the body itself is the chunks, and never read as a body; over a
     * WebSocket there is none
     */

    if (ngx_cometa_attach_expect(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    rc = ngx_cometa_attach_open(r);

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/*
 * A handshake whose "Upgrade" was removed on the way, as proxies do, is one
 * nevertheless, and is refused with an error that says so. Where a location
 * opens WebSockets of applications, too, devices name their subprotocol.
 */

ngx_uint_t
ngx_cometa_attach_opens(ngx_http_request_t *r)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (!(lcf->handlers & NGX_COMETA_ATTACH)) {
        return 0;
    }

    if (lcf->handlers & NGX_COMETA_WEBSOCKET) {
        return ngx_cometa_http_token(r, "Sec-WebSocket-Protocol", 22,
                                     NGX_COMETA_SUBPROTOCOL);
    }

    return ngx_cometa_http_token(r, "Upgrade", 7, "websocket")
           || ngx_cometa_http_header(r, "Sec-WebSocket-Key", 17, NULL);
}


static ngx_uint_t
ngx_cometa_attach_check(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_uint_t              error;
    ngx_str_t               secret;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (r != r->main || r->request_body || r->discard_body) {
        return NGX_COMETA_BAD_REQUEST;
    }

    if (r->http_version != NGX_HTTP_VERSION_11) {
        return NGX_COMETA_HTTP1_REQUIRED;
    }

    if (ctx->nonce
        && (r->headers_in.chunked || r->headers_in.content_length_n > 0))
    {
        return NGX_COMETA_BAD_REQUEST;
    }

    error = ngx_cometa_http_key(r, ctx, 1);
    if (error != NGX_COMETA_OK) {
        return error;
    }

    if (lcf->secret && !lcf->guarded
        && (ngx_http_complex_value(r, lcf->secret, &secret) != NGX_OK
            || secret.len == 0))
    {
        return NGX_COMETA_FORBIDDEN;
    }

    if (lcf->device_secret
        && (ngx_http_complex_value(r, lcf->device_secret, &secret) != NGX_OK
            || !ngx_cometa_http_presents(r, &secret)))
    {
        return NGX_COMETA_FORBIDDEN;
    }

    if (ngx_exiting || ngx_terminate) {
        return NGX_COMETA_DRAINING;
    }

    if (!ngx_cometa_zone.claimed) {
        return NGX_COMETA_OVERLOADED;
    }

    return NGX_COMETA_OK;
}


/*
 * After a refusal a device may go on to send chunks for ever: the connection is
 * closed, and not used for another request.
 */

static ngx_int_t
ngx_cometa_attach_refuse(ngx_http_request_t *r, ngx_uint_t error)
{
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "attach refused: %V, device: \"%V/%V\"",
                  ngx_cometa_http_word(error), &ctx->key.app,
                  &ctx->key.device);

    if (ngx_cometa_zone.head) {
        (void) __atomic_fetch_add(&ngx_cometa_zone.head->refused[error], 1,
                                  __ATOMIC_RELAXED);
    }

    ctx->lingering = 1;
    r->lingering_close = 1;
    r->keepalive = 0;

    return ngx_cometa_http_error(r, error);
}


static ngx_int_t
ngx_cometa_attach_expect(ngx_http_request_t *r)
{
    size_t             len;
    ngx_str_t         *expect;
    ngx_connection_t  *c;

    if (r->headers_in.expect == NULL) {
        return NGX_OK;
    }

    r->expect_tested = 1;

    expect = &r->headers_in.expect->value;

    if (expect->len != 12
        || ngx_strncasecmp(expect->data, (u_char *) "100-continue", 12) != 0)
    {
        return NGX_OK;
    }

    c = r->connection;
    len = sizeof(NGX_COMETA_CONTINUE) - 1;

    /* nothing was written before, so the socket takes all of it */

    if (c->send(c, (u_char *) NGX_COMETA_CONTINUE, len) != (ssize_t) len) {
        c->error = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Returns what to finalize the request with; NGX_DONE: it goes on. */

static ngx_int_t
ngx_cometa_attach_open(ngx_http_request_t *r)
{
    ngx_uint_t           error;
    ngx_cometa_ctx_t    *ctx;
    ngx_http_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    /* the worker may have begun to leave while the body was read */

    if (ngx_exiting) {
        return ngx_cometa_attach_refuse(r, NGX_COMETA_DRAINING);
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_cometa_attach_cleanup;
    cln->data = ctx;

    ctx->adoptee.device = ngx_cometa_attach_device(r);

    if (ctx->adoptee.device == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    error = ngx_cometa_attach_enter(r, ctx);

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_attach_refuse(r, error);
    }

    return ngx_cometa_attach_answer(r);
}


static ngx_cometa_device_t *
ngx_cometa_attach_device(ngx_http_request_t *r)
{
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_device_t    *dev;
    ngx_cometa_loc_conf_t  *lcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    dev = ngx_cometa_device_create(lcf->devices);
    if (dev == NULL) {
        return NULL;
    }

    dev->state.sdk = (ctx->nonce == NULL && !r->headers_in.chunked);

    ngx_cometa_address_set(&dev->state.address, r->connection->sockaddr);

    if (ngx_cometa_attach_info(r, dev) != NGX_OK
        || ngx_cometa_attach_asked(r, dev) != NGX_OK)
    {
        ngx_cometa_device_discard(dev);
        return NULL;
    }

    return dev;
}


static ngx_uint_t
ngx_cometa_attach_enter(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_cometa_place_t       old;
    ngx_cometa_device_t     *dev;
    ngx_cometa_loc_conf_t   *lcf;
    ngx_cometa_takeover_t    takeover;
    ngx_cometa_mail_head_t   from;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);
    dev = ctx->adoptee.device;

    if (ngx_cometa_attach_max(r, &takeover) != NGX_OK) {
        return NGX_COMETA_FORBIDDEN;
    }

    takeover.wanted = lcf->takeover;
    takeover.limit = lcf->takeover_limit;

    rc = ngx_cometa_device_enter(dev, &ctx->key, &takeover, &old);

    if (rc == NGX_DECLINED) {
        return NGX_COMETA_ALREADY_ATTACHED;
    }

    if (rc == NGX_AGAIN) {
        ctx->retry = takeover.wait
                     + ngx_random() % (takeover.wait / 2 + 1);

        if (takeover.first) {
            ngx_cometa_attach_tell(r, &old, takeover.wait);
        }

        return NGX_COMETA_DEVICE_BUSY;
    }

    if (rc == NGX_ABORT) {
        return NGX_COMETA_TOO_MANY_DEVICES;
    }

    if (rc == NGX_BUSY) {
        ngx_cometa_throttle(&ngx_cometa_attach_throttle, r->connection->log);
        return NGX_COMETA_ZONE_FULL;
    }

    ctx->session = dev->state.session;
    ctx->placed = 1;

    if (old.session) {
        ngx_cometa_queue_hold(dev);
        ngx_cometa_attach_tell(r, &old, 0);
    }

    if (ngx_cometa_interest_any(ctx->key.hash)) {
        ngx_cometa_queue_hold(dev);
        ngx_cometa_owner_head(dev, &from);
        ngx_cometa_mail_online(&ctx->key, &from);
    }

    return NGX_COMETA_OK;
}


/*
 * How many devices the application may have. An empty value sets no bound; one
 * that is no number is a mistake, and lets nobody in.
 */

static ngx_int_t
ngx_cometa_attach_max(ngx_http_request_t *r, ngx_cometa_takeover_t *takeover)
{
    ngx_int_t               n;
    ngx_str_t               value;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    takeover->bounded = 0;

    if (lcf->devices_max == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, lcf->devices_max, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    n = ngx_atoi(value.data, value.len);

    if (n == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"cometa_devices_max\" has the value \"%V\", expected "
                      "a number, or nothing for no bound", &value);
        return NGX_ERROR;
    }

    takeover->bounded = 1;
    takeover->max = n;

    return NGX_OK;
}


/*
 * Tells the owner which client takes its device over or, if `wait` is not 0,
 * which client is refused for so many seconds. The owner logs it, because only
 * the owner knows the addresses of both clients.
 */

static void
ngx_cometa_attach_tell(ngx_http_request_t *r, ngx_cometa_place_t *old,
    ngx_uint_t wait)
{
    u_char              text[NGX_SOCKADDR_STRLEN];
    ngx_str_t           addr;
    ngx_connection_t   *c;

    c = r->connection;

    addr.data = text;
    addr.len = ngx_sock_ntop(c->sockaddr, c->socklen, text,
                             NGX_SOCKADDR_STRLEN, 1);

    ngx_cometa_mail_evict(old, wait, &addr);
}


static void
ngx_cometa_attach_full(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "cometa_zone is full, %ui attaches refused: increase its "
                  "size and restart nginx", throttle->n);
}


static void
ngx_cometa_attach_cleanup(void *data)
{
    ngx_cometa_ctx_t  *ctx = data;

    if (ctx->adoptee.device) {
        ngx_cometa_device_discard(ctx->adoptee.device);
        ctx->adoptee.device = NULL;
    }
}
