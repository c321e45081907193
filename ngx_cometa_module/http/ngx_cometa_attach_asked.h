
/*
 * What an attach asks for in its headers, and the headers that answer it:
 * each of them says what was granted, and only one that was asked for is there.
 */

#ifndef _NGX_COMETA_ATTACH_ASKED_H_INCLUDED_
#define _NGX_COMETA_ATTACH_ASKED_H_INCLUDED_


#include "ngx_cometa_device_state.h"

#include <ngx_http.h>


/* Gives the device what the request asks for, as far as it is granted. */
ngx_int_t ngx_cometa_attach_asked(ngx_http_request_t *r,
    ngx_cometa_device_t *dev);

/* Adds the headers of the answer. */
ngx_int_t ngx_cometa_attach_granted(ngx_http_request_t *r,
    ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_ATTACH_ASKED_H_INCLUDED_ */
