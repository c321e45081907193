
/*
 * Addresses of clients. No state.
 */

#include "ngx_cometa_address.h"


#define NGX_COMETA_ADDRESS_V4  4
#define NGX_COMETA_ADDRESS_V6  6


_Static_assert(sizeof(ngx_cometa_address_t) == 19, "as it is drawn");


void
ngx_cometa_address_set(ngx_cometa_address_t *a, struct sockaddr *from)
{
    struct sockaddr_in   *in;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *in6;
#endif

    ngx_memzero(a, sizeof(ngx_cometa_address_t));

    switch (from->sa_family) {

    case AF_INET:
        in = (struct sockaddr_in *) from;
        a->family = NGX_COMETA_ADDRESS_V4;
        ngx_memcpy(a->port, &in->sin_port, 2);
        ngx_memcpy(a->ip, &in->sin_addr, 4);
        return;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        in6 = (struct sockaddr_in6 *) from;
        a->family = NGX_COMETA_ADDRESS_V6;
        ngx_memcpy(a->port, &in6->sin6_port, 2);
        ngx_memcpy(a->ip, &in6->sin6_addr, 16);
        return;
#endif

    default: /* AF_UNIX: a client has no path, as a rule */
        return;
    }
}


socklen_t
ngx_cometa_address_get(ngx_cometa_address_t *a, ngx_sockaddr_t *to)
{
    ngx_memzero(to, sizeof(ngx_sockaddr_t));

    switch (a->family) {

    case NGX_COMETA_ADDRESS_V4:
        to->sockaddr_in.sin_family = AF_INET;
        ngx_memcpy(&to->sockaddr_in.sin_port, a->port, 2);
        ngx_memcpy(&to->sockaddr_in.sin_addr, a->ip, 4);
        return sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)
    case NGX_COMETA_ADDRESS_V6:
        to->sockaddr_in6.sin6_family = AF_INET6;
        ngx_memcpy(&to->sockaddr_in6.sin6_port, a->port, 2);
        ngx_memcpy(&to->sockaddr_in6.sin6_addr, a->ip, 16);
        return sizeof(struct sockaddr_in6);
#endif

    default:
        to->sockaddr.sa_family = AF_UNIX;
        return sizeof(sa_family_t);
    }
}


size_t
ngx_cometa_address_text(ngx_cometa_address_t *a, u_char *text,
    ngx_uint_t port)
{
    socklen_t       len;
    ngx_sockaddr_t  sa;

    len = ngx_cometa_address_get(a, &sa);

    return ngx_sock_ntop(&sa.sockaddr, len, text, NGX_SOCKADDR_STRLEN, port);
}
