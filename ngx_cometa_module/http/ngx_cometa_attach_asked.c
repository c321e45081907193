
/*
 * The headers of an attach by which a device asks for something. One that is
 * malformed is ignored, as if it were not there: the device sees that it is not
 * answered.
 */

#include "ngx_cometa_attach_asked.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "cometa_header.h"


static void ngx_cometa_asked_heartbeat(ngx_http_request_t *r,
    ngx_cometa_terms_t *terms);
static void ngx_cometa_asked_pipeline_header(ngx_http_request_t *r,
    ngx_cometa_terms_t *terms);
static ngx_uint_t ngx_cometa_asked_word(ngx_http_request_t *r,
    const char *name, size_t len, const char *word);
static ngx_int_t ngx_cometa_granted(ngx_http_request_t *r, const char *name,
    size_t len, const char *format, ngx_uint_t n);


ngx_int_t
ngx_cometa_attach_asked(ngx_http_request_t *r, ngx_cometa_device_t *dev)
{
    ngx_cometa_ctx_t    *ctx;
    ngx_cometa_terms_t   terms;

    ngx_memzero(&terms, sizeof(ngx_cometa_terms_t));

    ngx_cometa_asked_heartbeat(r, &terms);
    ngx_cometa_asked_pipeline_header(r, &terms);

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    terms.frames = (ctx->nonce != NULL);
    terms.text = ngx_cometa_asked_word(r, "Cometa-Frames", 13, "text");
    terms.requests = ngx_cometa_asked_word(r, "Cometa-Requests", 15, "on");

    return ngx_cometa_asked_grant(dev, &terms);
}


static void
ngx_cometa_asked_heartbeat(ngx_http_request_t *r, ngx_cometa_terms_t *terms)
{
    int         echo;
    uint32_t    n;
    ngx_str_t  *value;

    value = ngx_cometa_http_header(r, "Cometa-Heartbeat", 16, NULL);

    if (value && cometa_header_interval(value->data, value->len, &n, &echo)
                 == COMETA_HEADER_OK
        && n)
    {
        terms->heartbeat = n;
        terms->echo = echo;
    }
}


static void
ngx_cometa_asked_pipeline_header(ngx_http_request_t *r,
    ngx_cometa_terms_t *terms)
{
    uint32_t    n;
    ngx_str_t  *value;

    value = ngx_cometa_http_header(r, "Cometa-Pipeline", 15, NULL);

    if (value && cometa_header_number(value->data, value->len, &n)
                 == COMETA_HEADER_OK)
    {
        terms->pipeline = ngx_min(n, NGX_COMETA_PIPELINE_MAX);
    }
}


static ngx_uint_t
ngx_cometa_asked_word(ngx_http_request_t *r, const char *name, size_t len,
    const char *word)
{
    ngx_str_t  *value;

    value = ngx_cometa_http_header(r, name, len, NULL);

    return value && value->len == ngx_strlen(word)
           && ngx_strncasecmp(value->data, (u_char *) word, value->len) == 0;
}


ngx_int_t
ngx_cometa_attach_granted(ngx_http_request_t *r, ngx_cometa_device_t *dev)
{
    ngx_cometa_terms_t  *terms;

    if (dev->asked == NULL) {
        return NGX_OK;
    }

    terms = &dev->asked->terms;

    if (terms->heartbeat
        && ngx_cometa_granted(r, "Cometa-Heartbeat", 16,
                              terms->echo ? "%ui;echo" : "%ui",
                              terms->heartbeat)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (terms->pipeline
        && ngx_cometa_granted(r, "Cometa-Pipeline", 15, "%ui",
                              terms->pipeline)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (terms->text
        && ngx_cometa_granted(r, "Cometa-Frames", 13, "text", 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (terms->requests
        && ngx_cometa_granted(r, "Cometa-Requests", 15, "on", 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* `format` is of one number, or of none. */

static ngx_int_t
ngx_cometa_granted(ngx_http_request_t *r, const char *name, size_t len,
    const char *format, ngx_uint_t n)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, ngx_strlen(format) + NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, format, n) - value.data;

    return ngx_cometa_header_add(r, name, len, &value) ? NGX_OK : NGX_ERROR;
}
