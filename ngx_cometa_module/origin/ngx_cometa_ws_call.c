
/*
 * The calls of a WebSocket. A reply that comes before its turn is kept.
 */

#include "ngx_cometa_ws_call.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_json.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_utf8.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_CALLS    1024     /* outstanding on one socket */

#define NGX_COMETA_REQUEST_MAGIC  0x52455155     /* "REQU" */


/* A call of a socket. */

typedef struct {
    ngx_queue_t                link;        /* in order of the calls */
    ngx_cometa_ws_t           *socket;
    ngx_cometa_call_t         *call;        /* NULL: it has ended */
    u_char                    *message;     /* until it has ended */
    u_char                    *reply;       /* kept for its turn */
    uint32_t                   len;         /* of the reply */
    uint8_t                    type;        /* of the message */
    uint8_t                    error;       /* instead of a reply */
    ngx_cometa_magic_field
} ngx_cometa_request_t;


static ngx_int_t ngx_cometa_ws_begin(ngx_cometa_ws_t *s,
    ngx_cometa_request_t *q, u_char *data, size_t len);
static void ngx_cometa_ws_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static void ngx_cometa_ws_reply(ngx_cometa_ws_t *s, ngx_cometa_request_t *q,
    u_char *data, size_t len);
static ngx_int_t ngx_cometa_ws_keep(ngx_cometa_request_t *q, u_char *data,
    size_t len);
static ngx_int_t ngx_cometa_ws_answer(ngx_cometa_ws_t *s,
    ngx_cometa_request_t *q, u_char *data, size_t len);
static void ngx_cometa_ws_forget(ngx_cometa_request_t *q);
static void ngx_cometa_ws_drop_requests(ngx_cometa_ws_t *s);


void
ngx_cometa_ws_call_start(void)
{
    ngx_cometa_ws_drop = ngx_cometa_ws_drop_requests;
}


/*
 * Beyond NGX_COMETA_WS_CALLS calls the answer is an error. Errors wait for
 * their turn, too: a client with twice as many unanswered calls is
 * disconnected.
 */

void
ngx_cometa_ws_call(ngx_cometa_ws_t *s, u_char *data, size_t len)
{
    ngx_cometa_request_t  *q;

    if (s->queued >= 2 * NGX_COMETA_WS_CALLS) {
        s->failing = 1;
        ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AGAIN);
        return;
    }

    q = ngx_calloc(sizeof(ngx_cometa_request_t), ngx_cycle->log);
    if (q == NULL) {
        s->dead = 1;
        return;
    }

    ngx_cometa_magic_set(q, NGX_COMETA_REQUEST_MAGIC);

    q->socket = s;
    q->type = s->io.codec.type;

    ngx_queue_insert_tail(&s->requests, &q->link);
    s->queued++;

    if (len == 0) {
        q->error = NGX_COMETA_EMPTY_MESSAGE;

    } else if (s->queued > NGX_COMETA_WS_CALLS
               || ngx_cometa_ws_begin(s, q, data, len) != NGX_OK)
    {
        q->error = NGX_COMETA_OVERLOADED;
    }

    if (q->error) {
        ngx_cometa_stats_add(s->group->app, failed[q->error], 1);

        ngx_cometa_ws_reply(s, q, NULL, 0);
        return;
    }

    ngx_cometa_work += NGX_COMETA_WORK_CALL;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws call, len:%uz outstanding:%d", len,
                   s->outstanding);

    /* the call may end, and the socket with it */

    ngx_cometa_call_begin(q->call);
}


static ngx_int_t
ngx_cometa_ws_begin(ngx_cometa_ws_t *s, ngx_cometa_request_t *q,
    u_char *data, size_t len)
{
    ngx_cometa_call_t  *call;

    q->message = ngx_alloc(len, ngx_cycle->log);
    if (q->message == NULL) {
        return NGX_ERROR;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(q->message, data, len);

    q->call = call;
    s->outstanding++;

    call->key = s->group->key;
    call->message.data = q->message;
    call->message.len = len;
    call->timeout = s->conf->send_timeout;
    call->owe = s->conf->send_timeout;
    call->queue = s->conf->queue;
    call->handler = ngx_cometa_ws_done;
    call->data = q;
    call->debug = ngx_cometa_traced(s->io.connection);

    return NGX_OK;
}


static void
ngx_cometa_ws_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len)
{
    ngx_cometa_ws_t       *s;
    ngx_cometa_request_t  *q;

    q = call->data;

    ngx_cometa_magic_check(q, NGX_COMETA_REQUEST_MAGIC);
    ngx_cometa_expect(q->call == call);

    s = q->socket;

    q->call = NULL;
    q->error = error;
    s->outstanding--;

    ngx_free(q->message);
    q->message = NULL;

    ngx_cometa_ws_log(s);
    ngx_cometa_ws_reply(s, q, data, len);
}


/*
 * A request has ended. If it is the oldest one it is answered, and after it
 * those that ended before their turn.
 */

static void
ngx_cometa_ws_reply(ngx_cometa_ws_t *s, ngx_cometa_request_t *q,
    u_char *data, size_t len)
{
    if (ngx_queue_head(&s->requests) != &q->link) {

        if (ngx_cometa_ws_keep(q, data, len) != NGX_OK) {
            ngx_cometa_ws_end(s);
        }

        return;
    }

    for ( ;; ) {

        if (ngx_cometa_ws_answer(s, q, data, len) != NGX_OK) {
            /* closing: the requests are gone */
            return;
        }

        if (ngx_queue_empty(&s->requests)) {
            break;
        }

        q = ngx_queue_data(ngx_queue_head(&s->requests),
                           ngx_cometa_request_t, link);

        if (q->reply == NULL && !q->error) {
            break;
        }

        data = q->reply;
        len = q->len;
    }

    ngx_cometa_ws_settle(s);
}


/* Keeps a reply until its turn comes. For an error the code is enough. */

static ngx_int_t
ngx_cometa_ws_keep(ngx_cometa_request_t *q, u_char *data, size_t len)
{
    if (q->error) {
        return NGX_OK;
    }

    q->len = len;
    q->reply = ngx_alloc(len ? len : 1, ngx_cycle->log);

    if (q->reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(q->reply, data, len);

    return NGX_OK;
}


/* Adds the answer to the oldest request to the output, and frees it. */

static ngx_int_t
ngx_cometa_ws_answer(ngx_cometa_ws_t *s, ngx_cometa_request_t *q,
    u_char *data, size_t len)
{
    u_char      text[256];
    ngx_uint_t  type;

    type = q->type;

    if (q->error) {
        type = COMETA_WS_TEXT;
        data = text;
        len = ngx_sprintf(text, "{\"msg\":\"%V\",\"error\":\"%V\"}",
                          &ngx_cometa_errors[q->error].line,
                          &ngx_cometa_errors[q->error].word)
              - text;

    } else if (type == COMETA_WS_TEXT && !cometa_utf8_valid(data, len)) {
        type = COMETA_WS_BINARY;
    }

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, s->io.connection->log, 0,
                   "cometa ws answer, error:%d type:%ui len:%uz", q->error,
                   type, len);

    if (ngx_cometa_ws_put(s, type, data, len) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_queue_remove(&q->link);
    s->queued--;
    s->batch.replies++;

    ngx_cometa_ws_forget(q);

    return NGX_OK;
}


static void
ngx_cometa_ws_forget(ngx_cometa_request_t *q)
{
    if (q->message) {
        ngx_free(q->message);
    }

    if (q->reply) {
        ngx_free(q->reply);
    }

    ngx_cometa_magic_clear(q);

    ngx_free(q);
}


static void
ngx_cometa_ws_drop_requests(ngx_cometa_ws_t *s)
{
    ngx_queue_t           *head;
    ngx_cometa_request_t  *q;

    if (s->json) {
        ngx_cometa_ws_json_drop(s);
        return;
    }

    while (!ngx_queue_empty(&s->requests)) {
        head = ngx_queue_head(&s->requests);
        q = ngx_queue_data(head, ngx_cometa_request_t, link);

        ngx_queue_remove(head);

        if (q->call) {
            ngx_cometa_call_cancel(q->call);
        }

        ngx_cometa_ws_forget(q);
    }

    s->outstanding = 0;
    s->queued = 0;
}
