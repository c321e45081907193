
/*
 * The bytes that are written to a device, by way of its transport, and the end
 * of its connection. This file does not know what the messages mean, nor how a
 * device begins and ends: if the connection fails, the caller ends it.
 */

#ifndef _NGX_COMETA_DEVICE_IO_H_INCLUDED_
#define _NGX_COMETA_DEVICE_IO_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * What the socket did not take; or what is gathered until the end of this turn
 * of the event loop, because a device that takes several calls at a time gets
 * them in one piece.
 */

struct ngx_cometa_unsent_s {
    uint32_t              pos;
    uint32_t              len;
    uint32_t              size;         /* of data */
    uint32_t              gathered;     /* the socket was not asked yet */
    u_char                data[1];
};


/* At the start of a worker. */
ngx_int_t ngx_cometa_device_io_start(ngx_cycle_t *cycle);

/*
 * Writes one message, and keeps what the socket does not take. To be called
 * only if ngx_cometa_device_gathers(). NGX_ERROR: the caller must close the
 * device.
 */
ngx_int_t ngx_cometa_device_io_write(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* Writes what is kept. NGX_OK: all of it; NGX_AGAIN; NGX_ERROR as above. */
ngx_int_t ngx_cometa_device_io_flush(ngx_cometa_device_t *dev);

/*
 * Writes the answers to pings and heartbeats that are due, unless something is
 * kept. NGX_ERROR as above.
 */
ngx_int_t ngx_cometa_device_io_answer(ngx_cometa_device_t *dev);

/* Closes the connection, with last words if `last` and it is possible. */
void ngx_cometa_device_io_close(ngx_cometa_device_t *dev, ngx_uint_t last);

/* Frees all that is kept of input and output. */
void ngx_cometa_device_io_free(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_IO_H_INCLUDED_ */
