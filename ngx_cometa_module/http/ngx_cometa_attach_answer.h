
/*
 * The answer to an attach: 200 with the first chunk, or 101 with the first
 * frame.
 */

#ifndef _NGX_COMETA_ATTACH_ANSWER_H_INCLUDED_
#define _NGX_COMETA_ATTACH_ANSWER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* What a device offers that attaches over a WebSocket. */
#define NGX_COMETA_SUBPROTOCOL  "cometa.device.v1"


/*
 * Sends it, and then gives the connection to the device of the request's
 * context. Header and first message go through nginx's filters, so that
 * add_header and other directives apply, and are written together. Returns what
 * to finalize the request with; NGX_DONE: it goes on.
 */
ngx_int_t ngx_cometa_attach_answer(ngx_http_request_t *r);


#endif /* _NGX_COMETA_ATTACH_ANSWER_H_INCLUDED_ */
