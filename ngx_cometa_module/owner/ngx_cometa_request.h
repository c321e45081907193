
/*
 * Requests of a device, which has asked for it at its attach: they go to the
 * webhook one after the other, and what it answers is written back. They cross
 * the calls to the device freely.
 *
 *     05 ID LF data   ----- webhook ----->   05 ID LF body
 *                     `---- failure ----->   05 ID LF
 *
 * A device has these only while it has requests or answers that it has not
 * taken.
 */

#ifndef _NGX_COMETA_REQUEST_H_INCLUDED_
#define _NGX_COMETA_REQUEST_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* A message without its first byte. If malformed it is counted and logged. */
void ngx_cometa_request(ngx_cometa_device_t *dev, u_char *data, size_t len);

/*
 * The device can be written to. It may be closed by that, and gone when this
 * returns.
 */
void ngx_cometa_request_ready(ngx_cometa_device_t *dev);

/* The device has left: nobody waits for what it asked. */
void ngx_cometa_request_closed(ngx_cometa_device_t *dev);

/*
 * All that it asked fails, for it is to move. NGX_AGAIN: it has not taken that
 * yet, or it may be closed by it, as above.
 */
ngx_int_t ngx_cometa_request_give_up(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_REQUEST_H_INCLUDED_ */
