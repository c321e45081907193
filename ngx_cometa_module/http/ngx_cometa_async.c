
/*
 * Calls for which no request waits. State of this process: all of them, and how
 * many each application has. Each keeps the place of its application, so that
 * its end can be told also if no device of it was ever attached.
 */

#include "ngx_cometa_async.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_end.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_notice.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_header.h"


/* Bounds of a worker; an application may have a quarter. */

#define NGX_COMETA_ASYNC_CALLS  16384
#define NGX_COMETA_ASYNC_BYTES  (64 * 1024 * 1024)      /* of messages */
#define NGX_COMETA_ASYNC_SHARE  4

#define NGX_COMETA_ASYNC_MAGIC  0x4153594e      /* "ASYN" */


/* Behind it stand the names and the message. */

typedef struct {
    ngx_queue_t                 link;
    ngx_cometa_call_t          *call;
    ngx_cometa_webhook_conf_t  *webhook;    /* or NULL */
    uint32_t                    app;
    uint32_t                    error;      /* with `starting` */
    size_t                      len;        /* of the message */
    unsigned                    starting:1; /* the request can be answered */
    unsigned                    ended:1;
    uint8_t                     id_len;
    u_char                      id[NGX_COMETA_CALL_ID_MAX];
    ngx_cometa_magic_field
} ngx_cometa_async_t;


typedef struct {
    ngx_uint_t                  calls;
    size_t                      bytes;
} ngx_cometa_async_load_t;


static ngx_uint_t ngx_cometa_async_room(uint32_t app, size_t len);
static ngx_cometa_async_t *ngx_cometa_async_create(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, uint32_t app, ngx_cometa_async_call_t *what);
static void ngx_cometa_async_name(ngx_cometa_async_t *a);
static void ngx_cometa_async_free(ngx_cometa_async_t *a);
static void ngx_cometa_async_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static void ngx_cometa_async_tell(ngx_cometa_async_t *a, ngx_uint_t error,
    u_char *data, size_t len);


static ngx_queue_t               ngx_cometa_asyncs;
static ngx_cometa_async_load_t   ngx_cometa_async_all;
static ngx_cometa_async_load_t  *ngx_cometa_async_apps;     /* by index */


ngx_int_t
ngx_cometa_async_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_asyncs);

    ngx_cometa_async_apps = ngx_pcalloc(cycle->pool,
                                        ngx_cometa_zone.head->apps
                                        * sizeof(ngx_cometa_async_load_t));

    return ngx_cometa_async_apps ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_cometa_async_wanted(ngx_http_request_t *r)
{
    ngx_str_t  *value;

    value = NULL;

    for ( ;; ) {
        value = ngx_cometa_http_header(r, "Prefer", 6, value);

        if (value == NULL) {
            return 0;
        }

        if (cometa_header_prefers(value->data, value->len, "respond-async")) {
            return 1;
        }
    }
}


ngx_uint_t
ngx_cometa_async_begin(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_cometa_async_call_t *what, ngx_str_t *id)
{
    uint32_t             app;
    ngx_uint_t           error;
    ngx_cometa_async_t  *a;

    app = ngx_cometa_app_hold(&ctx->key.app, 1, holds);

    if (app == NGX_COMETA_NONE) {
        return NGX_COMETA_ZONE_FULL;
    }

    a = NULL;

    if (ngx_cometa_async_room(app, what->message.len)) {
        a = ngx_cometa_async_create(r, ctx, app, what);
    }

    id->data = a ? ngx_pnalloc(r->pool, a->id_len) : NULL;

    if (id->data == NULL) {

        if (a) {
            ngx_cometa_call_cancel(a->call);
            ngx_cometa_async_free(a);

        } else {
            ngx_cometa_stats_add(app, failed[NGX_COMETA_OVERLOADED], 1);
            ngx_cometa_gauge_add(app, holds, -1);
        }

        return NGX_COMETA_OVERLOADED;
    }

    id->len = a->id_len;
    ngx_memcpy(id->data, a->id, a->id_len);

    a->starting = 1;
    ngx_cometa_call_begin(a->call);
    a->starting = 0;

    if (a->ended) {
        error = a->error;
        ngx_cometa_async_free(a);
        return error;
    }

    ctx->session = a->call->session;
    ctx->placed = (ctx->session != 0);
    ctx->remote = a->call->remote;

    return NGX_COMETA_OK;
}


static ngx_uint_t
ngx_cometa_async_room(uint32_t app, size_t len)
{
    ngx_cometa_async_load_t  *own, *all;

    all = &ngx_cometa_async_all;
    own = &ngx_cometa_async_apps[app];

    return all->calls < NGX_COMETA_ASYNC_CALLS
           && all->bytes + len <= NGX_COMETA_ASYNC_BYTES
           && own->calls < NGX_COMETA_ASYNC_CALLS / NGX_COMETA_ASYNC_SHARE
           && own->bytes + len
              <= NGX_COMETA_ASYNC_BYTES / NGX_COMETA_ASYNC_SHARE;
}


/* NULL: no memory. */

static ngx_cometa_async_t *
ngx_cometa_async_create(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    uint32_t app, ngx_cometa_async_call_t *what)
{
    u_char                 *p;
    ngx_cometa_call_t      *call;
    ngx_cometa_async_t     *a;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    a = ngx_alloc(sizeof(ngx_cometa_async_t) + ctx->key.app.len
                  + ctx->key.device.len + what->message.len,
                  r->connection->log);
    if (a == NULL) {
        return NULL;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        ngx_free(a);
        return NULL;
    }

    ngx_memzero(a, sizeof(ngx_cometa_async_t));
    ngx_cometa_magic_set(a, NGX_COMETA_ASYNC_MAGIC);

    a->call = call;
    a->webhook = lcf->replies;
    a->app = app;
    a->len = what->message.len;

    ngx_cometa_async_name(a);

    p = (u_char *) (a + 1);

    call->key.hash = ctx->key.hash;
    call->key.app.data = p;
    call->key.app.len = ctx->key.app.len;
    p = ngx_cpymem(p, ctx->key.app.data, ctx->key.app.len);

    call->key.device.data = p;
    call->key.device.len = ctx->key.device.len;
    p = ngx_cpymem(p, ctx->key.device.data, ctx->key.device.len);

    call->message.data = p;
    call->message.len = what->message.len;
    ngx_memcpy(p, what->message.data, what->message.len);

    call->timeout = what->timeout;
    call->owe = lcf->send_timeout;
    call->wait = what->wait;
    call->queue = lcf->queue;
    call->handler = ngx_cometa_async_done;
    call->data = a;
    call->debug = ngx_cometa_traced(r->connection);

    ngx_queue_insert_tail(&ngx_cometa_asyncs, &a->link);

    ngx_cometa_async_all.calls++;
    ngx_cometa_async_all.bytes += a->len;
    ngx_cometa_async_apps[app].calls++;
    ngx_cometa_async_apps[app].bytes += a->len;

    return a;
}


/* No two calls have the same, on all workers and over restarts. */

static void
ngx_cometa_async_name(ngx_cometa_async_t *a)
{
    uint64_t     us;
    ngx_time_t  *now;

    static uint64_t  last;

    now = ngx_timeofday();
    us = ((uint64_t) now->sec * 1000 + now->msec) * 1000;

    last = ngx_max(last + 1, us);

    a->id_len = ngx_sprintf(a->id, "%xL-%xD", last, ngx_cometa_zone.slot)
                - a->id;
}


static void
ngx_cometa_async_free(ngx_cometa_async_t *a)
{
    ngx_queue_remove(&a->link);

    ngx_cometa_async_all.calls--;
    ngx_cometa_async_all.bytes -= a->len;
    ngx_cometa_async_apps[a->app].calls--;
    ngx_cometa_async_apps[a->app].bytes -= a->len;

    ngx_cometa_magic_clear(a);

    /* last, for it keeps the place of the application */

    ngx_cometa_gauge_add(a->app, holds, -1);

    ngx_free(a);
}


static void
ngx_cometa_async_done(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_cometa_async_t  *a;

    a = call->data;

    ngx_cometa_magic_check(a, NGX_COMETA_ASYNC_MAGIC);
    ngx_cometa_expect(a->call == call);

    if (a->starting && error != NGX_COMETA_OK) {
        a->ended = 1;
        a->error = error;
        return;
    }

    ngx_cometa_async_tell(a, error, data, len);

    if (a->starting) {
        a->ended = 1;
        return;
    }

    ngx_cometa_async_free(a);
}


/* To WebSockets and channels on all workers, and to the webhook. */

static void
ngx_cometa_async_tell(ngx_cometa_async_t *a, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_cometa_key_t        *key;
    ngx_cometa_news_t        news;
    ngx_cometa_notice_t      notice;
    ngx_cometa_mail_head_t   from;

    key = &a->call->key;

    ngx_memzero(&from, sizeof(ngx_cometa_mail_head_t));
    ngx_memzero(&notice, sizeof(ngx_cometa_notice_t));

    from.app = a->app;
    from.session = a->call->session;

    notice.kind = NGX_COMETA_EVENT_REPLY;
    notice.device = key->device;
    notice.extra.data = a->id;
    notice.extra.len = a->id_len;

    if (error != NGX_COMETA_OK) {
        notice.word = ngx_cometa_errors[error].word;

    } else {
        notice.data.data = data;
        notice.data.len = len;
    }

    ngx_cometa_mail_event(key->hash, &from, &notice);

    if (a->webhook == NULL) {
        return;
    }

    ngx_memzero(&news, sizeof(ngx_cometa_news_t));

    news.event = NGX_COMETA_EVENT_REPLY;
    news.call = notice.extra;
    news.word = error ? &ngx_cometa_errors[error].word : NULL;
    news.data = notice.data.data;
    news.len = notice.data.len;

    ngx_cometa_webhook_push_absent(a->webhook, key, a->app, from.session,
                                   &news);
}


ngx_uint_t
ngx_cometa_async_count(void)
{
    return ngx_cometa_async_all.calls;
}


void
ngx_cometa_async_give_up(ngx_uint_t all)
{
    ngx_queue_t         *q, *next;
    ngx_cometa_async_t  *a;

    if (ngx_cometa_async_all.calls == 0) {
        return;
    }

    for (q = ngx_queue_head(&ngx_cometa_asyncs);
         q != ngx_queue_sentinel(&ngx_cometa_asyncs);
         q = next)
    {
        next = ngx_queue_next(q);
        a = ngx_queue_data(q, ngx_cometa_async_t, link);

        if (a->call->state == NGX_COMETA_CALL_OFFLINE) {
            ngx_cometa_call_end(a->call, NGX_COMETA_DEVICE_OFFLINE, NULL, 0);

        } else if (all) {
            ngx_cometa_call_end(a->call, NGX_COMETA_WORKER_LOST, NULL, 0);
        }
    }
}
