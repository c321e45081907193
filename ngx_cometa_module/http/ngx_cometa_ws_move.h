
/*
 * If another worker holds the device of a WebSocket that opens, and its
 * connection is plain or parked, the WebSocket moves there, so that its calls
 * stay on one worker. The client gets the 101 from there, and cannot miss an
 * event of a WebSocket that was not open before.
 */

#ifndef _NGX_COMETA_WS_MOVE_H_INCLUDED_
#define _NGX_COMETA_WS_MOVE_H_INCLUDED_


#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_registry.h"


typedef struct ngx_cometa_ws_move_s  ngx_cometa_ws_move_t;


/*
 * Whether the socket that the request opens should move to that place, and can
 * move there.
 */
ngx_uint_t ngx_cometa_ws_move_wanted(ngx_http_request_t *r,
    ngx_cometa_place_t *place);

/* For ctx->adoptee.move, instead of a WebSocket. NULL: no memory. */
ngx_cometa_ws_move_t *ngx_cometa_ws_move_begin(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_cometa_place_t *place,
    ngx_cometa_ws_mode_t *mode);

/* From now on the answer is kept in ctx->adoptee.move, not written. */
void ngx_cometa_ws_move_keep(ngx_connection_t *c);

/* For ngx_cometa_adopt(). A socket that cannot move opens here. */
void ngx_cometa_ws_move_adopted(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len);

/* Frees it, if the request ends before it could be adopted. */
void ngx_cometa_ws_move_discard(ngx_cometa_ws_move_t *move);

/*
 * Opens a socket that was handed over to this worker. NGX_DECLINED: c is NULL,
 * it is lost.
 */
ngx_int_t ngx_cometa_ws_move_arrived(ngx_connection_t *c, u_char *data,
    size_t len);


#endif /* _NGX_COMETA_WS_MOVE_H_INCLUDED_ */
