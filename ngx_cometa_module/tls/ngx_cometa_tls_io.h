
/*
 * The bytes of a parked connection: c->recv, c->send and its end. It has no SSL
 * object (c->ssl is NULL), but a state, see ngx_cometa_tls_state.h.
 */

#ifndef _NGX_COMETA_TLS_IO_H_INCLUDED_
#define _NGX_COMETA_TLS_IO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "cometa_tls_record.h"


/*
 * Makes what a process needs to park connections, or to take parked ones in.
 * NGX_ERROR: no memory, or this process cannot.
 */
ngx_int_t ngx_cometa_tls_ready(void);

/*
 * From now on the connection is read and written with these keys; the state is
 * copied. `app` is the index of its application, whose gauge counts it.
 * NGX_ERROR: no memory, and nothing has changed.
 */
ngx_int_t ngx_cometa_tls_enter(ngx_connection_t *c, const cometa_tls_t *tls,
    uint32_t app);


#endif /* _NGX_COMETA_TLS_IO_H_INCLUDED_ */
