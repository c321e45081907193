
/*
 * Instead of the files that know of parked connections: none is. A line that is
 * throttled is only counted.
 */

#ifndef FDPASS_STUBS_H
#define FDPASS_STUBS_H


#include "ngx_cometa_throttle.h"
#include "ngx_cometa_tls_pack.h"
#include "ngx_cometa_tls_state.h"


ngx_cometa_tls_state_t *
ngx_cometa_tls_state(ngx_connection_t *c)
{
    return NULL;
}


void
ngx_cometa_tls_away(ngx_connection_t *c, ngx_uint_t away)
{
    /* void */
}


void
ngx_cometa_tls_forget(ngx_connection_t *c)
{
    /* void */
}


size_t
ngx_cometa_tls_pack(ngx_connection_t *c, u_char *p)
{
    return 0;
}


ngx_int_t
ngx_cometa_tls_unpack(ngx_connection_t *c, u_char *p, size_t len)
{
    return NGX_ERROR;
}


void
ngx_cometa_throttle(ngx_cometa_throttle_t *throttle, ngx_log_t *log)
{
    throttle->n++;
}


#endif /* FDPASS_STUBS_H */
