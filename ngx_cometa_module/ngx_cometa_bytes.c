
/*
 * A buffer that grows.
 */

#include "ngx_cometa_bytes.h"


#define NGX_COMETA_BYTES_MIN  256


static ngx_cometa_bytes_t *ngx_cometa_bytes_grow(ngx_cometa_bytes_t *old,
    size_t len);


ngx_int_t
ngx_cometa_bytes_add(ngx_cometa_bytes_t **bytes, u_char *data, size_t len)
{
    ngx_cometa_bytes_t  *b;

    if (len == 0) {
        return NGX_OK;
    }

    b = *bytes;

    /* used bytes are overwritten, if they are as many as those to move */

    if (b && b->len + len > b->size && b->pos && b->pos >= b->len - b->pos) {
        b->len -= b->pos;
        ngx_memmove(b->data, b->data + b->pos, b->len);
        b->pos = 0;
    }

    if (b == NULL || b->len + len > b->size) {
        b = ngx_cometa_bytes_grow(b, len);
        if (b == NULL) {
            return NGX_ERROR;
        }

        *bytes = b;
    }

    ngx_memcpy(b->data + b->len, data, len);
    b->len += len;

    return NGX_OK;
}


static ngx_cometa_bytes_t *
ngx_cometa_bytes_grow(ngx_cometa_bytes_t *old, size_t len)
{
    size_t               size;
    ngx_cometa_bytes_t  *b;

    size = ngx_max(len, NGX_COMETA_BYTES_MIN);

    if (old) {
        size = ngx_max(old->len + len, 2 * (size_t) old->size);
    }

    b = ngx_alloc(sizeof(ngx_cometa_bytes_t) + size, ngx_cycle->log);
    if (b == NULL) {
        return NULL;
    }

    b->pos = 0;
    b->len = 0;
    b->size = size;

    if (old) {
        b->pos = old->pos;
        b->len = old->len;
        ngx_memcpy(b->data, old->data, old->len);
        ngx_free(old);
    }

    return b;
}


void
ngx_cometa_bytes_free(ngx_cometa_bytes_t **bytes)
{
    if (*bytes) {
        ngx_free(*bytes);
        *bytes = NULL;
    }
}
