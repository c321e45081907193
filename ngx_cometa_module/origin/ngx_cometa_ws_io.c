
/*
 * What a WebSocket hears: the frames from its connection.
 */

#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_turn.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_READ     65536
#define NGX_COMETA_WS_PORTION  4096     /* beyond a frame that is begun */


static size_t ngx_cometa_ws_portion(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_resume(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_parse(ngx_cometa_ws_t *s, u_char *data,
    size_t len);
static void ngx_cometa_ws_malformed(ngx_cometa_ws_t *s, int rc);
static void ngx_cometa_ws_frame(ngx_cometa_ws_t *s, u_char *data, size_t
    len);


static u_char       *ngx_cometa_ws_buffer;


ngx_int_t
ngx_cometa_ws_io_start(ngx_cycle_t *cycle)
{
    ngx_cometa_ws_buffer = ngx_palloc(cycle->pool,
                                          NGX_COMETA_WS_READ);

    return ngx_cometa_ws_buffer ? NGX_OK : NGX_ERROR;
}


void
ngx_cometa_ws_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cometa_ws_t  *s;

    c = rev->data;
    s = c->data;

    ngx_cometa_ws_log(s);

    if (c->close) {
        /* worker_shutdown_timeout: it goes when its turn comes */
        c->close = 0;
        c->error = 0;
        ngx_cometa_drain_overdue();
        return;
    }

    if (rev->posted) {
        /* it stands in line for its next turn */
        return;
    }

    ngx_cometa_ws_read(s, NULL, 0);
}


void
ngx_cometa_ws_read(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    ssize_t            n;
    ngx_uint_t         more;
    ngx_connection_t  *c;

    c = s->connection;
    s->busy = 1;
    more = 1;

    ngx_cometa_turn_begin();

    if (len) {
        ngx_cometa_ws_parse(s, data, len);

    } else {
        ngx_cometa_ws_resume(s);
    }

    while (more && !s->dead && !ngx_cometa_turn_over()) {

        n = ngx_cometa_connection_recv(c, ngx_cometa_ws_buffer,
                                       ngx_cometa_ws_portion(s));
        if (n == NGX_AGAIN) {
            more = 0;
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            c->error = (n == NGX_ERROR);
            s->dead = 1;
            break;
        }

        ngx_cometa_ws_parse(s, ngx_cometa_ws_buffer, n);
        ngx_cometa_work += ngx_cometa_work_bytes(n);

        more = (c->read->ready || s->rest.len);
    }

    s->busy = 0;

    if (!s->dead && ngx_handle_read_event(c->read, 0) != NGX_OK) {
        s->dead = 1;
    }

    if (s->closed && s->output.len == 0) {
        s->dead = 1;
    }

    if (s->dead) {

        if (s->output.len && !c->error) {
            /* what may still be said */
            (void) ngx_cometa_ws_write(s);
        }

        ngx_cometa_ws_end(s);
        return;
    }

    if (more) {
        ngx_cometa_turn_again(c->read);
    }

    ngx_cometa_ws_settle(s);
}


/*
 * What is read and not parsed when the turn is over has to be kept, so it is
 * not much: but a large frame is read in one piece.
 */

static size_t
ngx_cometa_ws_portion(ngx_cometa_ws_t *s)
{
    return ngx_min(s->ws.rest + NGX_COMETA_WS_PORTION,
                   NGX_COMETA_WS_READ);
}


/* What an earlier turn has left. */

static void
ngx_cometa_ws_resume(ngx_cometa_ws_t *s)
{
    ngx_cometa_bytes_t  rest;

    if (s->rest.len == 0) {
        return;
    }

    rest = s->rest;
    ngx_memzero(&s->rest, sizeof(ngx_cometa_bytes_t));

    ngx_cometa_ws_parse(s, rest.data, rest.len);

    ngx_cometa_bytes_free(&rest);
}


static void
ngx_cometa_ws_parse(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    int                  rc;
    size_t               n;
    u_char              *p, *end, *piece;
    ngx_cometa_bytes_t  *b;

    p = data;
    end = data + len;

    ngx_cometa_ws_hear(s);

    /* behind the peer's close frame there is nothing that counts */

    while (!s->dead && !s->closed) {

        if (p < end && ngx_cometa_turn_over()) {
            s->dead = (ngx_cometa_bytes_add(&s->rest, p, end - p) != NGX_OK);
            return;
        }

        rc = cometa_ws_parse(&s->ws, &p, end, s->conf->max_message, &piece,
                             &n);

        if (rc == COMETA_WS_AGAIN) {
            return;
        }

        if (rc < 0) {
            ngx_cometa_ws_malformed(s, rc);
            return;
        }

        ngx_cometa_work += NGX_COMETA_WORK_MESSAGE;

        b = (s->ws.type & 0x8) ? &s->control : &s->message;

        if (rc == COMETA_WS_DONE && b->len == 0) {
            ngx_cometa_ws_frame(s, piece, n);
            continue;
        }

        if (ngx_cometa_bytes_add(b, piece, n) != NGX_OK) {
            s->dead = 1;
            return;
        }

        if (rc == COMETA_WS_DONE) {
            ngx_cometa_ws_frame(s, b->data, b->len);
            ngx_cometa_bytes_free(b);
        }
    }
}


/* The rest of what it sends is malformed, too, and not worth a word. */

static void
ngx_cometa_ws_malformed(ngx_cometa_ws_t *s, int rc)
{
    if (s->closing) {
        return;
    }

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "malformed frame on a websocket: %s", cometa_ws_error(rc));

    s->failing = 1;
    ngx_cometa_ws_close(s, cometa_ws_error_code(rc));
}


static void
ngx_cometa_ws_frame(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    if (s->ws.type == COMETA_WS_CLOSE) {

        /*
         * The answer to ours, or one to be answered. Then we close first,
         * when all has been written or after a while.
         */

        ngx_cometa_ws_close(s, s->ws.code ? s->ws.code
                                              : NGX_COMETA_CLOSE_NORMAL);
        s->closed = 1;
        return;
    }

    if (s->closing) {
        return;
    }

    switch (s->ws.type) {

    case COMETA_WS_PING:
        (void) ngx_cometa_ws_put(s, COMETA_WS_PONG, data, len);
        return;

    case COMETA_WS_PONG:
        return;

    default: /* COMETA_WS_TEXT, COMETA_WS_BINARY */
        ngx_cometa_ws_call(s, data, len);
    }
}
