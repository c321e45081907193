
/*
 * A call on behalf of a request: from its making until the request is
 * finalized, or goes before.
 */

#ifndef _NGX_COMETA_HTTP_CALL_H_INCLUDED_
#define _NGX_COMETA_HTTP_CALL_H_INCLUDED_


#include "ngx_cometa_ctx.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"

#include <ngx_http.h>


/*
 * From now on a caller that goes away ends the request, also one that has gone
 * already. NGX_ERROR: its connection cannot be watched.
 */
ngx_int_t ngx_cometa_http_watch(ngx_http_request_t *r);

/*
 * Makes ctx->call, for the device of ctx->key: it is cancelled if the request
 * ends before it. NULL: no memory.
 */
ngx_cometa_call_t *ngx_cometa_http_call(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_call_pt handler);

/*
 * Starts ctx->call, whose handler ends the request by ngx_cometa_http_end(),
 * perhaps before this returns. The request stays until it does.
 */
void ngx_cometa_http_start(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);

/* In that handler: the request, whose context says what became of the call. */
ngx_http_request_t *ngx_cometa_http_called(ngx_cometa_call_t *call,
    ngx_uint_t error);

void ngx_cometa_http_end(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_int_t rc);


#endif /* _NGX_COMETA_HTTP_CALL_H_INCLUDED_ */
