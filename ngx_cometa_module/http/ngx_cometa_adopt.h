
/*
 * How a request becomes a connection: its answer is flushed, the request is
 * freed, and its connection is given to a device or a WebSocket.
 */

#ifndef _NGX_COMETA_ADOPT_H_INCLUDED_
#define _NGX_COMETA_ADOPT_H_INCLUDED_


#include "ngx_cometa_ctx.h"


/*
 * To be called after the answer was given to the filters. ctx->adoptee is what
 * will get the connection, and stays there until then: if the request ends
 * first, its cleanup finds it there. The caller must then return NGX_DONE.
 */
void ngx_cometa_adopt(ngx_http_request_t *r, ngx_cometa_adopt_pt handler);


#endif /* _NGX_COMETA_ADOPT_H_INCLUDED_ */
