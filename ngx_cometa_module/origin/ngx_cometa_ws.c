
/*
 * The life of a WebSocket: it belongs to this worker alone, hears of its
 * device, is pinged when nothing is heard of it, and is closed with a word.
 */

#include "ngx_cometa_ws.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_WS_TABLE    4096     /* queues, by hash of the key */
#define NGX_COMETA_WS_LINGER   5000     /* ms, for the peer's close ... */
#define NGX_COMETA_WS_HURRY    1000     /* ... if the worker leaves */
#define NGX_COMETA_WS_EXPIRE   200      /* looked at in one go */


static void ngx_cometa_ws_free(ngx_cometa_ws_t *s);
static void ngx_cometa_ws_timer(ngx_event_t *ev);
static void ngx_cometa_ws_arm(ngx_cometa_ws_conf_t *conf,
    ngx_msec_t wait);
static ngx_msec_t ngx_cometa_ws_expire(ngx_cometa_ws_conf_t *conf,
    ngx_queue_t *queue, ngx_msec_t after);
static ngx_queue_t *ngx_cometa_ws_bucket(uint64_t hash);
static ngx_msec_t ngx_cometa_ws_linger(void);
static u_char *ngx_cometa_ws_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


static ngx_queue_t   ngx_cometa_ws_table[NGX_COMETA_WS_TABLE];
static ngx_uint_t    ngx_cometa_ws_n;


void
ngx_cometa_ws_conf_init(ngx_cometa_ws_conf_t *conf, ngx_log_t *log)
{
    ngx_queue_init(&conf->life);
    ngx_queue_init(&conf->pinged);
    ngx_queue_init(&conf->closing);

    conf->error_log = log;

    conf->timer.handler = ngx_cometa_ws_timer;
    conf->timer.data = conf;
    conf->timer.log = log;
}


ngx_int_t
ngx_cometa_ws_start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_WS_TABLE; i++) {
        ngx_queue_init(&ngx_cometa_ws_table[i]);
    }

    ngx_cometa_ws_output_start(cycle);

    return ngx_cometa_ws_io_start(cycle);
}


ngx_cometa_ws_t *
ngx_cometa_ws_create(ngx_cometa_ws_conf_t *conf,
    ngx_cometa_key_t *key)
{
    u_char               *p;
    ngx_cometa_ws_t  *s;

    s = ngx_calloc(sizeof(ngx_cometa_ws_t) + key->device.len,
                   ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    p = (u_char *) s + sizeof(ngx_cometa_ws_t);
    ngx_memcpy(p, key->device.data, key->device.len);

    s->conf = conf;
    s->app = ngx_cometa_app_hold(&key->app, 0, websockets);

    if (s->app == NGX_COMETA_NONE) {
        ngx_free(s);
        return NULL;
    }

    /* the name in the zone stays as long as the socket is counted */

    s->key.app.data = ngx_cometa_zone.apps[s->app].name;
    s->key.app.len = key->app.len;
    s->key.device.data = p;
    s->key.device.len = key->device.len;
    s->key.hash = key->hash;

    cometa_ws_init(&s->ws);
    ngx_queue_init(&s->requests);

    ngx_queue_insert_tail(ngx_cometa_ws_bucket(key->hash), &s->link);
    ngx_cometa_ws_n++;

    ngx_cometa_interest_add(key->hash);
    ngx_cometa_ws_listeners(&s->key);

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
    ngx_queue_remove(&s->link);
    ngx_cometa_ws_n--;

    ngx_cometa_interest_remove(s->key.hash);
    ngx_cometa_ws_listeners(&s->key);

    ngx_cometa_ws_drop_requests(s);

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
    ngx_cometa_bytes_free(&s->rest);

    /* whoever logs next by the log of the location is another one */

    if (s->conf->log.data == s) {
        s->conf->log.data = NULL;
    }

    /* last, for it keeps the name of the application */

    ngx_cometa_gauge_add(s->app, websockets, -1);

    ngx_free(s);
}


/* Closes the connection, now or when the handler of the socket returns. */

void
ngx_cometa_ws_end(ngx_cometa_ws_t *s)
{
    if (s->busy) {
        s->dead = 1;
        return;
    }

    ngx_cometa_connection_close(s->connection, s->output.len != 0);
    ngx_cometa_ws_free(s);
}


/*
 * Our side of the close handshake. What is still outstanding is given up;
 * the connection ends when the peer has answered, or after a while.
 */

void
ngx_cometa_ws_close(ngx_cometa_ws_t *s, ngx_uint_t code)
{
    u_char  frame[COMETA_WS_CLOSE_LEN];

    if (s->closing) {
        return;
    }

    ngx_cometa_ws_drop_requests(s);

    (void) cometa_ws_close(frame, code);

    if (ngx_cometa_bytes_add(&s->output, frame, COMETA_WS_CLOSE_LEN)
        != NGX_OK)
    {
        ngx_cometa_ws_end(s);
        return;
    }

    s->closing = 1;
    s->heard = ngx_current_msec;

    ngx_queue_remove(&s->life);
    ngx_queue_insert_tail(&s->conf->closing, &s->life);
    ngx_cometa_ws_arm(s->conf, ngx_cometa_ws_linger());

    if (!s->busy) {
        ngx_cometa_ws_flush(s);
    }
}


ngx_int_t
ngx_cometa_ws_say(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    return ngx_cometa_bytes_add(&s->output, data, len);
}


void
ngx_cometa_ws_open(ngx_cometa_ws_t *s, ngx_connection_t *c,
    u_char *data, size_t len)
{
    s->connection = c;

    ngx_cometa_connection_detach(c, s, s->addr, sizeof(s->addr),
                                 &s->conf->log);

    c->read->handler = ngx_cometa_ws_read_handler;
    c->write->handler = ngx_cometa_ws_write_handler;

    s->heard = ngx_current_msec;
    ngx_queue_insert_tail(&s->conf->life, &s->life);

    ngx_cometa_ws_arm(s->conf, s->conf->timeout / 2);

    ngx_cometa_ws_log(s);

    s->busy = 1;

    if (s->output.len) {
        ngx_cometa_ws_flush(s);
    }

    ngx_cometa_ws_read(s, data, len);
}


void
ngx_cometa_ws_hear(ngx_cometa_ws_t *s)
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
ngx_cometa_ws_timer(ngx_event_t *ev)
{
    ngx_msec_t                 wait, next;
    ngx_cometa_ws_conf_t  *conf;

    conf = ev->data;

    wait = ngx_cometa_ws_expire(conf, &conf->life, conf->timeout / 2);

    next = ngx_cometa_ws_expire(conf, &conf->pinged, conf->timeout);
    wait = ngx_min(wait, next);

    next = ngx_cometa_ws_expire(conf, &conf->closing,
                                    ngx_cometa_ws_linger());
    wait = ngx_min(wait, next);

    if (wait != NGX_TIMER_INFINITE) {
        ngx_cometa_ws_arm(conf, wait);
    }
}


static void
ngx_cometa_ws_arm(ngx_cometa_ws_conf_t *conf, ngx_msec_t wait)
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
ngx_cometa_ws_expire(ngx_cometa_ws_conf_t *conf, ngx_queue_t *queue,
    ngx_msec_t after)
{
    int32_t               left;
    ngx_uint_t            n;
    ngx_cometa_ws_t  *s;

    for (n = 0; n < NGX_COMETA_WS_EXPIRE; n++) {

        if (ngx_queue_empty(queue)) {
            return NGX_TIMER_INFINITE;
        }

        s = ngx_queue_data(ngx_queue_head(queue), ngx_cometa_ws_t, life);

        left = after - ((uint32_t) ngx_current_msec - s->heard);

        if (left > 0) {
            return left;
        }

        ngx_cometa_ws_log(s);

        if (queue == &conf->life) {
            ngx_queue_remove(&s->life);
            ngx_queue_insert_tail(&conf->pinged, &s->life);

            if (ngx_cometa_ws_put(s, COMETA_WS_PING, NULL, 0) == NGX_OK) {
                ngx_cometa_ws_flush(s);
            }

            continue;
        }

        if (queue == &conf->pinged) {
            ngx_log_error(NGX_LOG_INFO, s->connection->log, NGX_ETIMEDOUT,
                          "nothing heard on a websocket");
            ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
            continue;
        }

        s->connection->error = 1;
        ngx_cometa_ws_end(s);
    }

    return 1;
}


void
ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail, u_char *data, size_t len)
{
    ngx_uint_t            type;
    ngx_queue_t          *q, *next, *queue;
    ngx_cometa_ws_t  *s;

    queue = ngx_cometa_ws_bucket(mail->hash);
    type = 0;

    for (q = ngx_queue_head(queue); q != queue; q = next) {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);

        if (s->key.hash != mail->hash || s->dead) {
            continue;
        }

        if (type == 0) {
            type = cometa_utf8_valid(data, len) ? COMETA_WS_TEXT
                                                : COMETA_WS_BINARY;
        }

        ngx_cometa_ws_log(s);

        if (ngx_cometa_ws_put(s, type, data, len) == NGX_OK && !s->busy) {
            ngx_cometa_ws_settle(s);
        }
    }
}


void
ngx_cometa_ws_listeners(ngx_cometa_key_t *key)
{
    ngx_uint_t           n;
    ngx_queue_t         *q, *queue;
    ngx_cometa_ws_t     *s;
    ngx_cometa_place_t   place;

    if (ngx_cometa_registry_find(key, &place) != NGX_OK) {
        return;
    }

    queue = ngx_cometa_ws_bucket(key->hash);
    n = 0;

    for (q = ngx_queue_head(queue); q != queue; q = ngx_queue_next(q)) {
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);
        n += (s->key.hash == key->hash);
    }

    ngx_cometa_mail_listeners(&place, n);
}


static ngx_queue_t *
ngx_cometa_ws_bucket(uint64_t hash)
{
    return &ngx_cometa_ws_table[hash % NGX_COMETA_WS_TABLE];
}


/* nginx waits for the last of them when it stops. */

static ngx_msec_t
ngx_cometa_ws_linger(void)
{
    return ngx_exiting ? NGX_COMETA_WS_HURRY : NGX_COMETA_WS_LINGER;
}


ngx_uint_t
ngx_cometa_ws_count(void)
{
    return ngx_cometa_ws_n;
}


ngx_uint_t
ngx_cometa_ws_release(ngx_uint_t max)
{
    ngx_uint_t            i;
    ngx_queue_t          *q, *next;
    ngx_cometa_ws_t  *s;

    for (i = 0; i < NGX_COMETA_WS_TABLE && max; i++) {

        for (q = ngx_queue_head(&ngx_cometa_ws_table[i]);
             q != ngx_queue_sentinel(&ngx_cometa_ws_table[i]) && max;
             q = next)
        {
            next = ngx_queue_next(q);
            s = ngx_queue_data(q, ngx_cometa_ws_t, link);

            if (s->closing) {
                /* it may have been given more time when there was more */
                ngx_cometa_ws_arm(s->conf, NGX_COMETA_WS_HURRY);

            } else if (s->connection) {
                ngx_cometa_ws_log(s);
                ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
                max--;
            }
        }
    }

    return ngx_cometa_ws_n;
}


void
ngx_cometa_ws_log(ngx_cometa_ws_t *s)
{
    ngx_log_t  *log;

    log = &s->conf->log;

    *log = *s->conf->error_log;

    log->handler = ngx_cometa_ws_log_error;
    log->data = s;
    log->action = NULL;
    log->connection = s->connection ? s->connection->number : 0;
}


static u_char *
ngx_cometa_ws_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    size_t                n;
    u_char                text[NGX_SOCKADDR_STRLEN];
    ngx_cometa_ws_t  *s;

    s = log->data;

    if (s == NULL || s->connection == NULL) {
        return buf;
    }

    n = ngx_sock_ntop(s->connection->sockaddr, s->connection->socklen, text,
                      NGX_SOCKADDR_STRLEN, 0);

    return ngx_snprintf(buf, len, ", client: %*s, websocket of \"%V/%V\"",
                        n, text, &s->key.app, &s->key.device);
}
