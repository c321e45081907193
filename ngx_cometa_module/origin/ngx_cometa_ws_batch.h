
/*
 * When WebSockets are written to. What one turn of the event loop has for a
 * socket is written together at its end. A reply may wait longer for those to
 * other calls of the socket, for a few milliseconds at most.
 */

#ifndef _NGX_COMETA_WS_BATCH_H_INCLUDED_
#define _NGX_COMETA_WS_BATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* In each socket; all zero to start with. */

typedef struct {
    ngx_queue_t   link;         /* .next is NULL: nothing is to be written */
    uint16_t      replies;      /* since it was written last */
    uint8_t       soon;         /* at the end of this turn */
} ngx_cometa_ws_batch_t;


/* Writes the output of a socket, and calls ngx_cometa_ws_batch_leave(). */
typedef void (*ngx_cometa_ws_batch_pt)(ngx_cometa_ws_batch_t *b);


/* At the start of a worker. */
void ngx_cometa_ws_batch_start(ngx_cycle_t *cycle,
    ngx_cometa_ws_batch_pt handler);

/* To be written in a few milliseconds, or at the end of this turn. */
void ngx_cometa_ws_batch_hold(ngx_cometa_ws_batch_t *b);
void ngx_cometa_ws_batch_soon(ngx_cometa_ws_batch_t *b);

/* It is written now, or gone. */
void ngx_cometa_ws_batch_leave(ngx_cometa_ws_batch_t *b);


#endif /* _NGX_COMETA_WS_BATCH_H_INCLUDED_ */
