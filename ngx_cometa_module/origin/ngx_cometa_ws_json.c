
/*
 * Calls in JSON. State: the calls of a socket stand in its queue; those of one
 * that has left for another worker stand in a queue of their own.
 */

#include "ngx_cometa_ws_json.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_end.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_message.h"
#include "ngx_cometa_ws_text.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_ws.h"


#define NGX_COMETA_JSON_CALLS    1024   /* outstanding on one socket */
#define NGX_COMETA_JSON_CHANNEL  4096   /* the same of a channel */
#define NGX_COMETA_JSON_BYTES    (16 * 1024 * 1024)     /* of their messages */

#define NGX_COMETA_CLOSE_KIND    1003   /* a frame that is no text */

#define NGX_COMETA_ASK_MAGIC     0x41534b20     /* "ASK " */


/* A socket that is at another worker now. */

typedef struct {
    uint32_t                   slot;
    uint32_t                   epoch;
    uint64_t                   serial;
    uint32_t                   n;           /* calls that have not ended */
} ngx_cometa_ws_left_t;


/* A call. Behind it stand its name, its device and its message. */

typedef struct {
    ngx_queue_t                link;
    ngx_cometa_ws_t           *socket;      /* NULL: it has left */
    ngx_cometa_ws_left_t      *left;
    ngx_cometa_call_t         *call;
    ngx_str_t                  name;
    ngx_uint_t                 number;      /* the name is one */
    ngx_cometa_magic_field
} ngx_cometa_ask_t;


static ngx_uint_t ngx_cometa_ws_json_room(ngx_cometa_ws_t *s, size_t len);
static ngx_cometa_ask_t *ngx_cometa_ws_json_ask(ngx_cometa_ws_t *s,
    ngx_cometa_ws_message_t *m);
static void ngx_cometa_ws_json_refuse(ngx_cometa_ws_t *s,
    ngx_cometa_ws_message_t *m);
static void ngx_cometa_ws_json_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static void ngx_cometa_ws_json_send(ngx_cometa_ws_left_t *left,
    ngx_str_t *text);
static void ngx_cometa_ws_json_forget(ngx_cometa_ask_t *ask);


/* The calls of all sockets that have left. */

static ngx_queue_t  ngx_cometa_asks_left;
static ngx_uint_t   ngx_cometa_asks_left_n;


void
ngx_cometa_ws_json_start(void)
{
    ngx_queue_init(&ngx_cometa_asks_left);
}


void
ngx_cometa_ws_json(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    ngx_cometa_ask_t         *ask;
    ngx_cometa_ws_message_t   m;

    if (s->io.codec.type != COMETA_WS_TEXT) {
        s->failing = 1;
        ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_KIND);
        return;
    }

    ngx_cometa_work += ngx_cometa_work_bytes(len);

    ngx_cometa_ws_message_read(s, data, len, &m);

    if (m.error == NGX_COMETA_OK && !ngx_cometa_ws_json_room(s, m.message.len))
    {
        m.error = NGX_COMETA_OVERLOADED;
    }

    if (m.error != NGX_COMETA_OK) {
        ngx_cometa_ws_json_refuse(s, &m);
        return;
    }

    ask = ngx_cometa_ws_json_ask(s, &m);
    if (ask == NULL) {
        m.error = NGX_COMETA_OVERLOADED;
        ngx_cometa_ws_json_refuse(s, &m);
        return;
    }

    ngx_cometa_work += NGX_COMETA_WORK_CALL;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws call in JSON, device:\"%V\" len:%uz "
                   "outstanding:%d", &m.device, m.message.len,
                   s->outstanding);

    /* the call may end, and the socket with it */

    ngx_cometa_call_begin(ask->call);
}


static ngx_uint_t
ngx_cometa_ws_json_room(ngx_cometa_ws_t *s, size_t len)
{
    ngx_uint_t  most;

    most = ngx_cometa_ws_is_channel(s) ? NGX_COMETA_JSON_CHANNEL
                                       : NGX_COMETA_JSON_CALLS;

    return s->outstanding + s->json->away < most
           && s->json->bytes + len <= NGX_COMETA_JSON_BYTES;
}


/* NULL: no memory. */

static ngx_cometa_ask_t *
ngx_cometa_ws_json_ask(ngx_cometa_ws_t *s, ngx_cometa_ws_message_t *m)
{
    u_char             *p;
    ngx_cometa_ask_t   *ask;
    ngx_cometa_call_t  *call;

    ask = ngx_alloc(sizeof(ngx_cometa_ask_t) + m->call.len + m->device.len
                    + m->message.len, ngx_cycle->log);
    if (ask == NULL) {
        return NULL;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        ngx_free(ask);
        return NULL;
    }

    ngx_cometa_magic_set(ask, NGX_COMETA_ASK_MAGIC);

    ask->socket = s;
    ask->left = NULL;
    ask->call = call;
    ask->number = m->number;
    ask->name.len = m->call.len;
    ask->name.data = (u_char *) (ask + 1);

    p = ngx_cpymem(ask->name.data, m->call.data, m->call.len);

    call->key.app = s->group->key.app;
    call->key.device.data = p;
    call->key.device.len = m->device.len;

    p = ngx_cpymem(p, m->device.data, m->device.len);

    call->message.data = p;
    call->message.len = m->message.len;

    ngx_memcpy(p, m->message.data, m->message.len);

    ngx_cometa_key_init(&call->key);

    call->timeout = m->timeout;
    call->owe = s->conf->send_timeout;
    call->wait = m->wait;
    call->queue = s->conf->queue;
    call->handler = ngx_cometa_ws_json_done;
    call->data = ask;
    call->debug = ngx_cometa_traced(s->io.connection);

    ngx_queue_insert_tail(&s->requests, &ask->link);
    s->queued++;
    s->outstanding++;
    s->json->bytes += m->message.len;

    return ask;
}


/* A message that is no call; the answer names what is to be mended. */

static void
ngx_cometa_ws_json_refuse(ngx_cometa_ws_t *s, ngx_cometa_ws_message_t *m)
{
    ngx_str_t            text;
    ngx_cometa_ws_end_t  end;

    ngx_memzero(&end, sizeof(ngx_cometa_ws_end_t));

    end.call = m->call;
    end.number = m->number;
    end.device = m->device;
    end.error = &ngx_cometa_errors[m->error].word;
    end.detail = m->detail;

    ngx_cometa_stats_add(s->group->app, failed[m->error], 1);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws message is refused, %V: %s", end.error,
                   end.detail ? end.detail : "-");

    if (ngx_cometa_ws_text_end(&end, &text) != NGX_OK) {
        s->dead = 1;
        return;
    }

    (void) ngx_cometa_ws_put(s, COMETA_WS_TEXT, text.data, text.len);
}


static void
ngx_cometa_ws_json_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len)
{
    ngx_int_t             rc;
    ngx_str_t             text;
    ngx_cometa_ws_t      *s;
    ngx_cometa_ask_t     *ask;
    ngx_cometa_ws_end_t   end;

    ask = call->data;

    ngx_cometa_magic_check(ask, NGX_COMETA_ASK_MAGIC);
    ngx_cometa_expect(ask->call == call);

    ngx_memzero(&end, sizeof(ngx_cometa_ws_end_t));

    end.call = ask->name;
    end.number = ask->number;
    end.device = call->key.device;
    end.session = call->session;
    end.error = error ? &ngx_cometa_errors[error].word : NULL;
    end.reply.data = data;
    end.reply.len = len;

    s = ask->socket;
    rc = ngx_cometa_ws_text_end(&end, &text);

    if (s == NULL) {

        if (rc == NGX_OK) {
            ngx_cometa_ws_json_send(ask->left, &text);
        }

        ngx_cometa_ws_json_forget(ask);
        return;
    }

    ngx_cometa_ws_json_forget(ask);

    ngx_cometa_work += ngx_cometa_work_bytes(text.len);

    ngx_cometa_ws_log(s);

    /* its client must not wait for what cannot be said */

    if (rc != NGX_OK) {

        if (s->io.connection) {
            ngx_cometa_ws_end(s);
        }

        return;
    }

    if (ngx_cometa_ws_put(s, COMETA_WS_TEXT, text.data, text.len) == NGX_OK) {
        s->batch.replies++;
        ngx_cometa_ws_settle(s);
    }
}


/* To where the socket is now. */

static void
ngx_cometa_ws_json_send(ngx_cometa_ws_left_t *left, ngx_str_t *text)
{
    ngx_cometa_mail_ws_late_t  mail;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_ws_late_t));

    mail.head.session = left->serial;
    mail.slot = ngx_cometa_zone.slot;
    mail.epoch = ngx_cometa_zone.epoch;

    ngx_cometa_mail_ws_late(left->slot, left->epoch, &mail, text->data,
                            text->len);
}


/* The message is not sent again: its call has ended, or has been cancelled. */

static void
ngx_cometa_ws_json_forget(ngx_cometa_ask_t *ask)
{
    ngx_cometa_ws_t  *s;

    s = ask->socket;

    ngx_queue_remove(&ask->link);

    if (s) {
        s->queued--;
        s->outstanding--;
        s->json->bytes -= ask->call->message.len;

    } else {
        ngx_cometa_asks_left_n--;

        if (--ask->left->n == 0) {
            ngx_free(ask->left);
        }
    }

    ngx_cometa_magic_clear(ask);

    ngx_free(ask);
}


void
ngx_cometa_ws_json_drop(ngx_cometa_ws_t *s)
{
    ngx_cometa_ask_t   *ask;
    ngx_cometa_call_t  *call;

    while (!ngx_queue_empty(&s->requests)) {
        ask = ngx_queue_data(ngx_queue_head(&s->requests), ngx_cometa_ask_t,
                             link);
        call = ask->call;

        /* the call has its texts in what is freed */

        ngx_queue_remove(&ask->link);
        ngx_cometa_call_cancel(call);

        ngx_cometa_magic_clear(ask);
        ngx_free(ask);
    }

    s->queued = 0;
    s->outstanding = 0;
    s->json->bytes = 0;
}


uint32_t
ngx_cometa_ws_json_leave(ngx_cometa_ws_t *s, uint32_t slot, uint32_t epoch,
    uint64_t serial)
{
    ngx_queue_t           *q;
    ngx_cometa_ask_t      *ask;
    ngx_cometa_ws_left_t  *left;

    if (s->outstanding == 0) {
        return 0;
    }

    left = ngx_alloc(sizeof(ngx_cometa_ws_left_t), ngx_cycle->log);
    if (left == NULL) {
        return 0;
    }

    left->slot = slot;
    left->epoch = epoch;
    left->serial = serial;
    left->n = s->outstanding;

    while (!ngx_queue_empty(&s->requests)) {
        q = ngx_queue_head(&s->requests);
        ngx_queue_remove(q);

        ask = ngx_queue_data(q, ngx_cometa_ask_t, link);
        ask->socket = NULL;
        ask->left = left;

        ngx_queue_insert_tail(&ngx_cometa_asks_left, q);
        ngx_cometa_asks_left_n++;
    }

    s->queued = 0;
    s->outstanding = 0;
    s->json->bytes = 0;

    return left->n;
}


ngx_uint_t
ngx_cometa_ws_json_left(void)
{
    return ngx_cometa_asks_left_n;
}


void
ngx_cometa_ws_json_give_up(void)
{
    ngx_cometa_ask_t  *ask;

    while (!ngx_queue_empty(&ngx_cometa_asks_left)) {
        ask = ngx_queue_data(ngx_queue_head(&ngx_cometa_asks_left),
                             ngx_cometa_ask_t, link);

        ngx_cometa_call_end(ask->call, NGX_COMETA_WORKER_LOST, NULL, 0);
    }
}
