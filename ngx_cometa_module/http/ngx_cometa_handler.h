
/*
 * The handlers of requests. That of all locations chooses from the others by
 * method; each of those stands in a file of its own.
 */

#ifndef _NGX_COMETA_HANDLER_H_INCLUDED_
#define _NGX_COMETA_HANDLER_H_INCLUDED_


#include "ngx_cometa_ctx.h"

#include <ngx_http.h>


ngx_int_t ngx_cometa_handler(ngx_http_request_t *r);

/* With the context of the request, which that of all locations has made. */
ngx_int_t ngx_cometa_attach_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_send_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_websocket_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_stats_json_handler(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);

/* Two kinds of statistics; what to finalize the request with. */
ngx_int_t ngx_cometa_stats_list(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);
ngx_int_t ngx_cometa_stats_prometheus(ngx_http_request_t *r);


#endif /* _NGX_COMETA_HANDLER_H_INCLUDED_ */
