
/*
 * What a request about devices asks for: its subject, and its arguments, which
 * are copied and unescaped into the request's pool.
 */

#ifndef _NGX_COMETA_ARGS_H_INCLUDED_
#define _NGX_COMETA_ARGS_H_INCLUDED_


#include "ngx_cometa.h"

#include <ngx_http.h>


/* What a request of an application is about. NGX_ERROR: it has no value. */

typedef enum {
    NGX_COMETA_SUBJECT_DEVICE = 0,
    NGX_COMETA_SUBJECT_DEVICES,         /* those of the application */
    NGX_COMETA_SUBJECT_APP
} ngx_cometa_subject_e;

ngx_int_t ngx_cometa_args_subject(ngx_http_request_t *r,
    ngx_cometa_subject_e *subject);

/* An argument as it was meant. NGX_DECLINED: there is none, or no memory. */
ngx_int_t ngx_cometa_args_value(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/*
 * The beginning of ids that "prefix" asks for, empty if it does not stand
 * there. NGX_DECLINED: no id can begin so; it may not be empty, lest a script
 * without a value means all devices.
 */
ngx_int_t ngx_cometa_args_prefix(ngx_http_request_t *r, ngx_str_t *prefix);

/* The session asked for, 0 if there is none. NGX_DECLINED: no session. */
ngx_int_t ngx_cometa_args_session(ngx_http_request_t *r, uint64_t *session);


#endif /* _NGX_COMETA_ARGS_H_INCLUDED_ */
