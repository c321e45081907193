
/*
 * Calls for which no request waits (RFC 7240, respond-async): the request is
 * answered when the call has begun, and the end of the call, a reply or an
 * error, is an event of the device.
 */

#ifndef _NGX_COMETA_ASYNC_H_INCLUDED_
#define _NGX_COMETA_ASYNC_H_INCLUDED_


#include "ngx_cometa_ctx.h"

#include <ngx_http.h>


/* What a call is to be; the message is copied. */

typedef struct {
    ngx_str_t    message;
    ngx_msec_t   timeout;
    ngx_msec_t   wait;          /* for a device that is not attached */
} ngx_cometa_async_call_t;


/* At the start of a worker. */
ngx_int_t ngx_cometa_async_start(ngx_cycle_t *cycle);

/* Whether the request asks for it. */
ngx_uint_t ngx_cometa_async_wanted(ngx_http_request_t *r);

/*
 * Begins the call for the device of ctx->key. NGX_COMETA_OK: it is under way,
 * and has the id, of at most NGX_COMETA_CALL_ID_MAX bytes in the request's
 * pool. Otherwise the error to answer with: nothing was written, and there is
 * no event.
 */
ngx_uint_t ngx_cometa_async_begin(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_async_call_t *what, ngx_str_t *id);

/* Those of this worker that have not ended. */
ngx_uint_t ngx_cometa_async_count(void);

/*
 * nginx stops: those that wait for a device end, for none can come any more;
 * and with `all` the others, too.
 */
void ngx_cometa_async_give_up(ngx_uint_t all);


#endif /* _NGX_COMETA_ASYNC_H_INCLUDED_ */
