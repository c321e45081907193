
/*
 * When a device was last heard of, and what follows if that is long ago. The
 * devices of a location with one interval stand in the order of their last sign
 * of life, and one timer looks at the first one; messages that were begun stand
 * in the order of their beginning. Devices that came from another worker stand
 * apart until they are heard of here: they arrive in no order.
 *
 * A device over a WebSocket gets a ping before its time is over, because many a
 * library answers that by itself. Such devices have queues of their own.
 */

#ifndef _NGX_COMETA_DEVICE_TIME_H_INCLUDED_
#define _NGX_COMETA_DEVICE_TIME_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* Its time is over: it is to be closed. */
typedef void (*ngx_cometa_device_expire_pt)(ngx_cometa_device_t *dev,
    ngx_uint_t reason);

/* It is silent, and its time not over yet: it is to get a ping. */
typedef void (*ngx_cometa_device_ping_pt)(ngx_cometa_device_t *dev);


/* In the configuration phase, when the times of *conf are set. */
void ngx_cometa_device_time_init(ngx_cometa_device_conf_t *conf,
    ngx_log_t *log);

/* At the start of a worker. */
void ngx_cometa_device_time_start(ngx_cometa_device_expire_pt expired,
    ngx_cometa_device_ping_pt ping);

/* It is open: heard of just now, or when its state says, for one that moved. */
void ngx_cometa_device_time_enter(ngx_cometa_device_t *dev);
void ngx_cometa_device_time_arrive(ngx_cometa_device_t *dev);

/* Something complete was heard of it. */
void ngx_cometa_device_time_hear(ngx_cometa_device_t *dev);

/* Also for one that never entered. */
void ngx_cometa_device_time_leave(ngx_cometa_device_t *dev);

/* Sets the timer, after a message was begun. */
void ngx_cometa_device_time_arm(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_TIME_H_INCLUDED_ */
