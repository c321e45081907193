
/*
 * The handshake that opens a WebSocket (RFC 6455), by an application as well as
 * by a device.
 */

#ifndef _NGX_COMETA_HANDSHAKE_H_INCLUDED_
#define _NGX_COMETA_HANDSHAKE_H_INCLUDED_


#include "ngx_cometa.h"

#include <ngx_http.h>


/*
 * Checks the request as RFC 6455 requires. Returns NGX_COMETA_OK, with the
 * header Sec-WebSocket-Key in *key, or the error to answer with.
 */
ngx_uint_t ngx_cometa_handshake_check(ngx_http_request_t *r, ngx_str_t **key);

/* Sets the headers and the status of an answer 101. */
ngx_int_t ngx_cometa_handshake_answer(ngx_http_request_t *r, ngx_str_t *key);


#endif /* _NGX_COMETA_HANDSHAKE_H_INCLUDED_ */
