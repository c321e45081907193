
/*
 * Bytes that grow: a message that is not complete, or output that a socket has
 * not taken. A pointer that is NULL is the empty one, so that whoever has
 * nothing to keep pays for a pointer only.
 */

#ifndef _NGX_COMETA_BYTES_H_INCLUDED_
#define _NGX_COMETA_BYTES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    uint32_t  pos;              /* what stands before it has been used */
    uint32_t  len;
    uint32_t  size;
    u_char    data[];
} ngx_cometa_bytes_t;


/* Adds a copy. NGX_ERROR: no memory, and nothing has changed. */
ngx_int_t ngx_cometa_bytes_add(ngx_cometa_bytes_t **bytes, u_char *data,
    size_t len);

/* Leaves NULL. */
void ngx_cometa_bytes_free(ngx_cometa_bytes_t **bytes);


/* How many have not been used. */

static ngx_inline size_t
ngx_cometa_bytes_left(ngx_cometa_bytes_t *bytes)
{
    return bytes ? bytes->len - bytes->pos : 0;
}


#endif /* _NGX_COMETA_BYTES_H_INCLUDED_ */
