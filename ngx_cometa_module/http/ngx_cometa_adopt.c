
/*
 * How a request becomes a connection. nginx still uses the request further up
 * the stack when its handler is called, so the request is freed by a posted
 * event.
 */

#include "ngx_cometa_adopt.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_tls_park.h"


static void ngx_cometa_adopt_flush(ngx_http_request_t *r);
static void ngx_cometa_adopt_event(ngx_event_t *ev);
static ngx_int_t ngx_cometa_adopt_rest(ngx_http_request_t *r,
    ngx_str_t *rest);
static void ngx_cometa_adopt_stop(ngx_event_t *ev);
static void ngx_cometa_adopt_hand(ngx_http_request_t *r, ngx_str_t *rest);


void
ngx_cometa_adopt(ngx_http_request_t *r, ngx_cometa_adopt_pt handler)
{
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ctx->adopt = handler;

    if (r->connection->data != r || r->postponed) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a filter made subrequests of this request, so no "
                      "device or websocket can take its connection over: "
                      "switch the filter off in this location");
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_cometa_adopt_flush;

    /* a reference for the flush, which ends when the request is freed */

    r->main->count++;

    ngx_cometa_adopt_flush(r);
}


static void
ngx_cometa_adopt_flush(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_core_loc_conf_t  *clcf;

    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        c->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if ((r->out || c->buffered)
        && ngx_http_output_filter(r, NULL) == NGX_ERROR)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (r->out || c->buffered) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        if (!wev->timer_set) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    /* later, because callers up the stack still use the request */

    r->write_event_handler = ngx_http_request_empty_handler;

    wev->handler = ngx_cometa_adopt_event;
    ngx_post_event(wev, &ngx_posted_events);
}


static void
ngx_cometa_adopt_event(ngx_event_t *ev)
{
    ngx_str_t            rest;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    ngx_cometa_expect(r->signature == NGX_HTTP_MODULE);

    if (c->error || c->close || ngx_cometa_adopt_rest(r, &rest) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    ngx_cometa_adopt_stop(c->read);
    ngx_cometa_adopt_stop(c->write);

    ngx_cometa_adopt_hand(r, &rest);

    if (rest.data) {
        ngx_free(rest.data);
    }
}


/* Copies what was read after the request, because its buffer is freed. */

static ngx_int_t
ngx_cometa_adopt_rest(ngx_http_request_t *r, ngx_str_t *rest)
{
    rest->len = r->header_in->last - r->header_in->pos;
    rest->data = NULL;

    if (rest->len == 0) {
        return NGX_OK;
    }

    rest->data = ngx_alloc(rest->len, r->connection->log);
    if (rest->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(rest->data, r->header_in->pos, rest->len);

    return NGX_OK;
}


static void
ngx_cometa_adopt_stop(ngx_event_t *ev)
{
    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


/* Frees the request, and gives its connection to the handler. */

static void
ngx_cometa_adopt_hand(ngx_http_request_t *r, ngx_str_t *rest)
{
    u_char                 name[NGX_COMETA_ID_MAX];
    ngx_str_t              app;
    socklen_t              socklen;
    ngx_flag_t             park;
    ngx_pool_t            *pool;
    ngx_sockaddr_t         addr;
    ngx_connection_t      *c;
    ngx_cometa_ctx_t      *ctx;
    ngx_cometa_adopt_pt    handler;
    ngx_cometa_adoptee_t   adoptee;
    ngx_cometa_loc_conf_t *lcf;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    park = lcf->tls_park;
    app.data = name;
    app.len = ctx->key.app.len;
    ngx_memcpy(name, ctx->key.app.data, app.len);

    handler = ctx->adopt;
    adoptee = ctx->adoptee;
    ngx_memzero(&ctx->adoptee, sizeof(ngx_cometa_adoptee_t));

    ngx_cometa_expect((adoptee.device != NULL) + (adoptee.ws != NULL)
                      + (adoptee.move != NULL) == 1);

    /* the address that the realip module has set is freed with the request */

    socklen = ngx_min(c->socklen, (socklen_t) sizeof(addr));
    ngx_memcpy(&addr, c->sockaddr, socklen);

    ngx_cometa_request_release(r);

    c->sockaddr = &addr.sockaddr;
    c->socklen = socklen;

    pool = NULL;

#if (NGX_HTTP_SSL)
    if (c->ssl && park) {
        ngx_cometa_tls_park(c, &app);
    }

    if (c->ssl == NULL)
#endif
    {
        /* the new owner keeps all that a plain or parked one needs */
        pool = c->pool;
        c->pool = NULL;
    }

    handler(c, &adoptee, rest->data, rest->len);

    ngx_cometa_fdpass_crowd();

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
