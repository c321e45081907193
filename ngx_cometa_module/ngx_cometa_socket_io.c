
/*
 * The frames of a WebSocket, to and from its connection.
 *
 * Frames that arrive together are handled together, and what they lead to is
 * written together when they are done. A reply is written at once, unless
 * more calls of the socket are outstanding: then it waits for the replies to
 * half of them, for a few milliseconds at most.
 */

#include "ngx_cometa_socket_io.h"
#include "ngx_cometa_drain.h"


#define NGX_COMETA_SOCKET_READ     65536
#define NGX_COMETA_SOCKET_READS    16       /* in one go */
#define NGX_COMETA_SOCKET_BATCH    16384    /* bytes that wait for no more */
#define NGX_COMETA_SOCKET_HOLD     3        /* ms */


static void ngx_cometa_socket_malformed(ngx_cometa_socket_t *s, int rc);
static void ngx_cometa_socket_frame(ngx_cometa_socket_t *s, u_char *data, size_t
    len);
static void ngx_cometa_socket_shut(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_hold(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_held_handler(ngx_event_t *ev);


static ngx_queue_t   ngx_cometa_held;
static ngx_event_t   ngx_cometa_held_event;

static u_char       *ngx_cometa_socket_buffer;


ngx_int_t
ngx_cometa_socket_io_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_held);

    ngx_cometa_held_event.handler = ngx_cometa_socket_held_handler;
    ngx_cometa_held_event.log = cycle->log;
    ngx_cometa_held_event.data = &ngx_cometa_held_event;

    ngx_cometa_socket_buffer = ngx_palloc(cycle->pool,
                                          NGX_COMETA_SOCKET_READ);

    return ngx_cometa_socket_buffer ? NGX_OK : NGX_ERROR;
}


void
ngx_cometa_socket_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cometa_socket_t  *s;

    c = rev->data;
    s = c->data;

    ngx_cometa_socket_log(s);

    if (c->close) {
        /* worker_shutdown_timeout: it goes when its turn comes */
        c->close = 0;
        c->error = 0;
        ngx_cometa_drain_overdue();
        return;
    }

    ngx_cometa_socket_read(s);
}


void
ngx_cometa_socket_read(ngx_cometa_socket_t *s)
{
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = s->connection;
    s->busy = 1;

    for (i = 0; i < NGX_COMETA_SOCKET_READS && !s->dead; i++) {

        n = c->recv(c, ngx_cometa_socket_buffer, NGX_COMETA_SOCKET_READ);

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            c->error = (n == NGX_ERROR);
            s->dead = 1;
            break;
        }

        ngx_cometa_socket_parse(s, ngx_cometa_socket_buffer, n);

        if (!c->read->ready) {
            break;
        }
    }

    s->busy = 0;

    if (!s->dead && ngx_handle_read_event(c->read, 0) != NGX_OK) {
        s->dead = 1;
    }

    if (s->dead) {

        if (s->output.len && !c->error) {
            /* what may still be said, the close frame last */
            (void) c->send(c, s->output.data + s->output.pos,
                           s->output.len - s->output.pos);
        }

        ngx_cometa_socket_end(s);
        return;
    }

    if (c->read->ready && i == NGX_COMETA_SOCKET_READS) {
        ngx_post_event(c->read, &ngx_posted_next_events);
    }

    ngx_cometa_socket_settle(s);
}


void
ngx_cometa_socket_parse(ngx_cometa_socket_t *s, u_char *data, size_t len)
{
    int                  rc;
    size_t               n;
    u_char              *p, *end, *piece;
    ngx_cometa_bytes_t  *b;

    p = data;
    end = data + len;

    ngx_cometa_socket_hear(s);

    while (!s->dead) {

        rc = cometa_ws_parse(&s->ws, &p, end, s->conf->max_message, &piece,
                             &n);

        if (rc == COMETA_WS_AGAIN) {
            return;
        }

        if (rc < 0) {
            ngx_cometa_socket_malformed(s, rc);
            return;
        }

        b = (s->ws.type & 0x8) ? &s->control : &s->message;

        if (rc == COMETA_WS_DONE && b->len == 0) {
            ngx_cometa_socket_frame(s, piece, n);
            continue;
        }

        if (ngx_cometa_bytes_add(b, piece, n) != NGX_OK) {
            s->dead = 1;
            return;
        }

        if (rc == COMETA_WS_DONE) {
            ngx_cometa_socket_frame(s, b->data, b->len);
            ngx_cometa_bytes_free(b);
        }
    }
}


/* The rest of what it sends is malformed, too, and not worth a word. */

static void
ngx_cometa_socket_malformed(ngx_cometa_socket_t *s, int rc)
{
    if (s->closing) {
        return;
    }

    ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                  "malformed frame on a websocket: %s", cometa_ws_error(rc));

    s->failing = 1;
    ngx_cometa_socket_close(s, cometa_ws_error_code(rc));
}


static void
ngx_cometa_socket_frame(ngx_cometa_socket_t *s, u_char *data, size_t len)
{
    if (s->ws.type == COMETA_WS_CLOSE) {

        /* the answer to ours, or one to be answered; then we close first */

        ngx_cometa_socket_close(s, s->ws.code ? s->ws.code
                                              : NGX_COMETA_CLOSE_NORMAL);
        s->dead = 1;
        return;
    }

    if (s->closing) {
        return;
    }

    switch (s->ws.type) {

    case COMETA_WS_PING:
        (void) ngx_cometa_socket_put(s, COMETA_WS_PONG, data, len);
        return;

    case COMETA_WS_PONG:
        return;

    default: /* COMETA_WS_TEXT, COMETA_WS_BINARY */
        ngx_cometa_socket_call(s, data, len);
    }
}


/* Writes now what nothing can be gained for by waiting. */

void
ngx_cometa_socket_settle(ngx_cometa_socket_t *s)
{
    if (s->output.len == 0 || s->connection == NULL) {
        return;
    }

    if (s->outstanding > s->batched && !s->closing
        && s->output.len - s->output.pos < NGX_COMETA_SOCKET_BATCH)
    {
        ngx_cometa_socket_hold(s);
        return;
    }

    ngx_cometa_socket_flush(s);
}


/*
 * Adds a frame to the output. NGX_ERROR: the peer does not read, or there is
 * no memory; the socket is closing or gone, and its requests are.
 */

ngx_int_t
ngx_cometa_socket_put(ngx_cometa_socket_t *s, ngx_uint_t type, u_char *data,
    size_t len)
{
    size_t  n;
    u_char  head[COMETA_WS_HEAD_MAX];

    if (s->closing) {
        return NGX_ERROR;
    }

    if (s->busy && s->output.len - s->output.pos + len > s->conf->max_output) {

        /* it was not tried yet */

        ngx_cometa_socket_flush(s);

        if (s->dead) {
            return NGX_ERROR;
        }
    }

    if (s->output.len - s->output.pos + len > s->conf->max_output) {
        ngx_cometa_stats_add(s->app, websockets_slow, 1);

        if (s->connection) {
            ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                          "websocket is not read, %uD bytes wait",
                          s->output.len - s->output.pos);
            s->failing = 1;
            ngx_cometa_socket_close(s, NGX_COMETA_CLOSE_AGAIN);
        }

        return NGX_ERROR;
    }

    n = cometa_ws_head(head, type, len);

    if (ngx_cometa_bytes_add(&s->output, head, n) != NGX_OK
        || ngx_cometa_bytes_add(&s->output, data, len) != NGX_OK)
    {
        ngx_cometa_socket_end(s);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_cometa_socket_flush(ngx_cometa_socket_t *s)
{
    ssize_t              n;
    ngx_connection_t    *c;
    ngx_cometa_bytes_t  *out;

    c = s->connection;
    out = &s->output;

    if (c == NULL) {
        return;
    }

    s->batched = 0;

    if (s->held.next) {
        ngx_queue_remove(&s->held);
        s->held.next = NULL;
    }

    while (out->pos < out->len) {

        n = c->send(c, out->data + out->pos, out->len - out->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(c->write, 0) == NGX_OK) {
                return;
            }

            n = NGX_ERROR;
        }

        if (n == NGX_ERROR) {
            c->error = 1;
            ngx_cometa_socket_end(s);
            return;
        }

        out->pos += n;
    }

    ngx_cometa_bytes_free(out);

    if (s->failing) {
        ngx_cometa_socket_shut(s);
        return;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        c->error = 1;
        ngx_cometa_socket_end(s);
    }
}


/*
 * The close frame has left, and the peer has broken the protocol or does not
 * read: the connection ends here. What it still sends is read for a while,
 * lest a reset overtakes the close frame.
 */

static void
ngx_cometa_socket_shut(ngx_cometa_socket_t *s)
{
    ngx_connection_t  *c;

    c = s->connection;

#if (NGX_SSL)
    if (c->ssl) {
        /* nothing can be written any more, no alert either */
        c->ssl->no_send_shutdown = 1;
        c->ssl->no_wait_shutdown = 1;
    }
#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        c->error = 1;
        ngx_cometa_socket_end(s);
    }
}


void
ngx_cometa_socket_write_handler(ngx_event_t *wev)
{
    ngx_connection_t     *c;
    ngx_cometa_socket_t  *s;

    c = wev->data;
    s = c->data;

    ngx_cometa_socket_log(s);

    if (s->output.len && s->held.next == NULL) {
        ngx_cometa_socket_flush(s);
        return;
    }

    (void) ngx_handle_write_event(wev, 0);
}


static void
ngx_cometa_socket_hold(ngx_cometa_socket_t *s)
{
    if (s->held.next) {
        return;
    }

    ngx_queue_insert_tail(&ngx_cometa_held, &s->held);

    if (!ngx_cometa_held_event.timer_set) {
        ngx_add_timer(&ngx_cometa_held_event, NGX_COMETA_SOCKET_HOLD);
    }
}


static void
ngx_cometa_socket_held_handler(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_cometa_socket_t  *s;

    while (!ngx_queue_empty(&ngx_cometa_held)) {
        q = ngx_queue_head(&ngx_cometa_held);
        s = ngx_queue_data(q, ngx_cometa_socket_t, held);

        ngx_cometa_socket_log(s);
        ngx_cometa_socket_flush(s);
    }
}


ngx_int_t
ngx_cometa_bytes_add(ngx_cometa_bytes_t *b, u_char *data, size_t len)
{
    size_t   size;
    u_char  *p;

    /* what is behind us makes room, once it is as much as what is left */

    if (b->len + len > b->size && b->pos && b->pos >= b->len - b->pos) {
        b->len -= b->pos;
        ngx_memmove(b->data, b->data + b->pos, b->len);
        b->pos = 0;
    }

    if (b->len + len > b->size) {
        size = ngx_max(b->len + len, ngx_max(2 * b->size, 256));

        p = ngx_alloc(size, ngx_cycle->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (b->data) {
            ngx_memcpy(p, b->data, b->len);
            ngx_free(b->data);
        }

        b->data = p;
        b->size = size;
    }

    if (len) {
        ngx_memcpy(b->data + b->len, data, len);
        b->len += len;
    }

    return NGX_OK;
}


void
ngx_cometa_bytes_free(ngx_cometa_bytes_t *b)
{
    if (b->data) {
        ngx_free(b->data);
    }

    ngx_memzero(b, sizeof(ngx_cometa_bytes_t));
}
