
/*
 * The calls of a WebSocket that speaks JSON: each message names its call, and
 * on a channel its device. Replies leave as they come, with the name of the
 * call.
 */

#ifndef _NGX_COMETA_WS_JSON_H_INCLUDED_
#define _NGX_COMETA_WS_JSON_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"
#include "cometa_json.h"


/* How long a message may be, all of it escaped, with its other members. */
#define ngx_cometa_ws_json_most(max)  (COMETA_JSON_ESCAPE * (max) + 1024)

/* Takes a message, which is changed. */
void ngx_cometa_ws_json(ngx_cometa_ws_t *s, u_char *data, size_t len);

/* Cancels all calls of a socket. */
void ngx_cometa_ws_json_drop(ngx_cometa_ws_t *s);

/*
 * The socket leaves for another worker, where it came from here under this
 * name: its calls end here, and their ends are sent after it. Returns how many
 * there are.
 */
uint32_t ngx_cometa_ws_json_leave(ngx_cometa_ws_t *s, uint32_t slot,
    uint32_t epoch, uint64_t serial);

/* At the start of a worker. */
void ngx_cometa_ws_json_start(void);

/* The calls of sockets that have left. */
ngx_uint_t ngx_cometa_ws_json_left(void);

/* There is no more time for these: they end with an error. */
void ngx_cometa_ws_json_give_up(void);


#endif /* _NGX_COMETA_WS_JSON_H_INCLUDED_ */
