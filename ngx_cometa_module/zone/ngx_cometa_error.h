
/*
 * The words of errors, which callers and devices get, and of the reasons why a
 * device left.
 */

#ifndef _NGX_COMETA_ERROR_H_INCLUDED_
#define _NGX_COMETA_ERROR_H_INCLUDED_


#include "ngx_cometa.h"


typedef struct {
    ngx_uint_t  status;
    ngx_str_t   line;           /* of the status */
    ngx_str_t   word;           /* stable */
    ngx_uint_t  retry;          /* s, Retry-After; up to doubled by jitter */
    ngx_uint_t  call;           /* whether a call can end with it */
    ngx_uint_t  attach;         /* whether an attach can be refused with it */
} ngx_cometa_error_t;


/* Indexed by ngx_cometa_error_e, _reason_e and _tls_reason_e. */

extern ngx_cometa_error_t  ngx_cometa_errors[];
extern ngx_str_t           ngx_cometa_reasons[NGX_COMETA_REASONS];
extern ngx_str_t           ngx_cometa_tls_reasons[NGX_COMETA_TLS_REASONS];


#endif /* _NGX_COMETA_ERROR_H_INCLUDED_ */
