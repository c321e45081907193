
/*
 * Each variable has a function that makes its value from the context of the
 * request. If the value is empty, the variable is not found.
 */

#include "ngx_cometa_variable.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_http.h"
#include "ngx_cometa_loc.h"


typedef ngx_int_t (*ngx_cometa_variable_pt)(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);

typedef struct {
    ngx_str_t               name;
    ngx_cometa_variable_pt  get;
} ngx_cometa_variable_t;


static ngx_int_t ngx_cometa_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_cometa_variable_application(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_cometa_variable_device(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_cometa_variable_error(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_cometa_variable_latency(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_cometa_variable_session(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_cometa_variable_hop(ngx_http_request_t *r,
    ngx_cometa_ctx_t *ctx, ngx_str_t *value);


static ngx_cometa_variable_t  ngx_cometa_variables[] = {
    { ngx_string("cometa_application"), ngx_cometa_variable_application },
    { ngx_string("cometa_device"), ngx_cometa_variable_device },
    { ngx_string("cometa_error"), ngx_cometa_variable_error },
    { ngx_string("cometa_latency"), ngx_cometa_variable_latency },
    { ngx_string("cometa_session"), ngx_cometa_variable_session },
    { ngx_string("cometa_hop"), ngx_cometa_variable_hop },
    { ngx_null_string, NULL }
};


ngx_int_t
ngx_cometa_variable_init(ngx_conf_t *cf)
{
    ngx_uint_t            i;
    ngx_http_variable_t  *var;

    for (i = 0; ngx_cometa_variables[i].name.len; i++) {
        var = ngx_http_add_variable(cf, &ngx_cometa_variables[i].name,
                                    NGX_HTTP_VAR_NOCACHEABLE);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = ngx_cometa_variable;
        var->data = i;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t          value;
    ngx_cometa_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    ngx_str_null(&value);

    if (ctx && ngx_cometa_variables[data].get(r, ctx, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable_application(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    *value = ctx->key.app;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable_device(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    *value = ctx->key.device;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable_error(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    if (ctx->error) {
        *value = *ngx_cometa_http_word(ctx->error);
    }

    return NGX_OK;
}


/* In ms with three decimal places. */

static ngx_int_t
ngx_cometa_variable_latency(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    if (!ctx->called) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, NGX_INT64_LEN + sizeof(".000"));
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%uL.%03uL", ctx->latency / 1000,
                             ctx->latency % 1000)
                 - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable_session(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    if (!ctx->placed) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%uL", ctx->session) - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_variable_hop(ngx_http_request_t *r, ngx_cometa_ctx_t *ctx,
    ngx_str_t *value)
{
    if (!ctx->placed) {
        return NGX_OK;
    }

    if (ctx->remote) {
        ngx_str_set(value, "remote");

    } else {
        ngx_str_set(value, "local");
    }

    return NGX_OK;
}
