
/*
 * What a WebSocket receives.
 */

#ifndef _NGX_COMETA_WS_READ_H_INCLUDED_
#define _NGX_COMETA_WS_READ_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"


/*
 * The socket takes the connection over; nothing of nginx's HTTP must use it any
 * more. `data` are bytes that were read behind the handshake; they are not
 * needed after the return.
 */
void ngx_cometa_ws_open(ngx_cometa_ws_t *s, ngx_connection_t *c,
    u_char *data, size_t len);

/* It was not read for a while, because it was to move, and is now. */
void ngx_cometa_ws_read_on(ngx_cometa_ws_t *s);


#endif /* _NGX_COMETA_WS_READ_H_INCLUDED_ */
