
/*
 * The calls of a WebSocket: each message is a call. Its reply, or an error
 * instead, is sent in the order of the messages.
 */

#ifndef _NGX_COMETA_WS_CALL_H_INCLUDED_
#define _NGX_COMETA_WS_CALL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"


/* At the start of a worker. */
void ngx_cometa_ws_call_start(void);

/* Begins the call of a message, which is copied. */
void ngx_cometa_ws_call(ngx_cometa_ws_t *s, u_char *data, size_t len);


#endif /* _NGX_COMETA_WS_CALL_H_INCLUDED_ */
