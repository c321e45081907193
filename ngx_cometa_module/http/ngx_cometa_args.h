
/*
 * What a request about devices asks for: its subject, and its arguments, which
 * are copied and unescaped into the request's pool. Where an argument is wrong,
 * the context gets a hint for the answer, which says what is right.
 */

#ifndef _NGX_COMETA_ARGS_H_INCLUDED_
#define _NGX_COMETA_ARGS_H_INCLUDED_


#include "ngx_cometa_ctx.h"

#include <ngx_http.h>


/* What a request of an application is about. NGX_ERROR: it has no value. */

typedef enum {
    NGX_COMETA_SUBJECT_DEVICE = 0,
    NGX_COMETA_SUBJECT_DEVICES,         /* those of the application */
    NGX_COMETA_SUBJECT_APP
} ngx_cometa_subject_e;

ngx_int_t ngx_cometa_args_subject(ngx_http_request_t *r,
    ngx_cometa_subject_e *subject);


/*
 * All of these return NGX_DECLINED if the value is wrong, and NGX_ERROR if
 * there is no memory. What does not stand there is empty, or 0.
 */

/* Any of them, as it was meant. NGX_DECLINED: it does not stand there. */
ngx_int_t ngx_cometa_args_value(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/*
 * The beginning of ids: "prefix". It may not stand there and be empty, lest a
 * script without a value means all devices.
 */
ngx_int_t ngx_cometa_args_prefix(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *prefix);

/* The session that is meant: "session". */
ngx_int_t ngx_cometa_args_session(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, uint64_t *session);

/* A position in the order of ids, any bytes: "after". */
ngx_int_t ngx_cometa_args_after(ngx_http_request_t *r, ngx_str_t *after);

/* A number from 1 on: "limit". */
ngx_int_t ngx_cometa_args_limit(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t *limit);

/* 1 or 0: "detail". */
ngx_int_t ngx_cometa_args_detail(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t *detail);

/* Any other, unescaped. NGX_DECLINED: it does not stand there. */
ngx_int_t ngx_cometa_args_value(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


#endif /* _NGX_COMETA_ARGS_H_INCLUDED_ */
