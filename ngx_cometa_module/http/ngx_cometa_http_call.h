
/*
 * A call on behalf of a request, from when it is made until the request is
 * finalized. If the request ends first, the call is cancelled.
 */

#ifndef _NGX_COMETA_HTTP_CALL_H_INCLUDED_
#define _NGX_COMETA_HTTP_CALL_H_INCLUDED_


#include "ngx_cometa_ctx.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"

#include <ngx_http.h>


/*
 * From now on the request ends if its caller goes away, also if it has gone
 * already. NGX_ERROR: the connection cannot be watched.
 */
ngx_int_t ngx_cometa_http_watch(ngx_http_request_t *r);

/*
 * Makes ctx->call, for the device of ctx->key. The call is cancelled if the
 * request ends before it. NULL: no memory.
 */
ngx_cometa_call_t *ngx_cometa_http_call(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_call_pt handler);

/*
 * Starts ctx->call. Its handler ends the request by ngx_cometa_http_end(),
 * perhaps before this returns; the request is not freed before this returns.
 */
void ngx_cometa_http_start(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx);

/* For that handler: notes in the context how the call ended; the request. */
ngx_http_request_t *ngx_cometa_http_called(ngx_cometa_call_t *call,
    ngx_uint_t error);

void ngx_cometa_http_end(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_int_t rc);


#endif /* _NGX_COMETA_HTTP_CALL_H_INCLUDED_ */
