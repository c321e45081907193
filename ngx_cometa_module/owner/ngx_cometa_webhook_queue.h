
/*
 * The events that a webhook holds: who has how many of them, and who loses one
 * when there is no more room.
 *
 *     webhook --> tenants --> lanes --> events
 *                 (applications)  (devices)
 *
 * Tenants and lanes exist while they have events. What is under way does not
 * count as held: it cannot be taken back.
 */

#ifndef _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_QUEUE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_share.h"
#include "ngx_cometa_webhook.h"


typedef struct ngx_cometa_lane_s  ngx_cometa_lane_t;


/* One event; its data follows. */

typedef struct {
    ngx_queue_t                 link;
    ngx_cometa_lane_t          *lane;
    ngx_str_t                  *reason;
    uint64_t                    session;
    uint32_t                    len;
    uint32_t                    places;     /* of the queue */
    uint8_t                     event;
    uint8_t                     tries;
} ngx_cometa_event_t;


typedef struct {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 turn;       /* of the webhook, if any ready */
    ngx_queue_t                 ready;      /* lanes */
    ngx_cometa_share_t          share;      /* of the webhook's queue */
    ngx_cometa_shares_t         shares;     /* of its lanes */
    ngx_cometa_webhook_conf_t  *conf;
    ngx_uint_t                  lanes;
    ngx_uint_t                  running;    /* requests */
    uint32_t                    app;
} ngx_cometa_tenant_t;


struct ngx_cometa_lane_s {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 ready;      /* in the tenant's, if queued */
    ngx_queue_t                 events;
    ngx_cometa_share_t          share;      /* of the tenant's */
    ngx_cometa_tenant_t        *tenant;
    ngx_event_t                 timer;      /* until the next try */
    ngx_http_request_t         *request;    /* running */
    ngx_uint_t                  status;     /* of its answer */
    ngx_cometa_key_t            key;
    u_char                      app[NGX_COMETA_ID_MAX];
    u_char                      device[NGX_COMETA_ID_MAX];
    socklen_t                   socklen;
    ngx_sockaddr_t              addr;
    unsigned                    queued:1;
    unsigned                    running:1;
    unsigned                    speaks:1;   /* nginx may log its try */
};


void ngx_cometa_lanes_start(void);

/*
 * The lane of a device, made if there is none. An empty one has to be given to
 * ngx_cometa_lane_settle() again. NULL: no memory, or the device has lost its
 * name.
 */
ngx_cometa_lane_t *ngx_cometa_lane_get(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev);
void ngx_cometa_lane_settle(ngx_cometa_lane_t *lane);

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
