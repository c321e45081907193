
/*
 * The life of a WebSocket: it belongs to this worker alone. Its output is
 * written in batches, a silent client is pinged, and a close frame ends it.
 */

#include "ngx_cometa_ws.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_bytes.h"
#include "ngx_cometa_ws_batch.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_ws_time.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_BATCH  16384      /* bytes, then it is written */


static void ngx_cometa_ws_free(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_cometa_ws_room(ngx_cometa_ws_t *s, size_t len);
static void ngx_cometa_ws_batch_handler(ngx_cometa_ws_batch_t *b);
static void ngx_cometa_ws_expire(ngx_cometa_ws_time_t *time,
    ngx_uint_t state);
static u_char *ngx_cometa_ws_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


ngx_cometa_ws_drop_pt  ngx_cometa_ws_drop;


void
ngx_cometa_ws_conf_init(ngx_cometa_ws_conf_t *conf, ngx_log_t *log)
{
    conf->error_log = log;

    ngx_cometa_ws_times_init(&conf->times, conf->timeout,
                             ngx_cometa_ws_expire, log);
}


void
ngx_cometa_ws_start(ngx_cycle_t *cycle)
{
    ngx_cometa_ws_batch_start(cycle, ngx_cometa_ws_batch_handler);
}


ngx_cometa_ws_t *
ngx_cometa_ws_create(ngx_cometa_ws_conf_t *conf,
    ngx_cometa_key_t *key, ngx_cometa_ws_mode_t *mode)
{
    uint32_t          app;
    ngx_cometa_ws_t  *s;

    s = ngx_calloc(sizeof(ngx_cometa_ws_t)
                   + (mode->json ? sizeof(ngx_cometa_ws_json_t) : 0),
                   ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    if (mode->json) {
        s->json = (ngx_cometa_ws_json_t *) (s + 1);
        s->json->mode = *mode;
    }

    /* the application keeps its place as long as the socket is counted */

    app = ngx_cometa_app_hold(&key->app, 0, websockets);

    if (app == NGX_COMETA_NONE) {
        ngx_free(s);
        return NULL;
    }

    s->group = ngx_cometa_ws_group_join(key, app, &s->link);

    if (s->group == NULL) {
        ngx_cometa_gauge_add(app, websockets, -1);
        ngx_free(s);
        return NULL;
    }

    s->conf = conf;

    ngx_cometa_ws_io_init(&s->io);
    ngx_queue_init(&s->requests);

    return s;
}


void
ngx_cometa_ws_discard(ngx_cometa_ws_t *s)
{
    ngx_cometa_ws_free(s);
}


static void
ngx_cometa_ws_free(ngx_cometa_ws_t *s)
{
    uint32_t                app;
    ngx_cometa_ws_group_t  *group;

    group = s->group;
    app = group->app;

    ngx_cometa_ws_group_leave(group, &s->link);

    ngx_cometa_ws_drop(s);

    if (s->json && s->json->link.next) {
        ngx_queue_remove(&s->json->link);
    }

    ngx_cometa_ws_time_leave(&s->conf->times, &s->time);
    ngx_cometa_ws_batch_leave(&s->batch);
    ngx_cometa_ws_io_free(&s->io);

    /* the log of the location must not name a socket that is freed */

    if (s->conf->log.data == s) {
        s->conf->log.data = NULL;
    }

    ngx_cometa_ws_group_free_empty(group);

    /* last, because it keeps the place of the application */

    ngx_cometa_gauge_add(app, websockets, -1);

    ngx_free(s);
}


void
ngx_cometa_ws_connect(ngx_cometa_ws_t *s, ngx_connection_t *c,
    ngx_event_handler_pt handler)
{
    s->io.connection = c;
    s->debug |= (c->log->log_level & NGX_LOG_DEBUG_CONNECTION) != 0;

    ngx_cometa_connection_detach(c, s, s->addr, sizeof(s->addr),
                                 &s->conf->log);

    c->read->handler = handler;
    c->write->handler = ngx_cometa_ws_write_handler;

    s->time.since = ngx_current_msec;
    ngx_cometa_ws_time_enter(&s->conf->times, &s->time, NGX_COMETA_WS_HEARD);

    ngx_cometa_ws_log(s);

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "cometa ws open, device:\"%V/%V\" here:%uD",
                   &s->group->key.app, &s->group->key.device, s->group->n);
}


void
ngx_cometa_ws_connect_again(ngx_cometa_ws_t *s, ngx_connection_t *c)
{
    s->io.connection = c;
    c->write->ready = 1;

    s->time.since = ngx_current_msec;
    ngx_cometa_ws_time_enter(&s->conf->times, &s->time, NGX_COMETA_WS_HEARD);
}


void
ngx_cometa_ws_end(ngx_cometa_ws_t *s)
{
    ngx_connection_t  *c;

    if (s->busy) {
        s->dead = 1;
        return;
    }

    c = s->io.connection;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "cometa ws end, closing:%d closed:%d error:%d unsent:%uz",
                   s->closing, s->closed, c->error,
                   ngx_cometa_bytes_left(s->io.output));

    ngx_cometa_connection_close(c, s->io.output != NULL);
    ngx_cometa_ws_free(s);
}


/*
 * Our side of the close handshake. Outstanding calls are cancelled. The
 * connection ends when the peer has answered, or after a while.
 */

void
ngx_cometa_ws_close(ngx_cometa_ws_t *s, ngx_uint_t code)
{
    if (s->closing) {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws close sent, code:%ui", code);

    ngx_cometa_ws_drop(s);

    if (ngx_cometa_ws_io_add_close(&s->io, code) != NGX_OK) {
        ngx_cometa_ws_end(s);
        return;
    }

    s->closing = 1;
    s->moving = 0;
    s->time.since = ngx_current_msec;

    ngx_cometa_ws_time_enter(&s->conf->times, &s->time,
                             NGX_COMETA_WS_CLOSING);

    if (!s->busy) {
        ngx_cometa_ws_flush(s);
    }
}


ngx_int_t
ngx_cometa_ws_say(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    return ngx_cometa_bytes_add(&s->io.output, data, len);
}


ngx_int_t
ngx_cometa_ws_put(ngx_cometa_ws_t *s, ngx_uint_t type, u_char *data,
    size_t len)
{
    if (s->closing) {
        return NGX_ERROR;
    }

    /* in JSON one that is long may be several times as long as what it says */

    if (ngx_cometa_bytes_left(s->io.output) + (s->json ? 0 : len)
        > s->conf->max_output
        && ngx_cometa_ws_room(s, s->json ? 0 : len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_cometa_ws_io_add(&s->io, type, data, len) != NGX_OK) {

        /* a socket that is not open yet just misses this frame */

        if (s->io.connection) {
            ngx_cometa_ws_end(s);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * More output waits than is allowed. Some of it may wait only to be written in
 * a batch: that is written now. If it does not help, the peer does not read.
 */

static ngx_int_t
ngx_cometa_ws_room(ngx_cometa_ws_t *s, size_t len)
{
    ngx_uint_t  busy;

    if (s->busy || s->batch.soon) {
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

        if (ngx_cometa_bytes_left(s->io.output) + len <= s->conf->max_output) {
            return NGX_OK;
        }
    }

    ngx_cometa_stats_add(s->group->app, websockets_slow, 1);

    if (s->io.connection) {
        ngx_log_error(NGX_LOG_INFO, s->io.connection->log, 0,
                      "websocket is closed, its client does not read: %uz "
                      "bytes wait",
                      ngx_cometa_bytes_left(s->io.output));
        s->failing = 1;
        ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AGAIN);
    }

    return NGX_ERROR;
}


void
ngx_cometa_ws_settle(ngx_cometa_ws_t *s)
{
    size_t  waiting;

    waiting = ngx_cometa_bytes_left(s->io.output);

    if (waiting == 0 || s->io.connection == NULL || s->busy) {
        return;
    }

    if (waiting >= NGX_COMETA_WS_BATCH) {

        /* if it is not ready, the socket is full: its write event comes */

        if (s->io.connection->write->ready) {
            ngx_cometa_ws_flush(s);
        }

        return;
    }

    /* wait for more replies, but for a few milliseconds at most */

    if (s->outstanding > s->batch.replies && !s->closing) {
        ngx_cometa_ws_batch_hold(&s->batch);
        return;
    }

    ngx_cometa_ws_batch_soon(&s->batch);
}


static void
ngx_cometa_ws_batch_handler(ngx_cometa_ws_batch_t *b)
{
    ngx_cometa_ws_t  *s;

    s = (ngx_cometa_ws_t *) ((u_char *) b - offsetof(ngx_cometa_ws_t, batch));

    ngx_cometa_ws_log(s);
    ngx_cometa_ws_flush(s);
}


/*
 * If the peer has broken the protocol or does not read, the writing side of the
 * connection ends after the close frame. What the peer still sends is read for
 * a while, so that no reset overtakes the close frame.
 */

void
ngx_cometa_ws_flush(ngx_cometa_ws_t *s)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = s->io.connection;

    if (c == NULL) {
        return;
    }

    ngx_cometa_ws_batch_leave(&s->batch);

    rc = ngx_cometa_ws_io_write(&s->io);

    if (rc == NGX_OK && s->closed) {
        ngx_cometa_ws_end(s);
        return;
    }

    if (rc == NGX_OK && s->failing) {
        rc = ngx_cometa_ws_io_shutdown(&s->io);

    } else if (rc != NGX_ERROR && ngx_handle_write_event(c->write, 0) != NGX_OK)
    {
        rc = NGX_ERROR;
    }

    if (rc == NGX_ERROR) {
        c->error = 1;
        ngx_cometa_ws_end(s);
    }
}


static void
ngx_cometa_ws_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;
    ngx_cometa_ws_t   *s;

    c = wev->data;
    s = c->data;

    ngx_cometa_ws_log(s);

    if (s->io.output && s->batch.link.next == NULL) {
        ngx_cometa_ws_flush(s);
        return;
    }

    (void) ngx_handle_write_event(wev, 0);
}


void
ngx_cometa_ws_hear(ngx_cometa_ws_t *s)
{
    if (s->closing) {
        return;
    }

    s->time.since = ngx_current_msec;
    ngx_cometa_ws_time_enter(&s->conf->times, &s->time, NGX_COMETA_WS_HEARD);
}


static void
ngx_cometa_ws_expire(ngx_cometa_ws_time_t *time, ngx_uint_t state)
{
    ngx_cometa_ws_t  *s;

    s = (ngx_cometa_ws_t *) ((u_char *) time - offsetof(ngx_cometa_ws_t, time));

    ngx_cometa_ws_log(s);

    switch (state) {

    case NGX_COMETA_WS_HEARD:
        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                       "cometa ws pinged");

        ngx_cometa_ws_time_enter(&s->conf->times, time, NGX_COMETA_WS_PINGED);

        if (ngx_cometa_ws_put(s, COMETA_WS_PING, NULL, 0) == NGX_OK) {
            ngx_cometa_ws_flush(s);
        }

        return;

    case NGX_COMETA_WS_PINGED:
        ngx_log_error(NGX_LOG_INFO, s->io.connection->log, NGX_ETIMEDOUT,
                      "websocket is closed, its client was silent too long");
        ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
        return;

    default: /* NGX_COMETA_WS_CLOSING */
        s->io.connection->error = 1;
        ngx_cometa_ws_end(s);
    }
}


ngx_uint_t
ngx_cometa_ws_count(void)
{
    return ngx_cometa_ws_group_total();
}


ngx_uint_t
ngx_cometa_ws_release(ngx_uint_t max)
{
    ngx_queue_t            *q, *next;
    ngx_cometa_ws_t        *s;
    ngx_cometa_ws_group_t  *group, *after;

    for (group = ngx_cometa_ws_group_next(NULL); group && max; group = after) {

        after = ngx_cometa_ws_group_next(group);

        for (q = ngx_queue_head(&group->sockets);
             q != ngx_queue_sentinel(&group->sockets) && max;
             q = next)
        {
            next = ngx_queue_next(q);
            s = ngx_queue_data(q, ngx_cometa_ws_t, link);

            if (s->closing) {
                ngx_cometa_ws_time_hurry(&s->conf->times);

            } else if (s->io.connection) {
                ngx_cometa_ws_log(s);
                ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
                max--;
            }
        }
    }

    return ngx_cometa_ws_group_total();
}


void
ngx_cometa_ws_log(ngx_cometa_ws_t *s)
{
    ngx_log_t  *log;

    log = &s->conf->log;

    *log = *s->conf->error_log;

    if (s->debug) {
        log->log_level = NGX_LOG_DEBUG_CONNECTION | NGX_LOG_DEBUG_ALL;
    }

    log->handler = ngx_cometa_ws_log_error;
    log->data = s;
    log->action = NULL;
    log->connection = s->io.connection ? s->io.connection->number : 0;
}


static u_char *
ngx_cometa_ws_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    size_t             n;
    u_char             text[NGX_SOCKADDR_STRLEN];
    ngx_connection_t  *c;
    ngx_cometa_ws_t   *s;

    s = log->data;

    if (s == NULL || s->io.connection == NULL) {
        return buf;
    }

    c = s->io.connection;
    n = ngx_sock_ntop(c->sockaddr, c->socklen, text, NGX_SOCKADDR_STRLEN, 0);

    if (ngx_cometa_ws_is_channel(s)) {
        return ngx_snprintf(buf, len, ", client: %*s, channel of \"%V\"",
                            n, text, &s->group->key.app);
    }

    return ngx_snprintf(buf, len, ", client: %*s, websocket of \"%V/%V\"",
                        n, text, &s->group->key.app, &s->group->key.device);
}
