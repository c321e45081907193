
/*
 * Devices whose application ends their connections: one, whose owner is asked,
 * or all whose ids begin in one way. These are counted in slices, a slice for
 * each turn of the event loop; then the request is answered, and they are ended
 * at the rate of cometa_drain.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_args.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_http_call.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_kick.h"


#define NGX_COMETA_DETACH_TIMEOUT  5000         /* ms, for an answer */


typedef struct {
    ngx_event_t         event;                  /* the next slice */
    ngx_cometa_kick_t  *kick;                   /* NULL: it was started */
} ngx_cometa_detach_t;


static ngx_int_t ngx_cometa_detach_one(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_detach_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static ngx_int_t ngx_cometa_detach_answer(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_int_t ngx_cometa_detach_many(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_detach_event(ngx_event_t *ev);
static ngx_int_t ngx_cometa_detach_accepted(ngx_http_request_t *r,
    ngx_uint_t total);
static void ngx_cometa_detach_cleanup(void *data);


ngx_int_t
ngx_cometa_detach_handler(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_uint_t            error;
    ngx_cometa_subject_e  subject;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_cometa_args_subject(r, &subject) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* an application alone names no devices: that must not mean all of them */

    error = ngx_cometa_http_admit(r, ctx,
                                  subject != NGX_COMETA_SUBJECT_DEVICES);

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    return (subject == NGX_COMETA_SUBJECT_DEVICES)
           ? ngx_cometa_detach_many(r, ctx) : ngx_cometa_detach_one(r, ctx);
}


static ngx_int_t
ngx_cometa_detach_one(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    uint64_t            session;
    ngx_cometa_call_t  *call;

    if (ngx_cometa_args_session(r, &session) != NGX_OK) {
        return ngx_cometa_http_error(r, NGX_COMETA_BAD_REQUEST);
    }

    call = ngx_cometa_http_call(r, ctx, ngx_cometa_detach_done);
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call->timeout = NGX_COMETA_DETACH_TIMEOUT;
    call->query = 1;
    call->kick = 1;
    call->only = session;

    r->main->count++;

    ngx_cometa_http_start(r, ctx);

    return NGX_DONE;
}


static void
ngx_cometa_detach_done(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_int_t            rc;
    ngx_cometa_ctx_t    *ctx;
    ngx_http_request_t  *r;

    r = ngx_cometa_http_called(call, error);
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    rc = (error == NGX_COMETA_OK) ? ngx_cometa_detach_answer(r, ctx)
                                  : ngx_cometa_http_error(r, error);

    ngx_cometa_http_end(r, ctx, rc);
}


static ngx_int_t
ngx_cometa_detach_answer(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_str_t  body;

    body.data = ngx_pnalloc(r->pool, sizeof("{\"device_id\":\"\","
                                            "\"session\":\"\"}")
                                     + NGX_COMETA_ID_MAX + NGX_INT64_LEN);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data,
                           "{\"device_id\":\"%V\",\"session\":\"%uL\"}",
                           &ctx->key.device, ctx->session)
               - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_cometa_detach_many(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_str_t             prefix;
    ngx_http_cleanup_t   *cln;
    ngx_cometa_detach_t  *detach;

    if (ngx_cometa_args_prefix(r, &prefix) != NGX_OK) {
        return ngx_cometa_http_error(r, NGX_COMETA_BAD_REQUEST);
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_cometa_detach_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detach = cln->data;
    ngx_memzero(detach, sizeof(ngx_cometa_detach_t));

    detach->kick = ngx_cometa_kick_create(&ctx->key.app, &prefix);

    if (detach->kick == NULL) {
        return ngx_cometa_http_error(r, NGX_COMETA_OVERLOADED);
    }

    cln->handler = ngx_cometa_detach_cleanup;

    detach->event.handler = ngx_cometa_detach_event;
    detach->event.data = r;
    detach->event.log = r->connection->log;

    ctx->detach = detach;

    r->main->count++;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (ngx_cometa_http_watch(r) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_DONE;
    }

    ngx_post_event(&detach->event, &ngx_posted_next_events);

    return NGX_DONE;
}


static void
ngx_cometa_detach_event(ngx_event_t *ev)
{
    ngx_int_t             rc;
    ngx_uint_t            total;
    ngx_connection_t     *c;
    ngx_cometa_ctx_t     *ctx;
    ngx_http_request_t   *r;
    ngx_cometa_detach_t  *detach;

    r = ev->data;
    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    detach = ctx->detach;

    if (ngx_cometa_kick_count(detach->kick, &total) == NGX_AGAIN) {
        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    ngx_cometa_kick_start(detach->kick);
    detach->kick = NULL;

    rc = ngx_cometa_detach_accepted(r, total);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_cometa_detach_accepted(ngx_http_request_t *r, ngx_uint_t total)
{
    ngx_str_t  body;

    body.data = ngx_pnalloc(r->pool, sizeof("{\"num_devices\":}")
                                     + NGX_INT_T_LEN);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data, "{\"num_devices\":%ui}", total)
               - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_ACCEPTED, &body);
}


/* The client has gone before they were counted: nothing is ended. */

static void
ngx_cometa_detach_cleanup(void *data)
{
    ngx_cometa_detach_t  *detach = data;

    if (detach->event.posted) {
        ngx_delete_posted_event(&detach->event);
    }

    if (detach->kick) {
        ngx_cometa_kick_free(detach->kick);
        detach->kick = NULL;
    }
}
