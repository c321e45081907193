
/*
 * Whether connections over TLS can be parked: with nginx's HTTPS, and OpenSSL
 * itself, 3.0 or newer.
 */

#ifndef _NGX_COMETA_TLS_H_INCLUDED_
#define _NGX_COMETA_TLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#if (NGX_HTTP_SSL)

#if (!defined LIBRESSL_VERSION_NUMBER                                         \
     && !defined OPENSSL_IS_BORINGSSL                                         \
     && !defined OPENSSL_IS_AWSLC                                             \
     && OPENSSL_VERSION_NUMBER >= 0x30000000L)
#define NGX_COMETA_TLS  1
#endif

#endif


#endif /* _NGX_COMETA_TLS_H_INCLUDED_ */
