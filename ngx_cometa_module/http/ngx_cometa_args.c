
/*
 * Subject and arguments of requests about devices. No state.
 */

#include "ngx_cometa_args.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"
#include "cometa_header.h"


#define NGX_COMETA_SESSION_LEN  18      /* digits, that fit 64 bits */


/* What is right, in words that need no escapes in JSON. */
#define ngx_cometa_args_hint(ctx, text)                                       \
    ngx_str_set(&(ctx)->more, "\"hint\":\"" text "\"")


/* A device "*", or no device and a URI that ends in /devices. */

ngx_int_t
ngx_cometa_args_subject(ngx_http_request_t *r, ngx_cometa_subject_e *subject)
{
    ngx_str_t               device;
    ngx_cometa_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_cometa_module);

    ngx_str_null(&device);

    if (lcf->device
        && ngx_http_complex_value(r, lcf->device, &device) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((device.len == 1 && device.data[0] == '*')
        || (device.len == 0
            && r->uri.len >= 8
            && ngx_strncmp(r->uri.data + r->uri.len - 8, "/devices", 8) == 0))
    {
        *subject = NGX_COMETA_SUBJECT_DEVICES;

    } else {
        *subject = device.len ? NGX_COMETA_SUBJECT_DEVICE
                              : NGX_COMETA_SUBJECT_APP;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cometa_args_prefix(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *prefix)
{
    ngx_int_t  rc;

    rc = ngx_cometa_args_value(r, "prefix", prefix);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    if (prefix->len && ngx_cometa_http_id_valid(prefix)) {
        return NGX_OK;
    }

    ngx_cometa_args_hint(ctx, "prefix is 1 to 64 characters that an id may "
                              "have; without prefix all devices are meant");

    return NGX_DECLINED;
}


ngx_int_t
ngx_cometa_args_session(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    uint64_t *session)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   value;

    *session = 0;

    rc = ngx_cometa_args_value(r, "session", &value);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    if (value.len == 0 || value.len > NGX_COMETA_SESSION_LEN) {
        goto wrong;
    }

    for (p = value.data; p < value.data + value.len; p++) {
        if (*p < '0' || *p > '9') {
            goto wrong;
        }

        *session = *session * 10 + (*p - '0');
    }

    if (*session) {
        return NGX_OK;
    }

wrong:

    ngx_cometa_args_hint(ctx, "session is the number that the answer about "
                              "the device has as session");

    return NGX_DECLINED;
}


ngx_int_t
ngx_cometa_args_after(ngx_http_request_t *r, ngx_str_t *after)
{
    ngx_int_t  rc;

    rc = ngx_cometa_args_value(r, "after", after);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


ngx_int_t
ngx_cometa_args_limit(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t *limit)
{
    uint32_t   n;
    ngx_str_t  value;

    *limit = 0;

    /* not unescaped: a number needs no escapes */

    if (ngx_http_arg(r, (u_char *) "limit", 5, &value) != NGX_OK) {
        return NGX_OK;
    }

    if (cometa_header_number(value.data, value.len, &n) == COMETA_HEADER_OK
        && n > 0)
    {
        *limit = n;
        return NGX_OK;
    }

    ngx_cometa_args_hint(ctx, "limit is a whole number above zero");

    return NGX_DECLINED;
}


ngx_int_t
ngx_cometa_args_detail(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_uint_t *detail)
{
    ngx_str_t  value;

    *detail = 0;

    if (ngx_http_arg(r, (u_char *) "detail", 6, &value) != NGX_OK) {
        return NGX_OK;
    }

    if (value.len == 1 && (value.data[0] == '0' || value.data[0] == '1')) {
        *detail = (value.data[0] == '1');
        return NGX_OK;
    }

    ngx_cometa_args_hint(ctx, "detail is 1, or 0 for ids alone");

    return NGX_DECLINED;
}


/* An argument as it was meant. NGX_DECLINED: there is none. */

ngx_int_t
ngx_cometa_args_value(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    u_char     *dst, *src;
    ngx_str_t   raw;

    ngx_str_null(value);

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    value->data = ngx_pnalloc(r->pool, raw.len + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    dst = value->data;
    src = raw.data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}
