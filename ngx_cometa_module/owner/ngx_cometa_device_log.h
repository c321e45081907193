
/*
 * What the error log says of a device. Its lines end with the client, the name
 * of the device and its session.
 */

#ifndef _NGX_COMETA_DEVICE_LOG_H_INCLUDED_
#define _NGX_COMETA_DEVICE_LOG_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * The log that all connections of a location share is this device's from now
 * on. To be called before anything that may log is done for it.
 */
void ngx_cometa_device_log(ngx_cometa_device_t *dev);

/* The device is going: the log is nobody's. */
void ngx_cometa_device_log_leave(ngx_cometa_device_t *dev);

void ngx_cometa_device_log_attached(ngx_cometa_device_t *dev);

/* To be called before it leaves the registry, where its name stands. */
void ngx_cometa_device_log_detached(ngx_cometa_device_t *dev,
    ngx_uint_t reason);

/*
 * Another client takes it over, or was refused for `wait` seconds because that
 * happens too often; `by` is its address. The device may be opening still.
 */
void ngx_cometa_device_log_taken_over(ngx_cometa_device_t *dev,
    ngx_str_t *by);
void ngx_cometa_device_log_flaps(ngx_cometa_device_t *dev, ngx_str_t *by,
    ngx_uint_t wait);


#endif /* _NGX_COMETA_DEVICE_LOG_H_INCLUDED_ */
