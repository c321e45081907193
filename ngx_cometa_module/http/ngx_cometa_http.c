
/*
 * What the handlers have in common. Everything here lives in the request and
 * its pool.
 */

#include "ngx_cometa_http.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_zone.h"
#include "cometa_header.h"

#include <openssl/crypto.h>


static ngx_int_t ngx_cometa_http_id(ngx_http_request_t *r,
    ngx_http_complex_value_t *value, ngx_str_t *id);
static ngx_uint_t ngx_cometa_http_error_page(ngx_http_request_t *r,
    ngx_int_t status);
static ngx_int_t ngx_cometa_http_error_headers(ngx_http_request_t *r,
    ngx_uint_t error);
static ngx_int_t ngx_cometa_http_upgrade_headers(ngx_http_request_t *r);


/* The characters of an id: A-Z a-z 0-9 . _ ~ : @ + - */

static uint32_t  ngx_cometa_id_chars[] = {
    0x00000000,
    0x07ff6800, /* 0000 0111 1111 1111  0110 1000 0000 0000 */
    0x87ffffff, /* 1000 0111 1111 1111  1111 1111 1111 1111 */
    0x47fffffe, /* 0100 0111 1111 1111  1111 1111 1111 1110 */
    0x00000000,
    0x00000000,
    0x00000000,
    0x00000000
};


ngx_cometa_ctx_t *
ngx_cometa_http_ctx(ngx_http_request_t *r)
{
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_cometa_ctx_t));
        if (ctx == NULL) {
            return NULL;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_cometa_module);
    }

    return ctx;
}


ngx_uint_t
ngx_cometa_http_key(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t device)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (ngx_cometa_http_id(r, lcf->application, &ctx->key.app) != NGX_OK) {
        ngx_str_null(&ctx->key.app);
        return NGX_COMETA_INVALID_APPLICATION;
    }

    if (!device) {
        ngx_cometa_key_init(&ctx->key);
        return NGX_COMETA_OK;
    }

    if (ngx_cometa_http_device(r, ctx) != NGX_COMETA_OK) {
        return NGX_COMETA_INVALID_DEVICE;
    }

    ngx_cometa_key_init(&ctx->key);

    return NGX_COMETA_OK;
}


ngx_uint_t
ngx_cometa_http_device(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx)
{
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (ngx_cometa_http_id(r, lcf->device, &ctx->key.device) != NGX_OK) {
        ngx_str_null(&ctx->key.device);
        return NGX_COMETA_INVALID_DEVICE;
    }

    return NGX_COMETA_OK;
}


static ngx_int_t
ngx_cometa_http_id(ngx_http_request_t *r, ngx_http_complex_value_t *value,
    ngx_str_t *id)
{
    if (value == NULL || ngx_http_complex_value(r, value, id) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_cometa_http_id_valid(id) ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_cometa_http_id_valid(ngx_str_t *id)
{
    u_char      ch;
    ngx_uint_t  i;

    if (id->len == 0 || id->len > NGX_COMETA_ID_MAX) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if (!(ngx_cometa_id_chars[ch >> 5] & (1U << (ch & 0x1f)))) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_cometa_http_authorize(ngx_http_request_t *r)
{
    ngx_str_t               secret;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (lcf->guarded) {
        return 1;
    }

    if (lcf->secret == NULL) {
        return 0;
    }

    if (ngx_http_complex_value(r, lcf->secret, &secret) != NGX_OK) {
        return 0;
    }

    return ngx_cometa_http_presents(r, &secret);
}


ngx_uint_t
ngx_cometa_http_admit(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t device)
{
    ngx_uint_t  error;

    error = ngx_cometa_http_key(r, ctx, device);

    if (error == NGX_COMETA_OK && !ngx_cometa_http_authorize(r)) {
        return NGX_COMETA_UNAUTHORIZED;
    }

    if (error == NGX_COMETA_OK && !ngx_cometa_zone.claimed) {
        return NGX_COMETA_OVERLOADED;
    }

    return error;
}


ngx_uint_t
ngx_cometa_http_presents(ngx_http_request_t *r, ngx_str_t *secret)
{
    size_t                  len;
    ngx_str_t              *value, token;
    const u_char           *p;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (secret->len == 0) {
        return 0;
    }

    if (lcf->token) {
        return ngx_http_complex_value(r, lcf->token, &token) == NGX_OK
               && token.len == secret->len
               && CRYPTO_memcmp(token.data, secret->data, token.len) == 0;
    }

    if (r->headers_in.authorization == NULL) {
        return 0;
    }

    value = &r->headers_in.authorization->value;

    if (cometa_header_credentials(value->data, value->len, "oauth", &p, &len)
        != COMETA_HEADER_OK
        && cometa_header_credentials(value->data, value->len, "bearer", &p,
                                     &len)
           != COMETA_HEADER_OK)
    {
        return 0;
    }

    return len == secret->len && CRYPTO_memcmp(p, secret->data, len) == 0;
}


ngx_int_t
ngx_cometa_http_body(ngx_http_request_t *r, size_t max, ngx_str_t *body)
{
    off_t         size;
    size_t        n;
    ssize_t       m;
    u_char       *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > (off_t) max) {
        return NGX_DECLINED;
    }

    b = r->request_body->bufs->buf;

    if (r->request_body->bufs->next == NULL && ngx_buf_in_memory(b)) {
        body->data = b->pos;
        body->len = size;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = size;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        n = ngx_buf_size(b);

        if (n == 0) {
            continue;       /* perhaps the last buffer, without data */
        }

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(p, b->pos, n);

        } else {
            m = ngx_read_file(b->file, p, n, b->file_pos);

            if (m != (ssize_t) n) {
                return NGX_ERROR;
            }
        }

        p += n;
    }

    return NGX_OK;
}


ngx_str_t *
ngx_cometa_http_header(ngx_http_request_t *r, const char *name, size_t len,
    ngx_str_t *prev)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (prev) {
            if (prev == &h[i].value) {
                prev = NULL;
            }

            continue;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return &h[i].value;
        }
    }
}


ngx_uint_t
ngx_cometa_http_token(ngx_http_request_t *r, const char *name, size_t len,
    const char *token)
{
    ngx_str_t  *value;

    value = NULL;

    do {
        value = ngx_cometa_http_header(r, name, len, value);

    } while (value && !cometa_header_token(value->data, value->len, token));

    return value != NULL;
}


ngx_int_t
ngx_cometa_http_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_cometa_http_error(ngx_http_request_t *r, ngx_uint_t error)
{
    u_char                 *p;
    ngx_str_t               body;
    ngx_cometa_ctx_t       *ctx;
    ngx_cometa_error_t     *e;
    ngx_cometa_loc_conf_t  *lcf;

    e = &ngx_cometa_errors[error];

    ctx = ngx_cometa_http_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->error = error;

    /* a body that does not end is left to lingering close */

    if (!ctx->lingering && ngx_http_discard_request_body(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_cometa_http_error_headers(r, error) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    if (lcf->intercept && ngx_cometa_http_error_page(r, e->status)) {
        return e->status;
    }

    /* nginx has no reason phrase for 426 */

    r->headers_out.status_line = e->line;

    p = ngx_pnalloc(r->pool, e->line.len + e->word.len + NGX_COMETA_ID_MAX
                    + sizeof("{\"msg\":\"\",\"error\":\"\","
                             "\"device_id\":\"\"}"));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;

    p = ngx_sprintf(p, "{\"msg\":\"%V\",\"error\":\"%V\"", &e->line, &e->word);

    if (ctx->key.device.len) {
        p = ngx_sprintf(p, ",\"device_id\":\"%V\"", &ctx->key.device);
    }

    *p++ = '}';
    body.len = p - body.data;

    return ngx_cometa_http_json(r, e->status, &body);
}


/* Once: while an error_page is made, its own errors are as they always are. */

static ngx_uint_t
ngx_cometa_http_error_page(ngx_http_request_t *r, ngx_int_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->error_page || r->uri_changes == 0 || clcf->error_pages == NULL) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (page[i].status == status) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_cometa_http_error_headers(ngx_http_request_t *r, ngx_uint_t error)
{
    ngx_str_t            value;
    ngx_cometa_ctx_t    *ctx;
    ngx_cometa_error_t  *e;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);
    e = &ngx_cometa_errors[error];

    if (error == NGX_COMETA_UPGRADE_REQUIRED) {
        return ngx_cometa_http_upgrade_headers(r);
    }

    if (error == NGX_COMETA_UNAUTHORIZED) {
        ngx_str_set(&value, "OAuth realm=\"cometa\"");

        return ngx_cometa_header_add(r, "WWW-Authenticate", 16, &value)
               ? NGX_OK : NGX_ERROR;
    }

    if (error == NGX_COMETA_NOT_ALLOWED) {
        if (ngx_cometa_http_allow(r, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_cometa_header_add(r, "Allow", 5, &value)
               ? NGX_OK : NGX_ERROR;
    }

    if (e->retry == 0) {
        return NGX_OK;
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui",
                            ctx->retry
                            ? ctx->retry
                            : e->retry + ngx_random() % (e->retry + 1))
                - value.data;

    return ngx_cometa_header_add(r, "Retry-After", 11, &value)
           ? NGX_OK : NGX_ERROR;
}


/*
 * The headers that RFC 9110 and RFC 6455 require with a 426. "Connection" is a
 * list: the one of nginx, keep-alive or close, stands in a line of its own.
 */

static ngx_int_t
ngx_cometa_http_upgrade_headers(ngx_http_request_t *r)
{
    ngx_str_t  protocol, option, version;

    ngx_str_set(&protocol, "websocket");
    ngx_str_set(&option, "upgrade");
    ngx_str_set(&version, "13");

    if (ngx_cometa_header_add(r, "Upgrade", 7, &protocol) == NULL
        || ngx_cometa_header_add(r, "Connection", 10, &option) == NULL
        || ngx_cometa_header_add(r, "Sec-WebSocket-Version", 21, &version)
           == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_str_t *
ngx_cometa_http_word(ngx_uint_t error)
{
    return &ngx_cometa_errors[error].word;
}


ngx_int_t
ngx_cometa_http_allow(ngx_http_request_t *r, ngx_str_t *allow)
{
    u_char                 *p;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    p = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, DELETE, "));
    if (p == NULL) {
        return NGX_ERROR;
    }

    allow->data = p;

    if (lcf->handlers & (NGX_COMETA_STATS|NGX_COMETA_WEBSOCKET)) {
        p = ngx_cpymem(p, "GET, ", 5);
    }

    if (lcf->handlers & NGX_COMETA_STATS) {
        p = ngx_cpymem(p, "HEAD, ", 6);
    }

    if (lcf->handlers & (NGX_COMETA_ATTACH|NGX_COMETA_SEND)) {
        p = ngx_cpymem(p, "POST, ", 6);
    }

    if (lcf->handlers & NGX_COMETA_DETACH) {
        p = ngx_cpymem(p, "DELETE, ", 8);
    }

    /* a location with this handler has at least one; without the last comma */

    allow->len = p - allow->data - 2;

    return NGX_OK;
}
