
/*
 * The handler of all locations: chooses the handler for a request.
 */

#include "ngx_cometa_handler.h"
#include "ngx_cometa.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_webhook_request.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_zone.h"


ngx_int_t
ngx_cometa_handler(ngx_http_request_t *r)
{
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    /* an event that a rewrite led here is neither an attach nor a call */

    if (ngx_cometa_webhook_made(r)) {
        return NGX_HTTP_NOT_FOUND;
    }

    ctx = ngx_cometa_http_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_cometa_zone.claimed) {
        ngx_cometa_fdpass_crowd();
    }

    /* If-Match and the like do not apply to our answers */

    r->disable_not_modified = 1;

    if (r->method == NGX_HTTP_GET && ngx_cometa_attach_opens(r)) {
        return ngx_cometa_attach_handler(r, ctx);
    }

    if (r->method == NGX_HTTP_POST) {

        if (lcf->handlers & NGX_COMETA_ATTACH) {
            return ngx_cometa_attach_handler(r, ctx);
        }

        if (lcf->handlers & NGX_COMETA_SEND) {
            return ngx_cometa_send_handler(r, ctx);
        }
    }

    /* other protocols that a client offers, such as h2c, are ignored */

    if (r->method == NGX_HTTP_GET
        && (lcf->handlers & NGX_COMETA_WEBSOCKET)
        && (!(lcf->handlers & NGX_COMETA_STATS)
            || ngx_cometa_http_token(r, "Upgrade", 7, "websocket")))
    {
        return ngx_cometa_websocket_handler(r, ctx);
    }

    if ((r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
        && (lcf->handlers & NGX_COMETA_STATS))
    {
        return ngx_cometa_stats_json_handler(r, ctx);
    }

    if (r->method == NGX_HTTP_DELETE && (lcf->handlers & NGX_COMETA_DETACH)) {
        return ngx_cometa_detach_handler(r, ctx);
    }

    return ngx_cometa_http_error(r, NGX_COMETA_NOT_ALLOWED);
}
