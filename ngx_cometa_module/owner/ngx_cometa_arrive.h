
/*
 * Devices that come from a worker of an older configuration. The other side,
 * and the way between both, is in ngx_cometa_depart.h.
 */

#ifndef _NGX_COMETA_ARRIVE_H_INCLUDED_
#define _NGX_COMETA_ARRIVE_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * At the start of a worker: the locations that devices may be in, whose array
 * lives as long as the process.
 */
void ngx_cometa_arrive_start(ngx_cometa_device_conf_t **confs, ngx_uint_t n);

/*
 * Takes the device of a parcel in, or answers why it does not. c is NULL if
 * this worker has no place for the connection. Returns NGX_OK: its sender
 * keeps what is not taken.
 */
ngx_int_t ngx_cometa_arrive(ngx_connection_t *c, u_char *data, size_t len);


#endif /* _NGX_COMETA_ARRIVE_H_INCLUDED_ */
