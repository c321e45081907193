
/*
 * The WebSocket connection. It belongs to this worker alone.
 *
 * Frames that arrive together are handled together, and what they lead to is
 * written together when they are done. A reply is written at once, unless
 * more calls of the socket are outstanding: then it waits for the replies to
 * half of them, for a few milliseconds at most.
 */

#include "ngx_cometa_socket.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_compat.h"


#define NGX_COMETA_SOCKET_TABLE    4096     /* queues, by hash of the key */
#define NGX_COMETA_SOCKET_READ     65536
#define NGX_COMETA_SOCKET_READS    16       /* in one go */
#define NGX_COMETA_SOCKET_CALLS    1024     /* outstanding on one socket */
#define NGX_COMETA_SOCKET_BATCH    16384    /* bytes that wait for no more */
#define NGX_COMETA_SOCKET_HOLD     3        /* ms */
#define NGX_COMETA_SOCKET_LINGER   5000     /* ms, for the peer's close */
#define NGX_COMETA_SOCKET_EXPIRE   1000     /* looked at in one go */

#define NGX_COMETA_CLOSE_NORMAL    1000
#define NGX_COMETA_CLOSE_AWAY      1001
#define NGX_COMETA_CLOSE_AGAIN     1013


/* A call of a socket; the message follows. */

typedef struct {
    ngx_queue_t                link;        /* in order of the calls */
    ngx_cometa_socket_t       *socket;
    ngx_cometa_call_t         *call;        /* NULL: it has ended */
    u_char                    *reply;       /* kept for its turn */
    uint32_t                   len;         /* of the reply */
    uint8_t                    type;        /* of the message */
    uint8_t                    error;
} ngx_cometa_request_t;


/* Bytes that grow: a message not complete, or output not written. */

typedef struct {
    u_char                    *data;
    uint32_t                   pos;
    uint32_t                   len;
    uint32_t                   size;
} ngx_cometa_bytes_t;


struct ngx_cometa_socket_s {
    ngx_connection_t          *connection;  /* NULL: not open yet */
    ngx_cometa_socket_conf_t  *conf;
    ngx_queue_t                link;        /* in the table */
    ngx_queue_t                life;        /* in a queue of conf */
    ngx_queue_t                held;        /* to be flushed soon */
    ngx_queue_t                requests;
    ngx_cometa_key_t           key;
    cometa_ws_t                ws;

    ngx_cometa_bytes_t         message;
    ngx_cometa_bytes_t         control;
    ngx_cometa_bytes_t         output;

    uint32_t                   heard;       /* ms */
    uint32_t                   app;
    uint16_t                   outstanding; /* calls that have not ended */
    uint16_t                   queued;      /* requests, ended ones too */
    uint16_t                   batched;     /* replies in the output */

    unsigned                   pinged:1;
    unsigned                   closing:1;   /* a close frame was sent */
    unsigned                   failing:1;   /* and no answer is waited for */
    unsigned                   busy:1;      /* its handler is on the stack */
    unsigned                   dead:1;      /* to be freed by that */

    u_char                     addr[sizeof(struct sockaddr_in6)]
                                   __attribute__((aligned(4)));
};


static void ngx_cometa_socket_free(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_end(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_drop_requests(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_close(ngx_cometa_socket_t *s, ngx_uint_t code);
static void ngx_cometa_socket_read_handler(ngx_event_t *rev);
static void ngx_cometa_socket_write_handler(ngx_event_t *wev);
static void ngx_cometa_socket_read(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_parse(ngx_cometa_socket_t *s, u_char *data,
    size_t len);
static void ngx_cometa_socket_frame(ngx_cometa_socket_t *s, u_char *data,
    size_t len);
static void ngx_cometa_socket_call(ngx_cometa_socket_t *s, u_char *data,
    size_t len);
static void ngx_cometa_socket_done(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);
static void ngx_cometa_socket_reply(ngx_cometa_socket_t *s,
    ngx_cometa_request_t *q, u_char *data, size_t len);
static void ngx_cometa_socket_settle(ngx_cometa_socket_t *s);
static ngx_int_t ngx_cometa_socket_put(ngx_cometa_socket_t *s,
    ngx_uint_t type, u_char *data, size_t len);
static void ngx_cometa_socket_flush(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_shut(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_hold(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_held_handler(ngx_event_t *ev);
static void ngx_cometa_socket_hear(ngx_cometa_socket_t *s);
static void ngx_cometa_socket_timer(ngx_event_t *ev);
static void ngx_cometa_socket_arm(ngx_cometa_socket_conf_t *conf,
    ngx_msec_t wait);
static ngx_msec_t ngx_cometa_socket_expire(ngx_cometa_socket_conf_t *conf,
    ngx_queue_t *queue, ngx_msec_t after);
static void ngx_cometa_socket_event(ngx_cometa_mail_t *mail, u_char *body,
    size_t len);
static void ngx_cometa_socket_watch(ngx_cometa_key_t *key);
static ngx_queue_t *ngx_cometa_socket_queue(uint64_t hash);
static ngx_int_t ngx_cometa_bytes_add(ngx_cometa_bytes_t *b, u_char *data,
    size_t len);
static void ngx_cometa_bytes_free(ngx_cometa_bytes_t *b);
static void ngx_cometa_socket_log(ngx_cometa_socket_t *s);
static u_char *ngx_cometa_socket_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


static ngx_queue_t   ngx_cometa_sockets[NGX_COMETA_SOCKET_TABLE];
static ngx_uint_t    ngx_cometa_sockets_n;

static ngx_queue_t   ngx_cometa_held;
static ngx_event_t   ngx_cometa_held_event;

static u_char       *ngx_cometa_socket_buffer;


void
ngx_cometa_socket_conf_init(ngx_cometa_socket_conf_t *conf, ngx_log_t *log)
{
    ngx_queue_init(&conf->life);
    ngx_queue_init(&conf->pinged);
    ngx_queue_init(&conf->closing);

    conf->error_log = log;

    conf->timer.handler = ngx_cometa_socket_timer;
    conf->timer.data = conf;
    conf->timer.log = log;
}


ngx_int_t
ngx_cometa_socket_start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_SOCKET_TABLE; i++) {
        ngx_queue_init(&ngx_cometa_sockets[i]);
    }

    ngx_queue_init(&ngx_cometa_held);

    ngx_cometa_held_event.handler = ngx_cometa_socket_held_handler;
    ngx_cometa_held_event.log = cycle->log;
    ngx_cometa_held_event.data = &ngx_cometa_held_event;

    ngx_cometa_socket_buffer = ngx_palloc(cycle->pool,
                                          NGX_COMETA_SOCKET_READ);

    return ngx_cometa_socket_buffer ? NGX_OK : NGX_ERROR;
}


ngx_cometa_socket_t *
ngx_cometa_socket_create(ngx_cometa_socket_conf_t *conf,
    ngx_cometa_key_t *key)
{
    u_char               *p;
    ngx_cometa_socket_t  *s;

    s = ngx_calloc(sizeof(ngx_cometa_socket_t) + key->device.len,
                   ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    p = (u_char *) s + sizeof(ngx_cometa_socket_t);
    ngx_memcpy(p, key->device.data, key->device.len);

    s->conf = conf;
    s->app = ngx_cometa_app(&key->app, 0);

    /* the name in the zone stays as long as the zone */

    s->key.app.data = ngx_cometa_zone.apps[s->app].name;
    s->key.app.len = key->app.len;
    s->key.device.data = p;
    s->key.device.len = key->device.len;
    s->key.hash = key->hash;

    cometa_ws_init(&s->ws);
    ngx_queue_init(&s->requests);

    ngx_queue_insert_tail(ngx_cometa_socket_queue(key->hash), &s->link);
    ngx_cometa_sockets_n++;

    ngx_cometa_stats_add(s->app, websockets, 1);

    ngx_cometa_interest_add(key->hash);
    ngx_cometa_socket_watch(&s->key);

    return s;
}


void
ngx_cometa_socket_discard(ngx_cometa_socket_t *s)
{
    ngx_cometa_socket_free(s);
}


static void
ngx_cometa_socket_free(ngx_cometa_socket_t *s)
{
    ngx_queue_remove(&s->link);
    ngx_cometa_sockets_n--;

    ngx_cometa_interest_remove(s->key.hash);
    ngx_cometa_socket_watch(&s->key);

    ngx_cometa_stats_add(s->app, websockets, -1);

    ngx_cometa_socket_drop_requests(s);

    if (s->life.next) {
        ngx_queue_remove(&s->life);

        if (s->conf->timer.timer_set
            && ngx_queue_empty(&s->conf->life)
            && ngx_queue_empty(&s->conf->pinged)
            && ngx_queue_empty(&s->conf->closing))
        {
            ngx_del_timer(&s->conf->timer);
        }
    }

    if (s->held.next) {
        ngx_queue_remove(&s->held);
    }

    ngx_cometa_bytes_free(&s->message);
    ngx_cometa_bytes_free(&s->control);
    ngx_cometa_bytes_free(&s->output);

    ngx_free(s);
}


/* Closes the connection, now or when the handler of the socket returns. */

static void
ngx_cometa_socket_end(ngx_cometa_socket_t *s)
{
    if (s->busy) {
        s->dead = 1;
        return;
    }

    ngx_cometa_connection_close(s->connection);
    ngx_cometa_socket_free(s);
}


static void
ngx_cometa_socket_drop_requests(ngx_cometa_socket_t *s)
{
    ngx_queue_t           *head;
    ngx_cometa_request_t  *q;

    while (!ngx_queue_empty(&s->requests)) {
        head = ngx_queue_head(&s->requests);
        q = ngx_queue_data(head, ngx_cometa_request_t, link);

        ngx_queue_remove(head);

        if (q->call) {
            ngx_cometa_call_cancel(q->call);
        }

        if (q->reply) {
            ngx_free(q->reply);
        }

        ngx_free(q);
    }

    s->outstanding = 0;
    s->queued = 0;
}


/*
 * Our side of the close handshake. What is still outstanding is given up;
 * the connection ends when the peer has answered, or after a while.
 */

static void
ngx_cometa_socket_close(ngx_cometa_socket_t *s, ngx_uint_t code)
{
    u_char  frame[COMETA_WS_CLOSE_LEN];

    if (s->closing) {
        return;
    }

    ngx_cometa_socket_drop_requests(s);

    (void) cometa_ws_close(frame, code);

    if (ngx_cometa_bytes_add(&s->output, frame, COMETA_WS_CLOSE_LEN)
        != NGX_OK)
    {
        ngx_cometa_socket_end(s);
        return;
    }

    s->closing = 1;
    s->heard = ngx_current_msec;

    ngx_queue_remove(&s->life);
    ngx_queue_insert_tail(&s->conf->closing, &s->life);
    ngx_cometa_socket_arm(s->conf, NGX_COMETA_SOCKET_LINGER);

    if (!s->busy) {
        ngx_cometa_socket_flush(s);
    }
}


void
ngx_cometa_socket_open(ngx_cometa_socket_t *s, ngx_connection_t *c,
    u_char *data, size_t len)
{
    s->connection = c;

    ngx_cometa_connection_detach(c, s, s->addr, sizeof(s->addr),
                                 &s->conf->log);

    c->read->handler = ngx_cometa_socket_read_handler;
    c->write->handler = ngx_cometa_socket_write_handler;

    s->heard = ngx_current_msec;
    ngx_queue_insert_tail(&s->conf->life, &s->life);

    ngx_cometa_socket_arm(s->conf, s->conf->timeout / 2);

    ngx_cometa_socket_log(s);

    s->busy = 1;

    if (len) {
        ngx_cometa_socket_parse(s, data, len);
    }

    ngx_cometa_socket_read(s);
}


static void
ngx_cometa_socket_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cometa_socket_t  *s;

    c = rev->data;
    s = c->data;

    ngx_cometa_socket_log(s);

    if (c->close) {
        /* worker_shutdown_timeout */
        c->close = 0;
        c->error = 0;
        ngx_cometa_socket_close(s, NGX_COMETA_CLOSE_AWAY);
        return;
    }

    ngx_cometa_socket_read(s);
}


static void
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


static void
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
            ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                          "malformed frame on a websocket: %s",
                          cometa_ws_error(rc));
            s->failing = 1;
            ngx_cometa_socket_close(s, cometa_ws_error_code(rc));
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


static void
ngx_cometa_socket_call(ngx_cometa_socket_t *s, u_char *data, size_t len)
{
    ngx_cometa_call_t     *call;
    ngx_cometa_request_t  *q;

    q = ngx_alloc(sizeof(ngx_cometa_request_t) + len, ngx_cycle->log);
    if (q == NULL) {
        s->dead = 1;
        return;
    }

    ngx_memzero(q, sizeof(ngx_cometa_request_t));
    ngx_memcpy(q + 1, data, len);

    q->socket = s;
    q->type = s->ws.type;

    ngx_queue_insert_tail(&s->requests, &q->link);
    s->queued++;

    if (len == 0) {
        q->error = NGX_COMETA_EMPTY_MESSAGE;

    } else if (s->queued > NGX_COMETA_SOCKET_CALLS) {
        q->error = NGX_COMETA_OVERLOADED;

    } else {
        q->call = ngx_cometa_call_create();

        if (q->call == NULL) {
            q->error = NGX_COMETA_OVERLOADED;
        }
    }

    call = q->call;

    if (call == NULL) {
        ngx_cometa_socket_reply(s, q, NULL, 0);
        return;
    }

    s->outstanding++;

    call->key = s->key;
    call->message.data = (u_char *) (q + 1);
    call->message.len = len;
    call->timeout = s->conf->send_timeout;
    call->owe = s->conf->send_timeout;
    call->queue = s->conf->queue;
    call->handler = ngx_cometa_socket_done;
    call->data = q;

    ngx_cometa_call_start(call);
}


static void
ngx_cometa_socket_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len)
{
    ngx_cometa_socket_t   *s;
    ngx_cometa_request_t  *q;

    q = call->data;
    s = q->socket;

    q->call = NULL;
    q->error = error;
    s->outstanding--;

    ngx_cometa_socket_log(s);
    ngx_cometa_socket_reply(s, q, data, len);
}


/*
 * The end of one request. If it is the oldest it is answered, and after it
 * those that ended before their turn.
 */

static void
ngx_cometa_socket_reply(ngx_cometa_socket_t *s, ngx_cometa_request_t *q,
    u_char *data, size_t len)
{
    ngx_int_t   rc;
    ngx_uint_t  type;
    u_char      text[256];

    if (q->error) {
        data = text;
        len = ngx_sprintf(text, "{\"msg\":\"%V\",\"error\":\"%V\"}",
                          &ngx_cometa_errors[q->error].line,
                          &ngx_cometa_errors[q->error].word)
              - text;
    }

    if (ngx_queue_head(&s->requests) != &q->link) {

        q->len = len;
        q->reply = ngx_alloc(len ? len : 1, ngx_cycle->log);

        if (q->reply == NULL) {
            ngx_cometa_socket_end(s);
            return;
        }

        ngx_memcpy(q->reply, data, len);
        return;
    }

    for ( ;; ) {
        type = q->type;

        if (q->error) {
            type = COMETA_WS_TEXT;

        } else if (type == COMETA_WS_TEXT && !cometa_utf8_valid(data, len)) {
            type = COMETA_WS_BINARY;
        }

        rc = ngx_cometa_socket_put(s, type, data, len);

        if (rc != NGX_OK) {
            /* closing: the requests are gone */
            return;
        }

        ngx_queue_remove(&q->link);
        s->queued--;
        s->batched++;

        if (q->reply) {
            ngx_free(q->reply);
        }

        ngx_free(q);

        if (ngx_queue_empty(&s->requests)) {
            break;
        }

        q = ngx_queue_data(ngx_queue_head(&s->requests),
                           ngx_cometa_request_t, link);

        if (q->reply == NULL) {
            break;
        }

        data = q->reply;
        len = q->len;
    }

    if (!s->busy) {
        ngx_cometa_socket_settle(s);
    }
}


/* Writes now what nothing can be gained for by waiting. */

static void
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

static ngx_int_t
ngx_cometa_socket_put(ngx_cometa_socket_t *s, ngx_uint_t type, u_char *data,
    size_t len)
{
    size_t  n;
    u_char  head[COMETA_WS_HEAD_MAX];

    if (s->closing) {
        return NGX_ERROR;
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


static void
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
        ngx_cometa_socket_end(s);
        return;
    }
#endif

    if (ngx_shutdown_socket(c->fd, NGX_WRITE_SHUTDOWN) == -1) {
        c->error = 1;
        ngx_cometa_socket_end(s);
    }
}


static void
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


static void
ngx_cometa_socket_hear(ngx_cometa_socket_t *s)
{
    if (s->closing) {
        return;
    }

    s->heard = ngx_current_msec;
    s->pinged = 0;

    ngx_queue_remove(&s->life);
    ngx_queue_insert_tail(&s->conf->life, &s->life);
}


/* Not cancelable, as that of devices is not, and set only with sockets. */

static void
ngx_cometa_socket_timer(ngx_event_t *ev)
{
    ngx_msec_t                 wait, next;
    ngx_cometa_socket_conf_t  *conf;

    conf = ev->data;

    wait = ngx_cometa_socket_expire(conf, &conf->life, conf->timeout / 2);

    next = ngx_cometa_socket_expire(conf, &conf->pinged, conf->timeout);
    wait = ngx_min(wait, next);

    next = ngx_cometa_socket_expire(conf, &conf->closing,
                                    NGX_COMETA_SOCKET_LINGER);
    wait = ngx_min(wait, next);

    if (wait != NGX_TIMER_INFINITE) {
        ngx_cometa_socket_arm(conf, wait);
    }
}


static void
ngx_cometa_socket_arm(ngx_cometa_socket_conf_t *conf, ngx_msec_t wait)
{
    ngx_event_t  *ev;

    ev = &conf->timer;

    if (ev->timer_set) {
        if ((ngx_msec_int_t) (ev->timer.key - ngx_current_msec)
            <= (ngx_msec_int_t) wait)
        {
            return;
        }

        ngx_del_timer(ev);
    }

    ngx_add_timer(ev, wait);
}


/*
 * Does what is due to the sockets at the head of a queue; returns when the
 * next one of it is, NGX_TIMER_INFINITE if it is empty.
 */

static ngx_msec_t
ngx_cometa_socket_expire(ngx_cometa_socket_conf_t *conf, ngx_queue_t *queue,
    ngx_msec_t after)
{
    int32_t               left;
    ngx_uint_t            n;
    ngx_cometa_socket_t  *s;

    for (n = 0; n < NGX_COMETA_SOCKET_EXPIRE; n++) {

        if (ngx_queue_empty(queue)) {
            return NGX_TIMER_INFINITE;
        }

        s = ngx_queue_data(ngx_queue_head(queue), ngx_cometa_socket_t, life);

        left = after - ((uint32_t) ngx_current_msec - s->heard);

        if (left > 0) {
            return left;
        }

        ngx_cometa_socket_log(s);

        if (queue == &conf->life) {
            ngx_queue_remove(&s->life);
            ngx_queue_insert_tail(&conf->pinged, &s->life);

            if (ngx_cometa_socket_put(s, COMETA_WS_PING, NULL, 0) == NGX_OK) {
                ngx_cometa_socket_flush(s);
            }

            continue;
        }

        if (queue == &conf->pinged) {
            ngx_log_error(NGX_LOG_INFO, s->connection->log, NGX_ETIMEDOUT,
                          "nothing heard on a websocket");
            ngx_cometa_socket_close(s, NGX_COMETA_CLOSE_AWAY);
            continue;
        }

        s->connection->error = 1;
        ngx_cometa_socket_end(s);
    }

    return 1;
}


void
ngx_cometa_socket_deliver(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    u_char            *p;
    ngx_cometa_key_t   key;

    if (mail->type == NGX_COMETA_MAIL_EVENT) {
        ngx_cometa_socket_event(mail, body, len);
        return;
    }

    /* ONLINE: the new owner has to know of the sockets here */

    p = ngx_strlchr(body, body + len, '\0');
    if (p == NULL) {
        return;
    }

    key.app.data = body;
    key.app.len = p - body;
    key.device.data = p + 1;
    key.device.len = body + len - (p + 1);
    ngx_cometa_key_init(&key);

    ngx_cometa_socket_watch(&key);
}


static void
ngx_cometa_socket_event(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    ngx_uint_t            type;
    ngx_queue_t          *q, *next, *queue;
    ngx_cometa_socket_t  *s;

    queue = ngx_cometa_socket_queue(mail->time);
    type = 0;

    for (q = ngx_queue_head(queue); q != queue; q = next) {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_cometa_socket_t, link);

        if (s->key.hash != mail->time || s->dead) {
            continue;
        }

        if (type == 0) {
            type = cometa_utf8_valid(body, len) ? COMETA_WS_TEXT
                                                : COMETA_WS_BINARY;
        }

        ngx_cometa_socket_log(s);

        if (ngx_cometa_socket_put(s, type, body, len) == NGX_OK && !s->busy) {
            ngx_cometa_socket_settle(s);
        }
    }
}


/* Tells the owner of a device how many sockets to it there are here. */

static void
ngx_cometa_socket_watch(ngx_cometa_key_t *key)
{
    ngx_str_t             body;
    ngx_uint_t            n;
    ngx_queue_t          *q, *queue;
    ngx_cometa_mail_t     mail;
    ngx_cometa_place_t    place;
    ngx_cometa_socket_t  *s;

    if (ngx_cometa_registry_find(key, &place) != NGX_OK) {
        return;
    }

    queue = ngx_cometa_socket_queue(key->hash);
    n = 0;

    for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {
        s = ngx_queue_data(q, ngx_cometa_socket_t, link);
        n += (s->key.hash == key->hash);
    }

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_t));
    ngx_str_null(&body);

    mail.type = NGX_COMETA_MAIL_WATCH;
    mail.queue = ngx_min(n, 65535);
    mail.handle = place.handle;
    mail.session = place.session;
    mail.ref.slot = ngx_cometa_zone.slot;
    mail.ref.epoch = ngx_cometa_zone.epoch;

    ngx_cometa_mailbox_tell(place.slot, place.epoch, &mail, &body);
}


static ngx_queue_t *
ngx_cometa_socket_queue(uint64_t hash)
{
    return &ngx_cometa_sockets[hash % NGX_COMETA_SOCKET_TABLE];
}


ngx_uint_t
ngx_cometa_socket_count(void)
{
    return ngx_cometa_sockets_n;
}


ngx_uint_t
ngx_cometa_socket_release(ngx_uint_t max)
{
    ngx_uint_t            i;
    ngx_queue_t          *q, *next;
    ngx_cometa_socket_t  *s;

    for (i = 0; i < NGX_COMETA_SOCKET_TABLE && max; i++) {

        for (q = ngx_queue_head(&ngx_cometa_sockets[i]);
             q != ngx_queue_sentinel(&ngx_cometa_sockets[i]) && max;
             q = next)
        {
            next = ngx_queue_next(q);
            s = ngx_queue_data(q, ngx_cometa_socket_t, link);

            if (s->connection && !s->closing) {
                ngx_cometa_socket_log(s);
                ngx_cometa_socket_close(s, NGX_COMETA_CLOSE_AWAY);
                max--;
            }
        }
    }

    return ngx_cometa_sockets_n;
}


static ngx_int_t
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


static void
ngx_cometa_bytes_free(ngx_cometa_bytes_t *b)
{
    if (b->data) {
        ngx_free(b->data);
    }

    ngx_memzero(b, sizeof(ngx_cometa_bytes_t));
}


static void
ngx_cometa_socket_log(ngx_cometa_socket_t *s)
{
    ngx_log_t  *log;

    log = &s->conf->log;

    *log = *s->conf->error_log;

    log->handler = ngx_cometa_socket_log_error;
    log->data = s;
    log->action = NULL;
    log->connection = s->connection ? s->connection->number : 0;
}


static u_char *
ngx_cometa_socket_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    size_t                n;
    u_char                text[NGX_SOCKADDR_STRLEN];
    ngx_cometa_socket_t  *s;

    s = log->data;

    if (s == NULL || s->connection == NULL) {
        return buf;
    }

    n = ngx_sock_ntop(s->connection->sockaddr, s->connection->socklen, text,
                      NGX_SOCKADDR_STRLEN, 0);

    return ngx_snprintf(buf, len, ", client: %*s, websocket of \"%V/%V\"",
                        n, text, &s->key.app, &s->key.device);
}
