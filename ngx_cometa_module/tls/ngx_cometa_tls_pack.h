
/*
 * A parked connection in a parcel, for another process.
 */

#ifndef _NGX_COMETA_TLS_PACK_H_INCLUDED_
#define _NGX_COMETA_TLS_PACK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Most that ngx_cometa_tls_pack() gives. */
#define NGX_COMETA_TLS_PACK_MAX  (56 * 1024)


/*
 * All that another process needs to go on with the connection, at most
 * NGX_COMETA_TLS_PACK_MAX bytes. Returns their number, 0 if it is not parked,
 * or keeps more than it may: then it cannot go.
 * They hold keys: the caller wipes them. `p` is aligned.
 */
size_t ngx_cometa_tls_pack(ngx_connection_t *c, u_char *p);

/*
 * Parks a connection that has come with these bytes. NGX_ERROR: they are no
 * such bytes, or there was no memory.
 */
ngx_int_t ngx_cometa_tls_unpack(ngx_connection_t *c, u_char *p, size_t len);


#endif /* _NGX_COMETA_TLS_PACK_H_INCLUDED_ */
