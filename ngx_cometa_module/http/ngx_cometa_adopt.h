
/*
 * How a request becomes a connection: its answer is flushed, the request is
 * freed, and what is left of it is handed on.
 */

#ifndef _NGX_COMETA_ADOPT_H_INCLUDED_
#define _NGX_COMETA_ADOPT_H_INCLUDED_


#include "ngx_cometa_ctx.h"


/*
 * To be called once the answer was given to the filters, with what is to have
 * the connection in ctx->adoptee, where it stays until it is handed on: if the
 * request ends before, its cleanup finds it there. Return NGX_DONE after it.
 */
void ngx_cometa_adopt(ngx_http_request_t *r, ngx_cometa_adopt_pt handler);


#endif /* _NGX_COMETA_ADOPT_H_INCLUDED_ */
