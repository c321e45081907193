
/*
 * What a WebSocket will speak and hear, as its handshake asks for it: by a
 * subprotocol, and by arguments.
 */

#ifndef _NGX_COMETA_WS_MODE_H_INCLUDED_
#define _NGX_COMETA_WS_MODE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"

#include <ngx_http.h>


/*
 * Sets the mode, and the subprotocol that is agreed, empty if there is none. A
 * channel speaks JSON in any case. Returns NGX_COMETA_OK, or the error to
 * answer with.
 */
ngx_uint_t ngx_cometa_ws_mode_read(ngx_http_request_t *r, ngx_uint_t channel,
    ngx_cometa_ws_mode_t *mode, ngx_str_t *protocol);


#endif /* _NGX_COMETA_WS_MODE_H_INCLUDED_ */
