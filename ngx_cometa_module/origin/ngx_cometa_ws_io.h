
/*
 * The bytes of a WebSocket: frames from its connection, and frames to it. This
 * file does not know calls and does not end a socket: it returns what it found.
 */

#ifndef _NGX_COMETA_WS_IO_H_INCLUDED_
#define _NGX_COMETA_WS_IO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_cometa_bytes.h"
#include "cometa_ws.h"


typedef struct {
    ngx_connection_t     *connection;   /* NULL: not open yet */
    cometa_ws_t           codec;        /* of what is received */
    ngx_cometa_bytes_t   *message;      /* its first pieces */
    ngx_cometa_bytes_t   *control;      /* those of a control frame */
    ngx_cometa_bytes_t   *rest;         /* received and not parsed yet */
    ngx_cometa_bytes_t   *output;       /* not written yet */
} ngx_cometa_ws_io_t;


void ngx_cometa_ws_io_init(ngx_cometa_ws_io_t *io);
void ngx_cometa_ws_io_free(ngx_cometa_ws_io_t *io);

/* How much may be received in one go. */
size_t ngx_cometa_ws_io_portion(ngx_cometa_ws_io_t *io);

/* Bytes that were put off to this turn. NGX_DECLINED: there are none. */
ngx_int_t ngx_cometa_ws_io_rest(ngx_cometa_ws_io_t *io, ngx_str_t *in);

/*
 * Takes bytes from `in` until a message or a control frame is complete, then
 * returns NGX_OK: io->codec.type says what it is, and it is valid until
 * ngx_cometa_ws_io_done(), which must follow. NGX_AGAIN: the bytes are used
 * up, or the turn is over and the rest is put off; NGX_DECLINED: the peer
 * breaks the protocol, as io->codec.error says; NGX_ERROR: no memory.
 */
ngx_int_t ngx_cometa_ws_io_parse(ngx_cometa_ws_io_t *io, ngx_str_t *in,
    uint32_t max_message, ngx_str_t *frame);
void ngx_cometa_ws_io_done(ngx_cometa_ws_io_t *io);

/* Frees bytes that are not to be parsed any more. */
void ngx_cometa_ws_io_discard(ngx_cometa_ws_io_t *io, ngx_str_t *in);

/* Adds a frame to the output. NGX_ERROR: no memory, nothing was added. */
ngx_int_t ngx_cometa_ws_io_add(ngx_cometa_ws_io_t *io, ngx_uint_t type,
    u_char *data, size_t len);
ngx_int_t ngx_cometa_ws_io_add_close(ngx_cometa_ws_io_t *io,
    ngx_uint_t code);

/* Writes what it can. NGX_AGAIN: the connection has not taken all of it. */
ngx_int_t ngx_cometa_ws_io_write(ngx_cometa_ws_io_t *io);

/*
 * Ends the writing side of the connection, so that what the peer still sends
 * can be read: a reset would overtake the close frame.
 */
ngx_int_t ngx_cometa_ws_io_shutdown(ngx_cometa_ws_io_t *io);


#endif /* _NGX_COMETA_WS_IO_H_INCLUDED_ */
