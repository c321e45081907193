
/*
 * WebSockets that have come from another worker, with calls that end there.
 * Their ends come by letter, and are written as if the calls had ended here.
 */

#ifndef _NGX_COMETA_WS_LATE_H_INCLUDED_
#define _NGX_COMETA_WS_LATE_H_INCLUDED_


#include "ngx_cometa_mail.h"
#include "ngx_cometa_ws.h"


/* At the start of a worker. */
void ngx_cometa_ws_late_start(void);

/* The socket has n calls at the worker where it had this serial. */
void ngx_cometa_ws_late_wait(ngx_cometa_ws_t *s, uint32_t slot,
    uint32_t epoch, uint64_t serial, uint32_t n);

/* The handler of WS_LATE. */
void ngx_cometa_ws_late(ngx_cometa_mail_ws_late_t *mail, u_char *data,
    size_t len);

/*
 * Workers have died: what their calls would have ended with is lost. A client
 * that waits for it is told by the end of its WebSocket.
 */
void ngx_cometa_ws_late_deaths(void);


#endif /* _NGX_COMETA_WS_LATE_H_INCLUDED_ */
