
/*
 * The devices of this worker. A handle is an index into the table, whose parts
 * never move and are never freed: a stale handle leads to a device that has
 * another session, and is refused.
 */

#ifndef _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* All zero but its handle; NULL: no memory. */
ngx_cometa_device_t *ngx_cometa_device_alloc(void);
void ngx_cometa_device_free(ngx_cometa_device_t *dev);

/* The device of this handle and session. NULL: it is not here any more. */
ngx_cometa_device_t *ngx_cometa_device_get(uint32_t handle, uint64_t session);

/* How many devices this worker holds. */
ngx_uint_t ngx_cometa_device_count(void);

/*
 * A walk over the table that never ends. Returns the device at *place, which
 * may be unused, and moves *place on; after the last one it is 0 again. To be
 * called only if there is a device.
 */
ngx_cometa_device_t *ngx_cometa_device_next(ngx_uint_t *place);


#endif /* _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_ */
