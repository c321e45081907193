
/*
 * The handlers of requests. ngx_cometa_handler() is that of all locations, and
 * chooses one of the others by the method; each of these has a file of its own.
 */

#ifndef _NGX_COMETA_HANDLER_H_INCLUDED_
#define _NGX_COMETA_HANDLER_H_INCLUDED_


#include "ngx_cometa_ctx.h"

#include <ngx_http.h>


ngx_int_t ngx_cometa_handler(ngx_http_request_t *r);

/* They get the context of the request, which ngx_cometa_handler() has made. */
ngx_int_t ngx_cometa_attach_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);

/* Whether a GET is an attach over a WebSocket. */
ngx_uint_t ngx_cometa_attach_opens(ngx_http_request_t *r);

ngx_int_t ngx_cometa_send_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_websocket_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_stats_json_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_detach_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);

/* Two kinds of statistics. Return what to finalize the request with. */
ngx_int_t ngx_cometa_stats_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_stats_prometheus(ngx_http_request_t *r);


#endif /* _NGX_COMETA_HANDLER_H_INCLUDED_ */
