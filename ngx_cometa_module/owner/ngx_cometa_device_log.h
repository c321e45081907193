
/*
 * The lines of a device in the error log. They end with the client, the name of
 * the device and its session.
 */

#ifndef _NGX_COMETA_DEVICE_LOG_H_INCLUDED_
#define _NGX_COMETA_DEVICE_LOG_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/*
 * Makes this device the one that the log names which all connections of a
 * location share. To be called before anything is done for the device that may
 * log.
 */
void ngx_cometa_device_log(ngx_cometa_device_t *dev);

/* The device is freed: the log must not name it any more. */
void ngx_cometa_device_log_leave(ngx_cometa_device_t *dev);

void ngx_cometa_device_log_attached(ngx_cometa_device_t *dev);

/* To be called before the device leaves the registry, which has its name. */
void ngx_cometa_device_log_detached(ngx_cometa_device_t *dev,
    ngx_uint_t reason);

/*
 * Another client takes the device over, or is refused for `wait` seconds
 * because that happens too often; `by` is the address of that client. The
 * device may not have its connection yet.
 */
void ngx_cometa_device_log_taken_over(ngx_cometa_device_t *dev,
    ngx_str_t *by);
void ngx_cometa_device_log_flaps(ngx_cometa_device_t *dev, ngx_str_t *by,
    ngx_uint_t wait);


#endif /* _NGX_COMETA_DEVICE_LOG_H_INCLUDED_ */
