
/*
 * WebSockets that come from a worker of an older configuration. The other
 * side, and the way between both, is in ngx_cometa_ws_depart.h.
 */

#ifndef _NGX_COMETA_WS_ARRIVE_H_INCLUDED_
#define _NGX_COMETA_WS_ARRIVE_H_INCLUDED_


#include "ngx_cometa_mail.h"
#include "ngx_cometa_ws.h"


/*
 * At the start of a worker: the locations that WebSockets may be in, whose
 * array lives as long as the process.
 */
void ngx_cometa_ws_arrive_start(ngx_cometa_ws_conf_t **confs, ngx_uint_t n);

/*
 * Takes the WebSocket of a parcel in, or answers why it does not. c is NULL if
 * this worker has no place for the connection. Returns NGX_OK: its sender
 * keeps what is not taken.
 */
ngx_int_t ngx_cometa_ws_arrive(ngx_connection_t *c, u_char *data, size_t len);

/* The handler of WS_TAIL. */
void ngx_cometa_ws_arrive_tail(ngx_cometa_mail_ws_tail_t *mail, u_char *data,
    size_t len);

/* Workers have died: what came from them is not waited for any more. */
void ngx_cometa_ws_arrive_deaths(void);


#endif /* _NGX_COMETA_WS_ARRIVE_H_INCLUDED_ */
