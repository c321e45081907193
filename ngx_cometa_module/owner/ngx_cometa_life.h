
/*
 * Devices of a location that have the same interval. Most have that of the
 * location, which is in its configuration; for each other interval there are
 * queues and a timer more, made when a device is granted it first. All of it is
 * this process's own.
 */

#ifndef _NGX_COMETA_LIFE_H_INCLUDED_
#define _NGX_COMETA_LIFE_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* The times of *life are left as they are. */
void ngx_cometa_life_init(ngx_cometa_life_t *life,
    ngx_cometa_device_conf_t *conf, ngx_event_handler_pt timer,
    ngx_log_t *log);

/*
 * That of an interval in seconds; 0: of the location. The timeout is in the
 * ratio that the location has. With `frames` silent devices get a ping. NULL:
 * no memory.
 */
ngx_cometa_life_t *ngx_cometa_life_get(ngx_cometa_device_conf_t *conf,
    ngx_msec_t heartbeat, ngx_uint_t frames);


#endif /* _NGX_COMETA_LIFE_H_INCLUDED_ */
