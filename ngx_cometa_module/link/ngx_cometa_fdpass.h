
/*
 * Connections that move to another worker: a descriptor and some bytes go
 * through the door of its slot, by SCM_RIGHTS. The master makes the doors, a
 * pair of sockets for each slot.
 *
 *     worker --door[1]--> [ parcel | descriptor ] --door[0]--> process of the
 *                                                              slot
 */

#ifndef _NGX_COMETA_FDPASS_H_INCLUDED_
#define _NGX_COMETA_FDPASS_H_INCLUDED_


#include "ngx_cometa_slot.h"


#define NGX_COMETA_PARCEL_MAX  16384


/*
 * Gets a connection, of which only what nginx needs to read and write a plain
 * connection is set. The data is valid until this returns.
 */
typedef void (*ngx_cometa_fdpass_pt)(ngx_connection_t *c, u_char *data,
    size_t len);


/* At the start of a worker that has a slot, and at its end. */
ngx_int_t ngx_cometa_fdpass_open(ngx_cycle_t *cycle,
    ngx_cometa_fdpass_pt handler);
void ngx_cometa_fdpass_close(void);

/*
 * Whether a worker would take a connection: it has the same configuration as
 * this one, does not leave, and is not crowded.
 */
ngx_uint_t ngx_cometa_fdpass_to(uint32_t slot, uint32_t epoch);

/* Notes in our slot whether this worker is crowded. It must have a slot. */
void ngx_cometa_fdpass_crowd(void);

/*
 * Passes a connection on. NGX_OK: it has left with the data, and is closed in
 * this process. NGX_DECLINED: it has stayed as it was.
 */
ngx_int_t ngx_cometa_fdpass(uint32_t slot, uint32_t epoch,
    ngx_connection_t *c, u_char *data, size_t len);


#endif /* _NGX_COMETA_FDPASS_H_INCLUDED_ */
