
/*
 * A call on behalf of a request. It holds the request by a reference, and its
 * end may come before its start has returned.
 */

#include "ngx_cometa_http_call.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call_table.h"


static void ngx_cometa_http_call_cleanup(void *data);


ngx_int_t
ngx_cometa_http_watch(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

    r->read_event_handler = ngx_http_test_reading;

    /* edge-triggered: data that came with the request makes no new event */

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);
        return NGX_OK;
    }

    return ngx_handle_read_event(rev, 0);
}


ngx_cometa_call_t *
ngx_cometa_http_call(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_cometa_call_pt handler)
{
    ngx_cometa_call_t   *call;
    ngx_http_cleanup_t  *cln;

    ngx_cometa_expect(ctx->call == NULL);

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NULL;
    }

    call = ngx_cometa_call_create();
    if (call == NULL) {
        return NULL;
    }

    cln->handler = ngx_cometa_http_call_cleanup;
    cln->data = ctx;

    call->key = ctx->key;
    call->handler = handler;
    call->data = r;
    call->debug = ngx_cometa_traced(r->connection);

    ctx->call = call;

    return call;
}


void
ngx_cometa_http_start(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    r->main->count++;
    r->write_event_handler = ngx_http_request_empty_handler;

    ctx->starting = 1;
    ngx_cometa_call_begin(ctx->call);
    ctx->starting = 0;

    ngx_http_finalize_request(r, NGX_DONE);
}


ngx_http_request_t *
ngx_cometa_http_called(ngx_cometa_call_t *call, ngx_uint_t error)
{
    ngx_cometa_ctx_t    *ctx;
    ngx_http_request_t  *r;

    r = call->data;

    ngx_cometa_expect(r->signature == NGX_HTTP_MODULE);

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ngx_cometa_expect(ctx->call == call);

    ctx->call = NULL;
    ctx->session = call->session;
    ctx->placed = (call->session != 0);
    ctx->remote = call->remote;
    ctx->latency = call->latency;
    ctx->called = (error == NGX_COMETA_OK && !call->query);

    return r;
}


void
ngx_cometa_http_end(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_uint_t         starting;
    ngx_connection_t  *c;

    c = r->connection;
    starting = ctx->starting;

    ngx_http_finalize_request(r, rc);

    /* otherwise nginx does so further up the stack */

    if (!starting) {
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_cometa_http_call_cleanup(void *data)
{
    ngx_cometa_ctx_t  *ctx = data;

    if (ctx->call) {
        ngx_cometa_call_cancel(ctx->call);
        ctx->call = NULL;
    }
}
