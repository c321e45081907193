
/*
 * What a WebSocket hears: its connection is read in turns, and each message is
 * a call.
 */

#include "ngx_cometa_ws_read.h"
#include "ngx_cometa_reader.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_call.h"
#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_ws_json.h"
#include "cometa_ws.h"


static void ngx_cometa_ws_read_handler(ngx_event_t *rev);
static void ngx_cometa_ws_read(ngx_cometa_ws_t *s, u_char *data, size_t len);
static size_t ngx_cometa_ws_portion(ngx_connection_t *c);
static ngx_int_t ngx_cometa_ws_take(ngx_connection_t *c, u_char *data,
    size_t len);
static void ngx_cometa_ws_parse(ngx_cometa_ws_t *s, ngx_str_t *in);
static void ngx_cometa_ws_malformed(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_frame(ngx_cometa_ws_t *s, ngx_str_t *frame);


static const ngx_cometa_reader_t  ngx_cometa_ws_reader = {
    ngx_cometa_ws_portion,
    ngx_cometa_ws_take
};


void
ngx_cometa_ws_open(ngx_cometa_ws_t *s, ngx_connection_t *c, u_char *data,
    size_t len)
{
    ngx_cometa_ws_connect(s, c, ngx_cometa_ws_read_handler);

    s->busy = 1;

    if (s->io.output) {
        ngx_cometa_ws_flush(s);
    }

    ngx_cometa_ws_read(s, data, len);
}


void
ngx_cometa_ws_read_on(ngx_cometa_ws_t *s)
{
    ngx_event_t  *rev;

    s->moving = 0;

    rev = s->io.connection->read;
    rev->handler = ngx_cometa_ws_read_handler;
    rev->ready = 1;

    if (!rev->posted) {
        ngx_cometa_turn_again(rev);
    }
}


static void
ngx_cometa_ws_read_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c;
    ngx_cometa_ws_t   *s;

    c = rev->data;
    s = c->data;

    ngx_cometa_ws_log(s);

    if (ngx_cometa_reader_due(c) && !s->moving) {
        ngx_cometa_ws_read(s, NULL, 0);
    }
}


/* A turn: reads on behind these bytes, which came with the handshake. */

static void
ngx_cometa_ws_read(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = s->io.connection;

    s->busy = 1;
    rc = ngx_cometa_reader_turn(c, &ngx_cometa_ws_reader, data, len);
    s->busy = 0;

    if (rc == NGX_ERROR || (s->closed && s->io.output == NULL)) {
        s->dead = 1;
    }

    if (s->dead) {

        if (s->io.output && !c->error) {
            /* what may still be said */
            (void) ngx_cometa_ws_io_write(&s->io);
        }

        ngx_cometa_ws_end(s);
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_cometa_turn_again(c->read);
    }

    ngx_cometa_ws_settle(s);
}


static size_t
ngx_cometa_ws_portion(ngx_connection_t *c)
{
    ngx_cometa_ws_t  *s;

    s = c->data;

    return ngx_cometa_ws_io_portion(&s->io);
}


static ngx_int_t
ngx_cometa_ws_take(ngx_connection_t *c, u_char *data, size_t len)
{
    ngx_str_t         in;
    ngx_cometa_ws_t  *s;

    s = c->data;

    in.data = data;
    in.len = len;

    if (len == 0 && ngx_cometa_ws_io_rest(&s->io, &in) != NGX_OK) {
        return NGX_OK;
    }

    ngx_cometa_ws_parse(s, &in);

    if (s->dead) {
        return NGX_ERROR;
    }

    return s->io.rest ? NGX_AGAIN : NGX_OK;
}


static void
ngx_cometa_ws_parse(ngx_cometa_ws_t *s, ngx_str_t *in)
{
    uint32_t   most;
    ngx_int_t  rc;
    ngx_str_t  frame;

    ngx_cometa_ws_hear(s);

    most = s->json ? ngx_cometa_ws_json_most(s->conf->max_message)
                   : s->conf->max_message;

    /* behind the peer's close frame there is nothing that counts */

    while (!s->dead && !s->closed) {

        rc = ngx_cometa_ws_io_parse(&s->io, in, most, &frame);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc == NGX_ERROR) {
            s->dead = 1;
            break;
        }

        if (rc == NGX_DECLINED) {
            ngx_cometa_ws_malformed(s);
            break;
        }

        ngx_cometa_ws_frame(s, &frame);
        ngx_cometa_ws_io_done(&s->io);
    }

    ngx_cometa_ws_io_discard(&s->io, in);
}


/* The rest of what it sends is malformed, too: only the first is logged. */

static void
ngx_cometa_ws_malformed(ngx_cometa_ws_t *s)
{
    int  error;

    if (s->closing) {
        return;
    }

    error = s->io.codec.error;

    ngx_log_error(NGX_LOG_INFO, s->io.connection->log, 0,
                  "malformed frame on a websocket: %s",
                  cometa_ws_error(error));

    s->failing = 1;
    ngx_cometa_ws_close(s, cometa_ws_error_code(error));
}


static void
ngx_cometa_ws_frame(ngx_cometa_ws_t *s, ngx_str_t *frame)
{
    cometa_ws_t  *codec;

    codec = &s->io.codec;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws frame, type:%d len:%uz", codec->type,
                   frame->len);

    if (codec->type == COMETA_WS_CLOSE) {

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                       "cometa ws close received, code:%d", codec->code);

        /*
         * The answer to ours, or one to be answered. Then we close first,
         * when all has been written or after a while.
         */

        ngx_cometa_ws_close(s, codec->code ? codec->code
                                           : NGX_COMETA_CLOSE_NORMAL);
        s->closed = 1;
        return;
    }

    if (s->closing) {
        return;
    }

    switch (codec->type) {

    case COMETA_WS_PING:
        (void) ngx_cometa_ws_put(s, COMETA_WS_PONG, frame->data, frame->len);
        return;

    case COMETA_WS_PONG:
        return;

    default: /* COMETA_WS_TEXT, COMETA_WS_BINARY */

        if (s->json) {
            ngx_cometa_ws_json(s, frame->data, frame->len);
            return;
        }

        ngx_cometa_ws_call(s, frame->data, frame->len);
    }
}
