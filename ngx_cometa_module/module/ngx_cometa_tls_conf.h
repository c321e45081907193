
/*
 * "cometa_tls_park": which servers park connections, and the callbacks of their
 * SSL contexts.
 */

#ifndef _NGX_COMETA_TLS_CONF_H_INCLUDED_
#define _NGX_COMETA_TLS_CONF_H_INCLUDED_


#include "ngx_cometa_loc.h"


/* Refuses "on" if nginx was built without what it takes. */
extern ngx_conf_post_t  ngx_cometa_tls_post;

/* Notes the server of a location that parks. */
ngx_int_t ngx_cometa_tls_conf_add(ngx_conf_t *cf,
    ngx_cometa_loc_conf_t *conf);

/*
 * When all was read: sets the callbacks for all servers of an address if one of
 * them parks, because the name that a client asks for changes the context. With
 * "off" everywhere none is set.
 */
ngx_int_t ngx_cometa_tls_conf_hook(ngx_conf_t *cf);


#endif /* _NGX_COMETA_TLS_CONF_H_INCLUDED_ */
