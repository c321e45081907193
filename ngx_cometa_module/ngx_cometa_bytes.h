
/*
 * A buffer that grows: a message that is not complete, or output that a socket
 * has not taken. A NULL pointer is an empty buffer, so that nothing but a
 * pointer is needed while there is nothing to keep.
 */

#ifndef _NGX_COMETA_BYTES_H_INCLUDED_
#define _NGX_COMETA_BYTES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    uint32_t  pos;              /* the bytes before it have been used */
    uint32_t  len;
    uint32_t  size;
    u_char    data[];
} ngx_cometa_bytes_t;


/* Adds a copy. NGX_ERROR: no memory, and nothing has changed. */
ngx_int_t ngx_cometa_bytes_add(ngx_cometa_bytes_t **bytes, u_char *data,
    size_t len);

/* Frees it, and sets the pointer to NULL. */
void ngx_cometa_bytes_free(ngx_cometa_bytes_t **bytes);


/* How many bytes have not been used yet. */

static ngx_inline size_t
ngx_cometa_bytes_left(ngx_cometa_bytes_t *bytes)
{
    return bytes ? bytes->len - bytes->pos : 0;
}


#endif /* _NGX_COMETA_BYTES_H_INCLUDED_ */
