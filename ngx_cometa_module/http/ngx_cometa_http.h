
/*
 * What the handlers have in common: ids, authorization, headers, bodies, and
 * answers in JSON, errors included.
 */

#ifndef _NGX_COMETA_HTTP_H_INCLUDED_
#define _NGX_COMETA_HTTP_H_INCLUDED_


#include "ngx_cometa_ctx.h"

#include <ngx_http.h>


/*
 * Evaluates the ids into ctx->key and checks them; with `device` 0 the device
 * is not checked. Returns NGX_COMETA_OK or the error to answer with.
 */
ngx_uint_t ngx_cometa_http_key(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t device);

/* Evaluates and checks only the id of the device. */
ngx_uint_t ngx_cometa_http_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);

/* Whether this may be the id of an application or a device. */
ngx_uint_t ngx_cometa_http_id_valid(ngx_str_t *id);

/* Whether the request presents the secret of its application. */
ngx_uint_t ngx_cometa_http_authorize(ngx_http_request_t *r);

/*
 * The checks of every request that an application makes about its devices:
 * evaluates the ids as ngx_cometa_http_key() does, checks the secret, and
 * checks that this worker has a slot in the zone.
 */
ngx_uint_t ngx_cometa_http_admit(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t device);

/* Whether the request presents `secret`, as OAuth or as Bearer. */
ngx_uint_t ngx_cometa_http_presents(ngx_http_request_t *r, ngx_str_t *secret);

/*
 * The body that was read, as one piece, in the request's pool or where it is.
 * NGX_DECLINED: it has more than `max` bytes.
 */
ngx_int_t ngx_cometa_http_body(ngx_http_request_t *r, size_t max,
    ngx_str_t *body);

/* The next such header after `prev`, or the first. NULL: there is none. */
ngx_str_t *ngx_cometa_http_header(ngx_http_request_t *r, const char *name,
    size_t len, ngx_str_t *prev);

/* Whether a header, a list of tokens in one or more lines, has this token. */
ngx_uint_t ngx_cometa_http_token(ngx_http_request_t *r, const char *name,
    size_t len, const char *token);

/*
 * Answers with a body of JSON, or with an error. Returns what to finalize the
 * request with.
 */
ngx_int_t ngx_cometa_http_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);
ngx_int_t ngx_cometa_http_error(ngx_http_request_t *r, ngx_uint_t error);

/* The stable word of an error. */
ngx_str_t *ngx_cometa_http_word(ngx_uint_t error);

/* The methods that the location serves, for Allow. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_http_allow(ngx_http_request_t *r, ngx_str_t *allow);


#endif /* _NGX_COMETA_HTTP_H_INCLUDED_ */
