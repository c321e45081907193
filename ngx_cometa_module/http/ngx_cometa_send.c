
/*
 * The send request: reads the message, makes a call of it, and answers with
 * the reply of the device.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_async.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handler.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_http_call.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_header.h"


static ngx_int_t ngx_cometa_send_refuse(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_uint_t error);
static void ngx_cometa_send_body(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_send_call(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *message);
static ngx_int_t ngx_cometa_send_async(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *message, ngx_msec_t timeout);
static ngx_msec_t ngx_cometa_send_limit(ngx_http_request_t *r,
    ngx_cometa_loc_conf_t *lcf);
static ngx_msec_t ngx_cometa_send_wait(ngx_http_request_t *r,
    ngx_cometa_loc_conf_t *lcf);
static void ngx_cometa_send_done(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static ngx_int_t ngx_cometa_send_reply(ngx_http_request_t *r, u_char *data,
    size_t len);


ngx_int_t
ngx_cometa_send_handler(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_int_t               rc;
    ngx_uint_t              error;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    error = ngx_cometa_http_admit(r, ctx, 1);

    if (error == NGX_COMETA_OK
        && r->headers_in.content_length_n > (off_t) lcf->max_message)
    {
        error = NGX_COMETA_MESSAGE_TOO_LARGE;
    }

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_send_refuse(r, ctx, error);
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_cometa_send_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/*
 * Refuses a call that has not begun. It is counted only if its application is
 * known, so that an invented name gets no place in the zone.
 */

static ngx_int_t
ngx_cometa_send_refuse(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t error)
{
    uint32_t  app;

    if (ngx_cometa_zone.claimed && ctx->key.app.len) {
        app = ngx_cometa_app(&ctx->key.app, 0);

        if (app != NGX_COMETA_NONE) {
            ngx_cometa_stats_add(app, failed[error], 1);
        }
    }

    return ngx_cometa_http_error(r, error);
}


static void
ngx_cometa_send_body(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_str_t               message;
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    rc = ngx_cometa_http_body(r, lcf->max_message, &message);

    if (rc == NGX_DECLINED) {
        rc = ngx_cometa_send_refuse(r, ctx, NGX_COMETA_MESSAGE_TOO_LARGE);

    } else if (rc == NGX_ERROR) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else if (message.len == 0) {
        rc = ngx_cometa_send_refuse(r, ctx, NGX_COMETA_EMPTY_MESSAGE);

    } else {
        rc = ngx_cometa_send_call(r, ctx, &message);
    }

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_DONE: the end of the call finalizes the request. */

static ngx_int_t
ngx_cometa_send_call(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *message)
{
    ngx_time_t             *tp;
    ngx_msec_int_t          spent, limit;
    ngx_cometa_call_t      *call;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    limit = ngx_cometa_send_limit(r, lcf);

    /*
     * The deadline counts from the begin of the request, not from the end of
     * its body. With a limit of 0 seconds no time is left.
     */

    tp = ngx_timeofday();
    spent = (tp->sec - r->start_sec) * 1000
            + (ngx_msec_int_t) (tp->msec - r->start_msec);
    spent = ngx_max(spent, 0);

    if (spent >= limit) {
        return ngx_cometa_send_refuse(r, ctx, NGX_COMETA_DEVICE_TIMEOUT);
    }

    if (ngx_cometa_async_wanted(r)) {
        return ngx_cometa_send_async(r, ctx, message, limit - spent);
    }

    if (ngx_cometa_http_watch(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call = ngx_cometa_http_call(r, ctx, ngx_cometa_send_done);
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call->message = *message;
    call->timeout = limit - spent;
    call->owe = lcf->send_timeout;
    call->wait = ngx_cometa_send_wait(r, lcf);
    call->queue = lcf->queue;

    ngx_cometa_http_start(r, ctx);

    return NGX_DONE;
}


/* The answer to a call that nobody waits for: its id, or why there is none. */

static ngx_int_t
ngx_cometa_send_async(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *message, ngx_msec_t timeout)
{
    ngx_str_t                 id, body, applied;
    ngx_uint_t                error;
    ngx_cometa_loc_conf_t    *lcf;
    ngx_cometa_async_call_t   what;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    what.message = *message;
    what.timeout = timeout;
    what.wait = ngx_cometa_send_wait(r, lcf);

    error = ngx_cometa_async_begin(r, ctx, &what, &id);

    if (error != NGX_COMETA_OK) {
        return ngx_cometa_http_error(r, error);
    }

    ngx_str_set(&applied, "respond-async");

    if (ngx_cometa_header_add(r, "Preference-Applied", 18, &applied) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = ngx_pnalloc(r->pool, NGX_COMETA_ID_MAX + id.len
                            + sizeof("{\"device_id\":\"\","
                                     "\"call_id\":\"\"}"));
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_sprintf(body.data,
                           "{\"device_id\":\"%V\",\"call_id\":\"%V\"}",
                           &ctx->key.device, &id)
               - body.data;

    return ngx_cometa_http_json(r, NGX_HTTP_ACCEPTED, &body);
}


/*
 * The deadline of the call, ms: that of "Prefer: wait=N" (RFC 7240) or of the
 * configuration. A preference that is malformed is ignored.
 */

static ngx_msec_t
ngx_cometa_send_limit(ngx_http_request_t *r, ngx_cometa_loc_conf_t *lcf)
{
    int         rc;
    uint32_t    n;
    ngx_str_t  *value;

    value = NULL;

    do {
        value = ngx_cometa_http_header(r, "Prefer", 6, value);
        if (value == NULL) {
            return lcf->send_timeout;
        }

        rc = cometa_header_wait(value->data, value->len, &n);

    } while (rc == COMETA_HEADER_NONE);

    if (rc != COMETA_HEADER_OK) {
        return lcf->send_timeout;
    }

    return ngx_min((ngx_msec_t) n * 1000, lcf->send_timeout_max);
}


/* How long the call waits for a device that is offline, ms. */

static ngx_msec_t
ngx_cometa_send_wait(ngx_http_request_t *r, ngx_cometa_loc_conf_t *lcf)
{
    uint32_t    n;
    ngx_str_t  *value;

    value = ngx_cometa_http_header(r, "Cometa-Wait", 11, NULL);

    if (value == NULL
        || cometa_header_number(value->data, value->len, &n)
           != COMETA_HEADER_OK)
    {
        return lcf->send_wait;
    }

    return (ngx_msec_t) n * 1000;
}


static void
ngx_cometa_send_done(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_int_t            rc;
    ngx_cometa_ctx_t    *ctx;
    ngx_http_request_t  *r;

    r = ngx_cometa_http_called(call, error);
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    if (error == NGX_COMETA_OK) {
        rc = ngx_cometa_send_reply(r, data, len);

    } else {
        rc = ngx_cometa_http_error(r, error);
    }

    ngx_cometa_http_end(r, ctx, rc);
}


static ngx_int_t
ngx_cometa_send_reply(ngx_http_request_t *r, u_char *data, size_t len)
{
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = len;
    r->headers_out.content_type = clcf->default_type;
    r->headers_out.content_type_len = clcf->default_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    if (len == 0) {
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    /* a copy: the reply is valid only until this returns */

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->pos, data, len);
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}
