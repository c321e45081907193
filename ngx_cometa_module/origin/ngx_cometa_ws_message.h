
/*
 * A message of a client that speaks JSON: what it asks for, or what is wrong
 * with it.
 *
 *     {"call":"7","device":"lamp-1","message":"on","timeout":5,"wait":10}
 */

#ifndef _NGX_COMETA_WS_MESSAGE_H_INCLUDED_
#define _NGX_COMETA_WS_MESSAGE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"


/* The texts lie in what was read; those that are not known are empty. */

typedef struct {
    ngx_str_t    call;
    ngx_uint_t   number;        /* it is written as one, not as a string */
    ngx_str_t    device;
    ngx_str_t    message;
    ngx_msec_t   timeout;
    ngx_msec_t   wait;          /* for a device that is not attached */

    ngx_uint_t   error;         /* NGX_COMETA_OK: it can be sent */
    const char  *detail;        /* of the error, what to mend; or NULL */
} ngx_cometa_ws_message_t;


/* The text is changed. Bounds and defaults are those of the socket. */
void ngx_cometa_ws_message_read(ngx_cometa_ws_t *s, u_char *data, size_t len,
    ngx_cometa_ws_message_t *m);


#endif /* _NGX_COMETA_WS_MESSAGE_H_INCLUDED_ */
