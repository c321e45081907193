
/*
 * Sets the callbacks of "cometa_tls_park" where they are needed, while the
 * configuration is read.
 */

#include "ngx_cometa_tls_conf.h"
#include "ngx_cometa_ctx.h"
#include "ngx_cometa_loc.h"
#include "ngx_cometa_tls.h"
#include "ngx_cometa_tls_park.h"
#include "ngx_cometa_tls_secret.h"


static char *ngx_cometa_tls_conf_post(ngx_conf_t *cf, void *post, void *data);

#if (NGX_COMETA_TLS)
static ngx_uint_t ngx_cometa_tls_conf_parks(ngx_cometa_main_conf_t *mcf,
    ngx_http_conf_addr_t *addr);
static ngx_int_t ngx_cometa_tls_conf_addr(ngx_conf_t *cf,
    ngx_http_conf_addr_t *addr);
static ngx_int_t ngx_cometa_tls_conf_over(ngx_http_request_t *r);
#endif


ngx_conf_post_t  ngx_cometa_tls_post = { ngx_cometa_tls_conf_post };


static char *
ngx_cometa_tls_conf_post(ngx_conf_t *cf, void *post, void *data)
{
    ngx_flag_t  *on = data;

    const char  *why;

    why = ngx_cometa_tls_unable();

    if (*on && why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cometa_tls_park on\" is not possible, because "
                           "%s", why);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_cometa_tls_conf_add(ngx_conf_t *cf, ngx_cometa_loc_conf_t *conf)
{
    ngx_http_conf_ctx_t       **place;
    ngx_cometa_main_conf_t     *mcf;
    ngx_http_core_srv_conf_t   *cscf;

    if (!conf->tls_park
        || (conf->handlers & (NGX_COMETA_ATTACH|NGX_COMETA_WEBSOCKET
                               |NGX_COMETA_CHANNEL)) == 0)
    {
        return NGX_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    place = ngx_array_push(&mcf->parking);
    if (place == NULL) {
        return NGX_ERROR;
    }

    *place = cscf->ctx;

    return NGX_OK;
}


#if (NGX_COMETA_TLS)


ngx_int_t
ngx_cometa_tls_conf_hook(ngx_conf_t *cf)
{
    ngx_uint_t                  p, a;
    ngx_http_conf_port_t       *port;
    ngx_http_handler_pt        *over;
    ngx_http_conf_addr_t       *addr;
    ngx_cometa_main_conf_t     *mcf;
    ngx_http_core_main_conf_t  *cmcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cometa_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (mcf->parking.nelts == 0 || cmcf->ports == NULL) {
        return NGX_OK;
    }

    over = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (over == NULL) {
        return NGX_ERROR;
    }

    *over = ngx_cometa_tls_conf_over;

    port = cmcf->ports->elts;

    for (p = 0; p < cmcf->ports->nelts; p++) {
        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {

            if (ngx_cometa_tls_conf_parks(mcf, &addr[a])
                && ngx_cometa_tls_conf_addr(cf, &addr[a]) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_cometa_tls_conf_parks(ngx_cometa_main_conf_t *mcf,
    ngx_http_conf_addr_t *addr)
{
    ngx_uint_t                  i, k;
    ngx_http_conf_ctx_t       **parking;
    ngx_http_core_srv_conf_t  **cscf;

    cscf = addr->servers.elts;
    parking = mcf->parking.elts;

    for (i = 0; i < addr->servers.nelts; i++) {
        for (k = 0; k < mcf->parking.nelts; k++) {
            if (cscf[i]->ctx == parking[k]) {
                return 1;
            }
        }
    }

    return 0;
}


/* A server without a certificate has no context. */

static ngx_int_t
ngx_cometa_tls_conf_addr(ngx_conf_t *cf, ngx_http_conf_addr_t *addr)
{
    ngx_uint_t                  i;
    ngx_http_ssl_srv_conf_t    *sscf;
    ngx_http_core_srv_conf_t  **cscf;

    cscf = addr->servers.elts;

    for (i = 0; i < addr->servers.nelts; i++) {
        sscf = cscf[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

        if (sscf->ssl.ctx
            && ngx_cometa_tls_hook(sscf->ssl.ctx, cf->pool) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * A request is freed. One of ours goes on as a device or WebSocket; any other
 * may be the last one of its connection for long.
 */

static ngx_int_t
ngx_cometa_tls_conf_over(ngx_http_request_t *r)
{
    ngx_cometa_ctx_t  *ctx;
    ngx_connection_t  *c;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cometa_module);

    if (c->ssl && c->ssl->connection && (ctx == NULL || ctx->adopt == NULL)) {
        ngx_cometa_tls_spare(c->ssl->connection,
                             r->http_version >= NGX_HTTP_VERSION_20);
    }

    return NGX_OK;
}


#else


ngx_int_t
ngx_cometa_tls_conf_hook(ngx_conf_t *cf)
{
    return NGX_OK;
}


#endif
