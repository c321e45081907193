
/*
 * What is written to a device that takes several calls at a time is gathered,
 * and leaves at the end of this turn of the event loop.
 */

#ifndef _NGX_COMETA_DEVICE_GATHER_H_INCLUDED_
#define _NGX_COMETA_DEVICE_GATHER_H_INCLUDED_


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


/* Whether nothing is kept for the device, or more can be gathered. */
ngx_uint_t ngx_cometa_device_gathers(ngx_cometa_device_t *dev);

/*
 * Adds these bytes, and posts the write event of the connection, whose handler
 * writes them. NGX_ERROR: no memory.
 */
ngx_int_t ngx_cometa_device_gather(ngx_cometa_device_t *dev, u_char *data,
    size_t len);


#endif /* _NGX_COMETA_DEVICE_GATHER_H_INCLUDED_ */
