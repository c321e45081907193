
/*
 * The bytes of a WebSocket: receiving and parsing, framing and writing.
 */

#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_turn.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_PORTION  4096     /* beyond a frame that is begun */


static ngx_int_t ngx_cometa_ws_io_put_off(ngx_cometa_ws_io_t *io,
    ngx_str_t *in);
static ngx_cometa_bytes_t **ngx_cometa_ws_io_pieces(ngx_cometa_ws_io_t *io);


void
ngx_cometa_ws_io_init(ngx_cometa_ws_io_t *io)
{
    ngx_memzero(io, sizeof(ngx_cometa_ws_io_t));
    cometa_ws_init(&io->codec);
}


void
ngx_cometa_ws_io_free(ngx_cometa_ws_io_t *io)
{
    ngx_cometa_bytes_free(&io->message);
    ngx_cometa_bytes_free(&io->control);
    ngx_cometa_bytes_free(&io->rest);
    ngx_cometa_bytes_free(&io->output);
}


/*
 * What is received and not parsed when the turn is over has to be kept, so it
 * is not much: but a large frame is received in one piece.
 */

size_t
ngx_cometa_ws_io_portion(ngx_cometa_ws_io_t *io)
{
    return io->codec.rest + NGX_COMETA_WS_PORTION;
}


ngx_int_t
ngx_cometa_ws_io_rest(ngx_cometa_ws_io_t *io, ngx_str_t *in)
{
    if (io->rest == NULL) {
        return NGX_DECLINED;
    }

    in->data = io->rest->data + io->rest->pos;
    in->len = ngx_cometa_bytes_left(io->rest);

    return NGX_OK;
}


ngx_int_t
ngx_cometa_ws_io_parse(ngx_cometa_ws_io_t *io, ngx_str_t *in,
    uint32_t max_message, ngx_str_t *frame)
{
    int                   rc;
    size_t                n;
    u_char               *p, *end, *piece;
    ngx_cometa_bytes_t  **pieces;

    end = in->data + in->len;

    for ( ;; ) {

        if (in->len && ngx_cometa_turn_over()) {
            return ngx_cometa_ws_io_put_off(io, in);
        }

        p = in->data;

        rc = cometa_ws_parse(&io->codec, &p, end, max_message, &piece, &n);

        in->data = p;
        in->len = end - p;

        if (rc == COMETA_WS_AGAIN) {
            ngx_cometa_bytes_free(&io->rest);
            return NGX_AGAIN;
        }

        if (rc < 0) {
            return NGX_DECLINED;
        }

        ngx_cometa_work += NGX_COMETA_WORK_MESSAGE;

        pieces = ngx_cometa_ws_io_pieces(io);

        if (rc == COMETA_WS_DONE && *pieces == NULL) {
            frame->data = piece;
            frame->len = n;
            return NGX_OK;
        }

        if (ngx_cometa_bytes_add(pieces, piece, n) != NGX_OK) {
            return NGX_ERROR;
        }

        if (rc == COMETA_WS_DONE) {
            frame->data = (*pieces)->data;
            frame->len = (*pieces)->len;
            return NGX_OK;
        }
    }
}


/* Bytes that were put off already are not copied once more. */

static ngx_int_t
ngx_cometa_ws_io_put_off(ngx_cometa_ws_io_t *io, ngx_str_t *in)
{
    if (io->rest) {
        io->rest->pos = io->rest->len - in->len;
        return NGX_AGAIN;
    }

    return ngx_cometa_bytes_add(&io->rest, in->data, in->len) == NGX_OK
           ? NGX_AGAIN : NGX_ERROR;
}


static ngx_cometa_bytes_t **
ngx_cometa_ws_io_pieces(ngx_cometa_ws_io_t *io)
{
    return (io->codec.type & 0x8) ? &io->control : &io->message;
}


void
ngx_cometa_ws_io_done(ngx_cometa_ws_io_t *io)
{
    ngx_cometa_bytes_free(ngx_cometa_ws_io_pieces(io));
}


void
ngx_cometa_ws_io_discard(ngx_cometa_ws_io_t *io, ngx_str_t *in)
{
    ngx_cometa_bytes_free(&io->rest);
    in->len = 0;
}


ngx_int_t
ngx_cometa_ws_io_add(ngx_cometa_ws_io_t *io, ngx_uint_t type, u_char *data,
    size_t len)
{
    size_t  n, before;
    u_char  head[COMETA_WS_HEAD_MAX];

    ngx_cometa_work += NGX_COMETA_WORK_FRAME + ngx_cometa_work_bytes(len);

    n = cometa_ws_head(head, type, len);
    before = ngx_cometa_bytes_left(io->output);

    if (ngx_cometa_bytes_add(&io->output, head, n) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_cometa_bytes_add(&io->output, data, len) != NGX_OK) {
        /* no head without its payload */
        io->output->len = io->output->pos + before;
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cometa_ws_io_add_close(ngx_cometa_ws_io_t *io, ngx_uint_t code)
{
    u_char  frame[COMETA_WS_CLOSE_LEN];

    return ngx_cometa_bytes_add(&io->output, frame,
                                cometa_ws_close(frame, code));
}


ngx_int_t
ngx_cometa_ws_io_write(ngx_cometa_ws_io_t *io)
{
    ssize_t              n;
    ngx_cometa_bytes_t  *out;

    out = io->output;

    while (ngx_cometa_bytes_left(out)) {

        n = ngx_cometa_connection_send(io->connection, out->data + out->pos,
                                       ngx_cometa_bytes_left(out));
        if (n < 0) {
            return n;
        }

        out->pos += n;
        ngx_cometa_work += NGX_COMETA_WORK_WRITE + ngx_cometa_work_bytes(n);
    }

    ngx_cometa_bytes_free(&io->output);

    return NGX_OK;
}


ngx_int_t
ngx_cometa_ws_io_shutdown(ngx_cometa_ws_io_t *io)
{
    ngx_connection_t  *c;

    c = io->connection;

#if (NGX_SSL)
    if (c->ssl) {
        /* nothing can be written any more, no alert either */
        c->ssl->no_send_shutdown = 1;
        c->ssl->no_wait_shutdown = 1;
    }
#endif

    return ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1 ? NGX_ERROR
                                                                : NGX_OK;
}
