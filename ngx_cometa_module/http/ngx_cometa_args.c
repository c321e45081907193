
/*
 * Subject and arguments of requests about devices. No state.
 */

#include "ngx_cometa_args.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"


#define NGX_COMETA_SESSION_LEN  18      /* digits, that fit 64 bits */


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
ngx_cometa_args_value(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    u_char     *dst, *src;
    ngx_str_t   raw;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    value->data = ngx_pnalloc(r->pool, raw.len + 1);
    if (value->data == NULL) {
        return NGX_DECLINED;
    }

    dst = value->data;
    src = raw.data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


ngx_int_t
ngx_cometa_args_prefix(ngx_http_request_t *r, ngx_str_t *prefix)
{
    ngx_str_t  raw;

    ngx_str_null(prefix);

    if (ngx_http_arg(r, (u_char *) "prefix", 6, &raw) != NGX_OK) {
        return NGX_OK;
    }

    if (ngx_cometa_args_value(r, "prefix", prefix) != NGX_OK
        || !ngx_cometa_http_id_valid(prefix))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_cometa_args_session(ngx_http_request_t *r, uint64_t *session)
{
    u_char     *p;
    ngx_str_t   value;

    *session = 0;

    if (ngx_http_arg(r, (u_char *) "session", 7, &value) != NGX_OK) {
        return NGX_OK;
    }

    if (value.len == 0 || value.len > NGX_COMETA_SESSION_LEN) {
        return NGX_DECLINED;
    }

    for (p = value.data; p < value.data + value.len; p++) {
        if (*p < '0' || *p > '9') {
            return NGX_DECLINED;
        }

        *session = *session * 10 + (*p - '0');
    }

    return *session ? NGX_OK : NGX_DECLINED;
}
