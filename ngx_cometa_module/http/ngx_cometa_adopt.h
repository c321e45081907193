
/*
 * How a request becomes a connection: its answer is flushed, the request is
 * freed, and what is left of it is handed on.
 */

#ifndef _NGX_COMETA_ADOPT_H_INCLUDED_
#define _NGX_COMETA_ADOPT_H_INCLUDED_


#include "ngx_cometa_http.h"


/*
 * Gets the connection, `data` of the request's context, and what was read
 * behind the request, valid until it returns. c->pool is NULL for a plain
 * connection; what of it is still needed has to be copied: c->sockaddr.
 */
typedef void (*ngx_cometa_adopt_pt)(ngx_connection_t *c, void *data,
    u_char *rest, size_t len);

/*
 * To be called once the answer was given to the filters, with `data` in
 * ctx->adoptee, where it stays until it is handed on: if the request ends
 * before, its cleanup finds it there. Return NGX_DONE after it.
 */
void ngx_cometa_adopt(ngx_http_request_t *r, ngx_cometa_adopt_pt handler);


#endif /* _NGX_COMETA_ADOPT_H_INCLUDED_ */
