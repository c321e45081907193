
/*
 * When WebSockets are written to. All that one turn of the event loop adds to
 * the output of a socket is written together at the end of the turn. A reply
 * may wait a few milliseconds longer for the replies to other calls of the
 * socket.
 */

#ifndef _NGX_COMETA_WS_BATCH_H_INCLUDED_
#define _NGX_COMETA_WS_BATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* In each socket; all zero to start with. */

typedef struct {
    ngx_queue_t   link;         /* .next is NULL: nothing is to be written */
    uint16_t      replies;      /* replies since it was written last */
    uint8_t       soon;         /* is written at the end of this turn */
} ngx_cometa_ws_batch_t;


/* Writes the output of a socket, and calls ngx_cometa_ws_batch_leave(). */
typedef void (*ngx_cometa_ws_batch_pt)(ngx_cometa_ws_batch_t *b);


/* At the start of a worker. */
void ngx_cometa_ws_batch_start(ngx_cycle_t *cycle,
    ngx_cometa_ws_batch_pt handler);

/* The output is to be written in a few milliseconds / after this turn. */
void ngx_cometa_ws_batch_hold(ngx_cometa_ws_batch_t *b);
void ngx_cometa_ws_batch_soon(ngx_cometa_ws_batch_t *b);

/* The output is written now, or the socket ends. */
void ngx_cometa_ws_batch_leave(ngx_cometa_ws_batch_t *b);


#endif /* _NGX_COMETA_WS_BATCH_H_INCLUDED_ */
