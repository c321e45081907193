
/*
 * The address of a client in few bytes, because each device has one.
 */

#ifndef _NGX_COMETA_ADDRESS_H_INCLUDED_
#define _NGX_COMETA_ADDRESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 *      0        1      3                 19
 *     +--------+------+-----------------+
 *     | family | port | IPv4 or IPv6    |    family: 4, 6; 0: a unix socket
 *     +--------+------+-----------------+    port, address: as on the wire
 */

typedef struct {
    u_char  family;
    u_char  port[2];
    u_char  ip[16];
} ngx_cometa_address_t;


void ngx_cometa_address_set(ngx_cometa_address_t *a, struct sockaddr *from);

/* Makes a socket address of it; returns the length of that. */
socklen_t ngx_cometa_address_get(ngx_cometa_address_t *a, ngx_sockaddr_t *to);

/*
 * Writes it as text, with the port if `port`; `text` has NGX_SOCKADDR_STRLEN
 * bytes. Returns how many were written.
 */
size_t ngx_cometa_address_text(ngx_cometa_address_t *a, u_char *text,
    ngx_uint_t port);


#endif /* _NGX_COMETA_ADDRESS_H_INCLUDED_ */
