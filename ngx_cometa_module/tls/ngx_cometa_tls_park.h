
/*
 * Parks a connection over TLS: its SSL object is freed, and what is kept of it
 * are keys and sequence numbers. Nothing is sent for that, and the peer cannot
 * tell. A connection that does not qualify keeps its SSL object.
 */

#ifndef _NGX_COMETA_TLS_PARK_H_INCLUDED_
#define _NGX_COMETA_TLS_PARK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* NULL if this build can park, else why it cannot and what to do. */
const char *ngx_cometa_tls_unable(void);

/*
 * Parks the connection, whose request was freed: then c->ssl is NULL. If
 * something is under way it is tried again each time when all that has come was
 * read, and that c->pool is not needed any more must be true by then. `app` is
 * the name of its application, which is counted.
 */
void ngx_cometa_tls_park(ngx_connection_t *c, ngx_str_t *app);


#endif /* _NGX_COMETA_TLS_PARK_H_INCLUDED_ */
