
/*
 * The info of a device: a text that it presents when it attaches. In form A
 * it is the body of the request, in form B a header.
 */

#ifndef _NGX_COMETA_ATTACH_INFO_H_INCLUDED_
#define _NGX_COMETA_ATTACH_INFO_H_INCLUDED_


#include "ngx_cometa_ctx.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"

#include <ngx_http.h>


/*
 * Reads the body of form A and keeps its beginning. Then calls `handler` and
 * finalizes the request with what that returns. Returns what the handler of the
 * location has to return.
 */
ngx_int_t ngx_cometa_attach_info_read(ngx_http_request_t *r,
    ngx_cometa_info_pt handler);

/* Gives the device its info, in form A or B. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_attach_info(ngx_http_request_t *r,
    ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_ATTACH_INFO_H_INCLUDED_ */
