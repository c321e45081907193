
/*
 * The answer to an attach. It has no state but that of the request.
 */

#include "ngx_cometa_attach_answer.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_adopt.h"
#include "ngx_cometa_attach_asked.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_handshake.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "cometa_ws.h"


static ngx_int_t ngx_cometa_attach_chunks(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_attach_frames(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static ngx_buf_t *ngx_cometa_attach_first(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx);
static void ngx_cometa_attach_adopted(ngx_connection_t *c,
    ngx_cometa_adoptee_t *adoptee, u_char *rest, size_t len);


ngx_int_t
ngx_cometa_attach_answer(ngx_http_request_t *r)
{
    ngx_int_t          rc;
    ngx_chain_t        out;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    out.buf = ngx_cometa_attach_first(r, ctx);
    out.next = NULL;

    if (out.buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ctx->nonce ? ngx_cometa_attach_frames(r, ctx)
                    : ngx_cometa_attach_chunks(r);

    if (rc != NGX_OK
        || ngx_cometa_attach_granted(r, ctx->adoptee.device) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* it is never compressed */

#if (NGX_HTTP_GZIP)
    r->gzip_tested = 1;
    r->gzip_ok = 0;
#endif

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    if (!r->chunked && ctx->nonce == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "cometa_attach needs \"chunked_transfer_encoding on\"");
        return NGX_ERROR;
    }

    rc = ngx_http_output_filter(r, &out);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_cometa_adopt(r, ngx_cometa_attach_adopted);

    return NGX_DONE;
}


/* The answer has "Connection: keep-alive". */

static ngx_int_t
ngx_cometa_attach_chunks(ngx_http_request_t *r)
{
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    r->keepalive = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_attach_frames(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_str_t  protocol;

    if (ngx_cometa_http_token(r, "Sec-WebSocket-Protocol", 22,
                              NGX_COMETA_SUBPROTOCOL))
    {
        ngx_str_set(&protocol, NGX_COMETA_SUBPROTOCOL);

        if (ngx_cometa_header_add(r, "Sec-WebSocket-Protocol", 22, &protocol)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    return ngx_cometa_handshake_answer(r, ctx->nonce);
}


/* The first message: as a chunk nginx makes of it, or as a frame. */

static ngx_buf_t *
ngx_cometa_attach_first(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    u_char             *p;
    u_char              text[sizeof("{\"msg\":\"200\",\"heartbeat\":,"
                                    "\"timestamp\":}") + 2 * NGX_TIME_T_LEN];
    ngx_buf_t          *b;
    ngx_cometa_life_t  *life;

    b = ngx_create_temp_buf(r->pool, COMETA_WS_HEAD_MAX + sizeof(text));
    if (b == NULL) {
        return NULL;
    }

    life = ngx_cometa_device_life(ctx->adoptee.device);

    p = ngx_sprintf(text, "{\"msg\":\"200\",\"heartbeat\":%T,"
                    "\"timestamp\":%T}",
                    (time_t) (life->heartbeat / 1000), ngx_time());

    if (ctx->nonce) {
        b->last += cometa_ws_head(b->last, COMETA_WS_TEXT, p - text);
    }

    b->last = ngx_cpymem(b->last, text, p - text);
    b->flush = 1;
    b->last_in_chain = 1;

    return b;
}


static void
ngx_cometa_attach_adopted(ngx_connection_t *c, ngx_cometa_adoptee_t *adoptee,
    u_char *rest, size_t len)
{
    (void) ngx_tcp_nodelay(c);

    ngx_cometa_device_open(adoptee->device, c, rest, len);
}
