
/*
 * The devices of this worker. A handle is an index into the table: parts of it
 * never move and are never freed, so a stale handle finds a device that has
 * another session.
 */

#ifndef _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* All zero but its handle; NULL: no memory. */
ngx_cometa_device_t *ngx_cometa_device_alloc(void);
void ngx_cometa_device_free(ngx_cometa_device_t *dev);

/* Where it is: the handle as found in a record. NULL: not here any more. */
ngx_cometa_device_t *ngx_cometa_device_get(uint32_t handle, uint64_t session);

/* How many there are in this worker. */
ngx_uint_t ngx_cometa_device_count(void);

/*
 * A walk over the table that never ends: the place behind *place, which is
 * moved on and becomes 0 after the last one. The device there may be unused.
 * Only if there is a device at all.
 */
ngx_cometa_device_t *ngx_cometa_device_next(ngx_uint_t *place);


#endif /* _NGX_COMETA_DEVICE_TABLE_H_INCLUDED_ */
