
/*
 * What the four files of a WebSocket share: its life is in
 * ngx_cometa_ws.c, what it hears in ngx_cometa_ws_io.c, what it says
 * in ngx_cometa_ws_output.c, its calls in ngx_cometa_ws_call.c. For
 * nobody else.
 */

#ifndef _NGX_COMETA_WS_IO_H_INCLUDED_
#define _NGX_COMETA_WS_IO_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"
#include "cometa_ws.h"


#define NGX_COMETA_CLOSE_NORMAL    1000
#define NGX_COMETA_CLOSE_AWAY      1001
#define NGX_COMETA_CLOSE_AGAIN     1013


/* Bytes that grow: a message not complete, or output not written. */

typedef struct {
    u_char                    *data;
    uint32_t                   pos;
    uint32_t                   len;
    uint32_t                   size;
} ngx_cometa_bytes_t;


struct ngx_cometa_ws_s {
    ngx_connection_t          *connection;  /* NULL: not open yet */
    ngx_cometa_ws_conf_t  *conf;
    ngx_queue_t                link;        /* in the table */
    ngx_queue_t                life;        /* in a queue of conf */
    ngx_queue_t                held;        /* to be flushed soon, or later */
    ngx_queue_t                requests;
    ngx_cometa_key_t           key;
    cometa_ws_t                ws;

    ngx_cometa_bytes_t         message;
    ngx_cometa_bytes_t         control;
    ngx_cometa_bytes_t         output;
    ngx_cometa_bytes_t         rest;        /* what was not parsed yet */

    uint32_t                   heard;       /* ms */
    uint32_t                   app;
    uint16_t                   outstanding; /* calls that have not ended */
    uint16_t                   queued;      /* requests, ended ones too */
    uint16_t                   batched;     /* replies in the output */

    unsigned                   pinged:1;
    unsigned                   closing:1;   /* a close frame was sent */
    unsigned                   failing:1;   /* and no answer is waited for */
    unsigned                   closed:1;    /* the peer's has come */
    unsigned                   soon:1;      /* held for this turn only */
    unsigned                   busy:1;      /* its handler is on the stack */
    unsigned                   dead:1;      /* to be freed by that */

    u_char                     addr[sizeof(struct sockaddr_in6)]
                                   __attribute__((aligned(4)));
};


/* In ngx_cometa_ws_io.c */

ngx_int_t ngx_cometa_ws_io_start(ngx_cycle_t *cycle);
void ngx_cometa_ws_read_handler(ngx_event_t *rev);

/* A turn: reads on behind these bytes, which came with the handshake. */
void ngx_cometa_ws_read(ngx_cometa_ws_t *s, u_char *data, size_t len);


/* In ngx_cometa_ws_output.c */

void ngx_cometa_ws_output_start(ngx_cycle_t *cycle);
void ngx_cometa_ws_write_handler(ngx_event_t *wev);

/* Writes what it can. NGX_AGAIN: the socket has not taken all of it. */
ngx_int_t ngx_cometa_ws_write(ngx_cometa_ws_t *s);

/*
 * Sees to it that the output is written: with all that comes to it in this
 * turn of the event loop, or with the replies that are outstanding. Or now.
 */
void ngx_cometa_ws_settle(ngx_cometa_ws_t *s);
void ngx_cometa_ws_flush(ngx_cometa_ws_t *s);

/*
 * Adds a frame to the output. NGX_ERROR: the peer does not read, or there is
 * no memory; the socket is closing or gone, and its requests are.
 */
ngx_int_t ngx_cometa_ws_put(ngx_cometa_ws_t *s, ngx_uint_t type,
    u_char *data, size_t len);

ngx_int_t ngx_cometa_bytes_add(ngx_cometa_bytes_t *b, u_char *data,
    size_t len);
void ngx_cometa_bytes_free(ngx_cometa_bytes_t *b);


/* In ngx_cometa_ws_call.c */

/* Begins the call of a message, which is copied. */
void ngx_cometa_ws_call(ngx_cometa_ws_t *s, u_char *data, size_t len);

void ngx_cometa_ws_drop_requests(ngx_cometa_ws_t *s);


/* In ngx_cometa_ws.c */

/* Closes the connection, now or when the handler of the socket returns. */
void ngx_cometa_ws_end(ngx_cometa_ws_t *s);

/* Our side of the close handshake. */
void ngx_cometa_ws_close(ngx_cometa_ws_t *s, ngx_uint_t code);

void ngx_cometa_ws_hear(ngx_cometa_ws_t *s);
void ngx_cometa_ws_log(ngx_cometa_ws_t *s);


#endif /* _NGX_COMETA_WS_IO_H_INCLUDED_ */
