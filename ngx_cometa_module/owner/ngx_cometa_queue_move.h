
/*
 * The queue of a device that leaves, or moves to another worker. Written calls
 * go with it to that worker, for their replies come by the same connection;
 * those that wait are sent back to their origins, which follow.
 */

#ifndef _NGX_COMETA_QUEUE_MOVE_H_INCLUDED_
#define _NGX_COMETA_QUEUE_MOVE_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue_state.h"
#include "ngx_cometa_registry.h"


/* The device has left: calls that were written fail. */
void ngx_cometa_queue_closed(ngx_cometa_device_t *dev, ngx_uint_t reason);

/*
 * At the old worker. pause: nothing happens to the queue by time any more,
 * until resume; its state is copied, once more each time. pack: writes the
 * written calls that are not in that state, as many bytes as
 * ngx_cometa_queue_more() says, and returns their end. left: the device has
 * arrived at `to`.
 */
void ngx_cometa_queue_pause(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state);
u_char *ngx_cometa_queue_pack(ngx_cometa_device_t *dev, u_char *p);
void ngx_cometa_queue_resume(ngx_cometa_device_t *dev);
void ngx_cometa_queue_left(ngx_cometa_device_t *dev, ngx_cometa_place_t *to);

/*
 * At the new worker: the state that came with the device, and behind it what
 * was packed. Calls are held for a moment, so that those which follow it stand
 * in their old order. NGX_ERROR: no memory.
 */
ngx_int_t ngx_cometa_queue_arrive(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state, u_char *more);

/* The length of what is packed. */
size_t ngx_cometa_queue_more(ngx_cometa_queue_state_t *state);

/* Undoes that for a device which is not taken in. */
void ngx_cometa_queue_drop(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_QUEUE_MOVE_H_INCLUDED_ */
