
/*
 * The events that a webhook holds: how many each tenant and each lane has, and
 * which one loses an event when there is no more room.
 *
 * Tenants and lanes exist while they have events. An event under way is not
 * part of a share, because it cannot be dropped.
 */

#ifndef _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook_types.h"


/* Bytes of one place in the queue; a longer event takes several. */
#define NGX_COMETA_WEBHOOK_PLACE  2048


void ngx_cometa_lanes_start(void);

/*
 * The lane of a device, which is made if there is none. If it stays empty it
 * has to be given to ngx_cometa_lane_settle(). NULL: no memory, or the registry
 * does not have the name of the device any more.
 * With `asks` it is a new one, for a request of the device.
 */
ngx_cometa_lane_t *ngx_cometa_lane_get(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_uint_t asks);

/* The same for a device with this name; `address` may be NULL. */
ngx_cometa_lane_t *ngx_cometa_lane_named(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_key_t *key, uint32_t app, ngx_cometa_address_t *address);

void ngx_cometa_lane_settle(ngx_cometa_lane_t *lane);

/* Whether the webhook holds an event of the device with this hash. */
ngx_uint_t ngx_cometa_lane_exists(ngx_cometa_webhook_conf_t *conf,
    uint64_t hash);

ngx_cometa_event_t *ngx_cometa_lane_first(ngx_cometa_lane_t *lane);

/*
 * Adds an event of now at the end of a lane; the caller sets its session. NULL:
 * there is no room, and no larger share that could make room; or no memory.
 */
ngx_cometa_event_t *ngx_cometa_lane_add(ngx_cometa_lane_t *lane,
    ngx_cometa_news_t *news);
void ngx_cometa_lane_remove(ngx_cometa_event_t *e);

/* The first event of a lane may be sent. */
void ngx_cometa_lane_ready(ngx_cometa_lane_t *lane);

/*
 * The lane whose turn it is. It runs from now on, until ngx_cometa_lane_end()
 * is called. NULL: no lane is ready, or no further request may begin.
 */
ngx_cometa_lane_t *ngx_cometa_lane_next(ngx_cometa_webhook_conf_t *conf);
void ngx_cometa_lane_end(ngx_cometa_lane_t *lane);

/* Calls the handler for all lanes; it may free the lane that it gets. */
void ngx_cometa_lanes_each(void (*handler)(ngx_cometa_lane_t *lane));

/* How many events there are in all lanes. */
ngx_uint_t ngx_cometa_lanes_events(void);


#endif /* _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_ */
