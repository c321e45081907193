
/*
 * The events that a webhook holds: who has how many of them, and who loses one
 * when there is no more room.
 *
 * Tenants and lanes exist while they have events. What is under way does not
 * count as held: it cannot be taken back.
 */

#ifndef _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_


#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook_types.h"


/* Bytes of one place in the queue; a longer event takes several. */
#define NGX_COMETA_WEBHOOK_PLACE  2048


void ngx_cometa_lanes_start(void);

/*
 * The lane of a device, made if there is none. An empty one has to be given to
 * ngx_cometa_lane_settle() again. NULL: no memory, or the device has lost its
 * name.
 */
ngx_cometa_lane_t *ngx_cometa_lane_get(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev);
void ngx_cometa_lane_settle(ngx_cometa_lane_t *lane);

/* Whether the webhook holds an event of the device with this hash. */
ngx_uint_t ngx_cometa_lane_exists(ngx_cometa_webhook_conf_t *conf,
    uint64_t hash);

ngx_cometa_event_t *ngx_cometa_lane_first(ngx_cometa_lane_t *lane);

/*
 * Puts an event of so many bytes at the end of a lane. NULL: there is neither
 * room for it, nor a larger share that has to make some; or no memory.
 */
ngx_cometa_event_t *ngx_cometa_lane_add(ngx_cometa_lane_t *lane, size_t len);
void ngx_cometa_lane_remove(ngx_cometa_event_t *e);

/* The first event of a lane may be sent. */
void ngx_cometa_lane_ready(ngx_cometa_lane_t *lane);

/*
 * The lane whose turn it is, which now runs, until ngx_cometa_lane_end() is
 * called. NULL: nobody's, or nobody may run another request.
 */
ngx_cometa_lane_t *ngx_cometa_lane_next(ngx_cometa_webhook_conf_t *conf);
void ngx_cometa_lane_end(ngx_cometa_lane_t *lane);

/* All lanes; the handler may free its own. */
void ngx_cometa_lanes_each(void (*handler)(ngx_cometa_lane_t *lane));

/* How many events there are. */
ngx_uint_t ngx_cometa_lanes_events(void);


#endif /* _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_ */
