
/*
 * What devices asked for. All state is this process's own, and is the device's.
 */

#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"


static ngx_uint_t ngx_cometa_asked_none(ngx_cometa_terms_t *terms);
static ngx_int_t ngx_cometa_asked_give(ngx_cometa_device_t *dev,
    ngx_cometa_terms_t *terms);


ngx_int_t
ngx_cometa_asked_grant(ngx_cometa_device_t *dev, ngx_cometa_terms_t *terms)
{
    /* all devices of a location have one interval until they can have others */

    terms->heartbeat = 0;
    terms->echo = 0;

    terms->pipeline = ngx_min(terms->pipeline, dev->conf->pipeline);
    terms->requests = terms->requests && dev->conf->requests;

    if (ngx_cometa_asked_none(terms)) {
        return NGX_OK;
    }

    return ngx_cometa_asked_give(dev, terms);
}


static ngx_uint_t
ngx_cometa_asked_none(ngx_cometa_terms_t *terms)
{
    return terms->heartbeat == 0
           && terms->pipeline == 0
           && !terms->echo
           && !terms->text
           && !terms->requests;
}


static ngx_int_t
ngx_cometa_asked_give(ngx_cometa_device_t *dev, ngx_cometa_terms_t *terms)
{
    dev->asked = ngx_calloc(sizeof(ngx_cometa_asked_t), ngx_cycle->log);
    if (dev->asked == NULL) {
        return NGX_ERROR;
    }

    dev->asked->terms = *terms;

    return NGX_OK;
}


void
ngx_cometa_asked_free(ngx_cometa_device_t *dev)
{
    if (dev->asked) {
        ngx_free(dev->asked);
        dev->asked = NULL;
    }
}


size_t
ngx_cometa_asked_size(ngx_cometa_device_t *dev)
{
    return dev->asked ? sizeof(ngx_cometa_terms_t) : 0;
}


u_char *
ngx_cometa_asked_pack(ngx_cometa_device_t *dev, u_char *dst)
{
    if (dev->asked == NULL) {
        return dst;
    }

    return ngx_cpymem(dst, &dev->asked->terms, sizeof(ngx_cometa_terms_t));
}


ngx_int_t
ngx_cometa_asked_unpack(ngx_cometa_device_t *dev, u_char *src, size_t len)
{
    ngx_cometa_terms_t  terms;

    if (len == 0) {
        return NGX_OK;
    }

    if (len != sizeof(ngx_cometa_terms_t)) {
        return NGX_ERROR;
    }

    ngx_memcpy(&terms, src, len);

    return ngx_cometa_asked_give(dev, &terms);
}
