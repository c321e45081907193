
/*
 * The WebSocket requests: one that asks for a one-time key, and the handshake
 * that opens the socket with it. For a key the device need not be attached.
 *
 * The handshake is checked first, then the key, then whether the device is
 * attached, and only then the key is taken out of the zone: an attempt that
 * fails leaves the key good. Two workers that look at once cannot both take it.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_adopt.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_handshake.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_ws_move.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_otk.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


static ngx_uint_t ngx_cometa_websocket_opens(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_websocket_issue(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_int_t ngx_cometa_websocket_open(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_uint_t ngx_cometa_websocket_admit(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_place_t *place);
static ngx_int_t ngx_cometa_websocket_switch(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *key);
static void ngx_cometa_websocket_adopted(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len);
static void ngx_cometa_websocket_cleanup(void *data);


ngx_int_t
ngx_cometa_websocket_handler(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_cometa_zone.claimed) {
        return ngx_cometa_http_error(r, NGX_COMETA_OVERLOADED);
    }

    if (ngx_cometa_websocket_opens(r)) {
        return ngx_cometa_websocket_open(r, ctx);
    }

    return ngx_cometa_websocket_issue(r, ctx);
}


/*
 * Whether the request is to open a WebSocket. If it has a key but no "Upgrade",
 * it is: a proxy has removed that header, or it came by HTTP/2, which has none.
 * It is then refused with an error that says so.
 */

static ngx_uint_t
ngx_cometa_websocket_opens(ngx_http_request_t *r)
{
    ngx_str_t               key;
    ngx_cometa_loc_conf_t  *lcf;

    if (ngx_cometa_http_token(r, "Upgrade", 7, "websocket")) {
        return 1;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    return lcf->websocket_key
           && ngx_http_complex_value(r, lcf->websocket_key, &key) == NGX_OK
           && key.len;
}


static ngx_int_t
ngx_cometa_websocket_issue(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    u_char                  hex[2 * NGX_COMETA_OTK_LEN];
    uint32_t                app;
    ngx_int_t               rc;
    ngx_str_t               body;
    ngx_uint_t              error;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    error = ngx_cometa_http_admit(r, ctx, 1);

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    app = ngx_cometa_app_hold(&ctx->key.app, 1, holds);

    if (app == NGX_COMETA_NONE) {
        return ngx_cometa_http_error(r, NGX_COMETA_ZONE_FULL);
    }

    rc = ngx_cometa_otk_issue(app, ctx->key.hash, lcf->websocket_key_timeout,
                               hex);

    ngx_cometa_gauge_add(app, holds, -1);

    if (rc != NGX_OK) {
        return ngx_cometa_http_error(r, NGX_COMETA_OVERLOADED);
    }

    body.data = ngx_pnalloc(r->pool, sizeof(hex) + NGX_COMETA_ID_MAX
                            + sizeof("{\"device_id\":\"\","
                                     "\"device_key\":\"\"}"));
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data,
                           "{\"device_id\":\"%V\",\"device_key\":\"%*s\"}",
                           &ctx->key.device, sizeof(hex), hex)
               - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_cometa_websocket_open(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_str_t              *key;
    ngx_uint_t              error;
    ngx_cometa_place_t      place;
    ngx_http_cleanup_t     *cln;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    error = ngx_cometa_handshake_check(r, &key);

    /* no drain would end it; the key can be used at another worker */

    if (error == NGX_COMETA_OK && ngx_exiting) {
        error = NGX_COMETA_DRAINING;
    }

    if (error == NGX_COMETA_OK) {
        error = ngx_cometa_websocket_admit(r, ctx, &place);
    }

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_cometa_websocket_cleanup;
    cln->data = ctx;

    if (ngx_cometa_ws_move_wanted(r, &place)) {
        ctx->adoptee.move = ngx_cometa_ws_move_begin(r, ctx, &place);

    } else {
        ctx->adoptee.ws = ngx_cometa_ws_create(lcf->ws, &ctx->key);
    }

    if (ctx->adoptee.move == NULL && ctx->adoptee.ws == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_cometa_websocket_switch(r, ctx, key);
}


/*
 * The key alone authorizes, and names the application. It is taken out of the
 * zone only if the device is attached.
 */

static ngx_uint_t
ngx_cometa_websocket_admit(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_cometa_place_t *place)
{
    u_char                 *name;
    uint32_t                app;
    uint64_t                hash;
    ngx_str_t               key;
    ngx_uint_t              error;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (lcf->websocket_key == NULL
        || ngx_http_complex_value(r, lcf->websocket_key, &key) != NGX_OK
        || ngx_cometa_otk_find(&key, 0, &app, &hash) != NGX_OK)
    {
        error = ngx_cometa_http_device(r, ctx);
        return (error == NGX_COMETA_OK) ? NGX_COMETA_INVALID_KEY : error;
    }

    /* a copy: once the key is gone, the place may get another name */

    name = ngx_pnalloc(r->pool, NGX_COMETA_ID_MAX);

    if (name == NULL
        || ngx_cometa_app_name(app, &ctx->key.app, name) != NGX_OK)
    {
        return NGX_COMETA_INVALID_KEY;
    }

    error = ngx_cometa_http_device(r, ctx);
    if (error != NGX_COMETA_OK) {
        return error;
    }

    ngx_cometa_key_init(&ctx->key);

    if (ctx->key.hash != hash) {
        return NGX_COMETA_INVALID_KEY;
    }

    if (ngx_cometa_registry_find(&ctx->key, place) != NGX_OK) {
        return NGX_COMETA_DEVICE_OFFLINE;
    }

    if (ngx_cometa_otk_find(&key, 1, &app, &hash) != NGX_OK) {
        return NGX_COMETA_INVALID_KEY;
    }

    ctx->session = place->session;
    ctx->remote = (place->slot != ngx_cometa_zone.slot);
    ctx->placed = 1;

    return NGX_COMETA_OK;
}


static ngx_int_t
ngx_cometa_websocket_switch(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *key)
{
    ngx_int_t  rc;

    if (ngx_cometa_handshake_answer(r, key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* from here on, so that an error before this is written */

    if (ctx->adoptee.move) {
        ngx_cometa_ws_move_keep(r->connection);
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_cometa_adopt(r, ctx->adoptee.move ? ngx_cometa_ws_move_adopted
                                          : ngx_cometa_websocket_adopted);

    r->main->count++;
    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_cometa_websocket_adopted(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len)
{
    (void) ngx_tcp_nodelay(c);

    ngx_cometa_ws_open(adoptee->ws, c, rest, len);
}


static void
ngx_cometa_websocket_cleanup(void *data)
{
    ngx_cometa_ctx_t  *ctx = data;

    if (ctx->adoptee.move) {
        ngx_cometa_ws_move_discard(ctx->adoptee.move);
    }

    if (ctx->adoptee.ws) {
        ngx_cometa_ws_discard(ctx->adoptee.ws);
    }

    ngx_memzero(&ctx->adoptee, sizeof(ngx_cometa_adoptee_t));
}
