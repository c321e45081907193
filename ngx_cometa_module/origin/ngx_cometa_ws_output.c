
/*
 * What is said on a WebSocket: frames that wait, and the writing of them.
 *
 * What one turn of the event loop has for a socket is written together at its
 * end. A reply waits longer if more calls of the socket are outstanding: for
 * the replies to half of them, for a few milliseconds at most.
 */

#include "ngx_cometa_compat.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_stats.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_FLUSHES  128      /* in one turn */
#define NGX_COMETA_WS_BATCH    16384    /* bytes that wait for no more */
#define NGX_COMETA_WS_HOLD     3        /* ms */


static ngx_int_t ngx_cometa_ws_room(ngx_cometa_ws_t *s, size_t len);
static void ngx_cometa_ws_shut(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_hold(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_soon(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_unhold(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_held_handler(ngx_event_t *ev);
static void ngx_cometa_ws_soon_handler(ngx_event_t *ev);


static ngx_queue_t   ngx_cometa_held;           /* for some milliseconds */
static ngx_event_t   ngx_cometa_held_event;

static ngx_queue_t   ngx_cometa_soon;           /* for this turn */
static ngx_event_t   ngx_cometa_soon_event;


void
ngx_cometa_ws_output_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_held);

    ngx_cometa_held_event.handler = ngx_cometa_ws_held_handler;
    ngx_cometa_held_event.log = cycle->log;
    ngx_cometa_held_event.data = &ngx_cometa_held_event;

    ngx_queue_init(&ngx_cometa_soon);

    ngx_cometa_soon_event.handler = ngx_cometa_ws_soon_handler;
    ngx_cometa_soon_event.log = cycle->log;
    ngx_cometa_soon_event.data = &ngx_cometa_soon_event;
}


void
ngx_cometa_ws_settle(ngx_cometa_ws_t *s)
{
    size_t  waiting;

    waiting = s->output.len - s->output.pos;

    if (waiting == 0 || s->connection == NULL) {
        return;
    }

    if (waiting >= NGX_COMETA_WS_BATCH) {

        /* otherwise the socket has to take what it was given before */

        if (s->connection->write->ready) {
            ngx_cometa_ws_flush(s);
        }

        return;
    }

    if (s->outstanding > s->batched && !s->closing) {
        ngx_cometa_ws_hold(s);
        return;
    }

    ngx_cometa_ws_soon(s);
}


/*
 * Adds a frame to the output. NGX_ERROR: the peer does not read, or there is
 * no memory; the socket is closing or gone, and its requests are.
 */

ngx_int_t
ngx_cometa_ws_put(ngx_cometa_ws_t *s, ngx_uint_t type, u_char *data,
    size_t len)
{
    size_t  n, before;
    u_char  head[COMETA_WS_HEAD_MAX];

    if (s->closing) {
        return NGX_ERROR;
    }

    if (s->output.len - s->output.pos + len > s->conf->max_output
        && ngx_cometa_ws_room(s, len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_cometa_work += NGX_COMETA_WORK_FRAME + ngx_cometa_work_bytes(len);

    n = cometa_ws_head(head, type, len);
    before = s->output.len - s->output.pos;

    if (ngx_cometa_bytes_add(&s->output, head, n) != NGX_OK
        || ngx_cometa_bytes_add(&s->output, data, len) != NGX_OK)
    {
        /* not open yet: it goes without this frame, but without half of it */

        s->output.len = s->output.pos + before;

        if (s->connection) {
            ngx_cometa_ws_end(s);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Too much waits to be read by the peer, if it was not just kept here. */

static ngx_int_t
ngx_cometa_ws_room(ngx_cometa_ws_t *s, size_t len)
{
    ngx_uint_t  busy;

    if (s->busy || s->soon) {
        busy = s->busy;
        s->busy = 1;

        ngx_cometa_ws_flush(s);

        s->busy = busy;

        if (s->dead) {

            if (!busy) {
                ngx_cometa_ws_end(s);
            }

            return NGX_ERROR;
        }

        if (s->output.len - s->output.pos + len <= s->conf->max_output) {
            return NGX_OK;
        }
    }

    ngx_cometa_stats_add(s->app, websockets_slow, 1);

    if (s->connection) {
        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "websocket is not read, %uD bytes wait",
                      s->output.len - s->output.pos);
        s->failing = 1;
        ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AGAIN);
    }

    return NGX_ERROR;
}


void
ngx_cometa_ws_flush(ngx_cometa_ws_t *s)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = s->connection;

    if (c == NULL) {
        return;
    }

    ngx_cometa_ws_unhold(s);

    rc = ngx_cometa_ws_write(s);

    if (rc == NGX_OK && s->closed) {
        ngx_cometa_ws_end(s);
        return;
    }

    if (rc == NGX_OK && s->failing) {
        ngx_cometa_ws_shut(s);
        return;
    }

    if (rc == NGX_ERROR || ngx_handle_write_event(c->write, 0) != NGX_OK) {
        c->error = 1;
        ngx_cometa_ws_end(s);
    }
}


ngx_int_t
ngx_cometa_ws_write(ngx_cometa_ws_t *s)
{
    ssize_t              n;
    ngx_cometa_bytes_t  *out;

    out = &s->output;

    while (out->pos < out->len) {

        n = ngx_cometa_connection_send(s->connection, out->data + out->pos,
                                       out->len - out->pos);
        if (n < 0) {
            return n;
        }

        out->pos += n;
        ngx_cometa_work += NGX_COMETA_WORK_WRITE + ngx_cometa_work_bytes(n);
    }

    ngx_cometa_bytes_free(out);

    return NGX_OK;
}


/*
 * The close frame has left, and the peer has broken the protocol or does not
 * read: the connection ends here. What it still sends is read for a while,
 * lest a reset overtakes the close frame.
 */

static void
ngx_cometa_ws_shut(ngx_cometa_ws_t *s)
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
        ngx_cometa_ws_end(s);
    }
}


void
ngx_cometa_ws_write_handler(ngx_event_t *wev)
{
    ngx_connection_t     *c;
    ngx_cometa_ws_t  *s;

    c = wev->data;
    s = c->data;

    ngx_cometa_ws_log(s);

    if (s->output.len && s->held.next == NULL) {
        ngx_cometa_ws_flush(s);
        return;
    }

    (void) ngx_handle_write_event(wev, 0);
}


static void
ngx_cometa_ws_hold(ngx_cometa_ws_t *s)
{
    if (s->held.next) {
        return;
    }

    ngx_queue_insert_tail(&ngx_cometa_held, &s->held);

    if (!ngx_cometa_held_event.timer_set) {
        ngx_add_timer(&ngx_cometa_held_event, NGX_COMETA_WS_HOLD);
    }
}


/* When all other events of this turn of the event loop have been handled. */

static void
ngx_cometa_ws_soon(ngx_cometa_ws_t *s)
{
    if (s->soon) {
        return;
    }

    ngx_cometa_ws_unhold(s);

    s->soon = 1;
    ngx_queue_insert_tail(&ngx_cometa_soon, &s->held);

    ngx_post_event(&ngx_cometa_soon_event, &ngx_posted_events);
}


static void
ngx_cometa_ws_unhold(ngx_cometa_ws_t *s)
{
    s->batched = 0;
    s->soon = 0;

    if (s->held.next) {
        ngx_queue_remove(&s->held);
        s->held.next = NULL;
    }
}


static void
ngx_cometa_ws_held_handler(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_cometa_ws_t  *s;

    while (!ngx_queue_empty(&ngx_cometa_held)) {
        q = ngx_queue_head(&ngx_cometa_held);
        s = ngx_queue_data(q, ngx_cometa_ws_t, held);

        ngx_cometa_ws_soon(s);
    }
}


static void
ngx_cometa_ws_soon_handler(ngx_event_t *ev)
{
    ngx_uint_t            n;
    ngx_queue_t          *q;
    ngx_cometa_ws_t  *s;

    for (n = 0; n < NGX_COMETA_WS_FLUSHES; n++) {

        if (ngx_queue_empty(&ngx_cometa_soon)) {
            return;
        }

        q = ngx_queue_head(&ngx_cometa_soon);
        s = ngx_queue_data(q, ngx_cometa_ws_t, held);

        ngx_cometa_ws_log(s);
        ngx_cometa_ws_flush(s);
    }

    if (!ngx_queue_empty(&ngx_cometa_soon)) {
        ngx_post_event(ev, &ngx_posted_next_events);
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
