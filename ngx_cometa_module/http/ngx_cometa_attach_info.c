
/*
 * The info of a device. The body of an attach is read without nginx's
 * buffering: however much a device sends, no more than NGX_COMETA_INFO_MAX
 * bytes are kept.
 */

#include "ngx_cometa_attach_info.h"
#include "ngx_cometa.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_state.h"


#define NGX_COMETA_INFO_READS  64       /* of a body, in one turn */


static void ngx_cometa_info_body(ngx_http_request_t *r);
static void ngx_cometa_info_read(ngx_http_request_t *r);
static ngx_int_t ngx_cometa_info_take(ngx_http_request_t *r);


ngx_int_t
ngx_cometa_attach_info_read(ngx_http_request_t *r, ngx_cometa_info_pt handler)
{
    ngx_int_t          rc;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ctx->info_read = handler;
    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_cometa_info_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_cometa_info_body(ngx_http_request_t *r)
{
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    if (ngx_cometa_info_take(r) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (r->reading_body) {
        r->read_event_handler = ngx_cometa_info_read;
        ngx_cometa_info_read(r);
        return;
    }

    ngx_http_finalize_request(r, ctx->info_read(r));
}


static void
ngx_cometa_info_read(ngx_http_request_t *r)
{
    ngx_int_t          rc, taken;
    ngx_uint_t         n;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    for (n = 0; r->reading_body; n++) {

        if (n == NGX_COMETA_INFO_READS) {
            ngx_post_event(r->connection->read, &ngx_posted_next_events);
            return;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        taken = ngx_cometa_info_take(r);

        if (taken == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        /* nginx stops reading at a full buffer, and then no event would come */

        if (rc == NGX_AGAIN && taken == NGX_DECLINED) {
            return;
        }
    }

    ngx_http_finalize_request(r, ctx->info_read(r));
}


/*
 * Adds what was read of the body to the info, as far as there is room, and
 * gives the buffers back. NGX_DECLINED: nothing was read.
 */

static ngx_int_t
ngx_cometa_info_take(ngx_http_request_t *r)
{
    size_t             n;
    ngx_buf_t         *b;
    ngx_chain_t       *cl;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_DECLINED;
    }

    if (ctx->info.data == NULL) {
        ctx->info.data = ngx_pnalloc(r->pool, NGX_COMETA_INFO_MAX);
        if (ctx->info.data == NULL) {
            return NGX_ERROR;
        }
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        n = ngx_min(NGX_COMETA_INFO_MAX - ctx->info.len,
                    (size_t) (b->last - b->pos));

        ngx_memcpy(ctx->info.data + ctx->info.len, b->pos, n);

        ctx->info.len += n;
        b->pos = b->last;
    }

    r->request_body->bufs = NULL;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_attach_info(ngx_http_request_t *r, ngx_cometa_device_t *dev)
{
    ngx_str_t          info, *value;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ngx_str_null(&info);

    if (dev->state.sdk) {
        info = ctx->info;

    } else {
        value = ngx_cometa_http_header(r, "Cometa-Info", 11, NULL);

        if (value == NULL && r->headers_in.user_agent) {
            value = &r->headers_in.user_agent->value;
        }

        if (value) {
            info = *value;
        }
    }

    return ngx_cometa_device_info(dev, &info);
}
