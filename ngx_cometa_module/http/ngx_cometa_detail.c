
/*
 * Figures of many devices. Questions stand in a window, in the order of the
 * ids: device number i has the place i % NGX_COMETA_DETAIL_WINDOW from the
 * moment when its owner is asked until its answer is taken.
 */

#include "ngx_cometa_detail.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_DETAIL_WINDOW   32       /* devices asked for at a time */
#define NGX_COMETA_DETAIL_TIMEOUT  5000     /* ms, for an answer ... */
#define NGX_COMETA_DETAIL_SHORT    100      /* ... when one did not come */


/* A question: under way while it has a call; its answer may be empty. */

typedef struct {
    ngx_cometa_call_t     *call;
    size_t                 len;
    u_char                 json[NGX_COMETA_DEVICE_JSON];
} ngx_cometa_question_t;


struct ngx_cometa_detail_s {
    ngx_str_t              app;
    ngx_cometa_id_t       *ids;
    ngx_uint_t             n;
    ngx_uint_t             asked;           /* of them */
    ngx_uint_t             taken;
    ngx_uint_t             written;         /* of those that were taken */
    ngx_msec_t             timeout;
    ngx_event_t           *event;
    ngx_cometa_question_t  window[NGX_COMETA_DETAIL_WINDOW];
};


static void ngx_cometa_detail_ask(ngx_cometa_detail_t *detail);
static void ngx_cometa_detail_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static size_t ngx_cometa_detail_error(u_char *p, ngx_str_t *device,
    ngx_uint_t error);


ngx_cometa_detail_t *
ngx_cometa_detail_create(ngx_pool_t *pool, ngx_str_t *app,
    ngx_cometa_id_t *ids, ngx_uint_t n, ngx_event_t *event)
{
    ngx_uint_t            i;
    ngx_cometa_detail_t  *detail;

    detail = ngx_palloc(pool, sizeof(ngx_cometa_detail_t));
    if (detail == NULL) {
        return NULL;
    }

    ngx_memzero(detail, offsetof(ngx_cometa_detail_t, window));

    detail->app = *app;
    detail->ids = ids;
    detail->n = n;
    detail->timeout = NGX_COMETA_DETAIL_TIMEOUT;
    detail->event = event;

    for (i = 0; i < NGX_COMETA_DETAIL_WINDOW; i++) {
        detail->window[i].call = NULL;
    }

    return detail;
}


ngx_int_t
ngx_cometa_detail_take(ngx_cometa_detail_t *detail, u_char **p, u_char *last)
{
    ngx_cometa_question_t  *q;

    while (detail->taken < detail->asked) {
        q = &detail->window[detail->taken % NGX_COMETA_DETAIL_WINDOW];

        if (q->call || (size_t) (last - *p) < NGX_COMETA_DETAIL_ONE) {
            break;
        }

        detail->taken++;

        if (q->len == 0) {
            continue;
        }

        if (detail->written++) {
            *(*p)++ = ',';
        }

        *p = ngx_cpymem(*p, q->json, q->len);
    }

    /* at the end: then answers come, and post the event, until all are taken */

    ngx_cometa_detail_ask(detail);

    return (detail->taken == detail->n) ? NGX_OK : NGX_AGAIN;
}


/* Fills the window. A device of this worker answers before it returns. */

static void
ngx_cometa_detail_ask(ngx_cometa_detail_t *detail)
{
    ngx_cometa_id_t        *id;
    ngx_cometa_call_t      *call;
    ngx_cometa_question_t  *q;

    while (detail->asked < detail->n
           && detail->asked - detail->taken < NGX_COMETA_DETAIL_WINDOW)
    {
        q = &detail->window[detail->asked % NGX_COMETA_DETAIL_WINDOW];
        id = &detail->ids[detail->asked];

        call = ngx_cometa_call_create();

        if (call == NULL) {
            /* asked again when others have been answered */
            ngx_post_event(detail->event, &ngx_posted_next_events);
            return;
        }

        detail->asked++;

        q->call = call;
        q->len = 0;

        call->key.app = detail->app;
        call->key.device.data = id->data;
        call->key.device.len = id->len;
        ngx_cometa_key_init(&call->key);

        call->timeout = detail->timeout;
        call->query = 1;
        call->handler = ngx_cometa_detail_done;
        call->data = detail;

        ngx_cometa_call_begin(call);
    }
}


static void
ngx_cometa_detail_done(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_uint_t              i;
    ngx_cometa_id_t        *id;
    ngx_cometa_detail_t    *detail;
    ngx_cometa_question_t  *q;

    detail = call->data;

    id = (ngx_cometa_id_t *) (call->key.device.data
                              - offsetof(ngx_cometa_id_t, data));
    i = id - detail->ids;

    q = &detail->window[i % NGX_COMETA_DETAIL_WINDOW];
    q->call = NULL;

    ngx_post_event(detail->event, &ngx_posted_next_events);

    if (error == NGX_COMETA_OK && len <= NGX_COMETA_DEVICE_JSON) {
        q->len = len;
        ngx_memcpy(q->json, data, len);
        return;
    }

    /* its connection has ended, or its worker */

    if (error == NGX_COMETA_DEVICE_OFFLINE || error == NGX_COMETA_WORKER_LOST)
    {
        return;
    }

    /* a worker that does not answer must not hold up each of its devices */

    if (error == NGX_COMETA_DEVICE_TIMEOUT) {
        detail->timeout = NGX_COMETA_DETAIL_SHORT;
    }

    q->len = ngx_cometa_detail_error(q->json, &call->key.device, error);
}


static size_t
ngx_cometa_detail_error(u_char *p, ngx_str_t *device, ngx_uint_t error)
{
    return ngx_sprintf(p, "{\"device_id\":\"%V\",\"error\":\"%V\"}", device,
                       &ngx_cometa_errors[error].word)
           - p;
}


void
ngx_cometa_detail_cancel(ngx_cometa_detail_t *detail)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_DETAIL_WINDOW; i++) {
        if (detail->window[i].call) {
            ngx_cometa_call_cancel(detail->window[i].call);
            detail->window[i].call = NULL;
        }
    }
}
