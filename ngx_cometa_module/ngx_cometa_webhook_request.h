
/*
 * One try to send one event: a request that no client has made.
 */

#ifndef _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_


#include "ngx_cometa_webhook.h"
#include "ngx_cometa_compat.h"


typedef struct ngx_cometa_lane_s  ngx_cometa_lane_t;


/* One event; its data follows. */

typedef struct {
    ngx_queue_t                 link;
    ngx_cometa_lane_t          *lane;
    ngx_cometa_webhook_conf_t  *conf;
    ngx_str_t                  *reason;
    uint64_t                    session;
    uint32_t                    app;
    uint32_t                    len;
    uint8_t                     event;
    uint8_t                     tries;
} ngx_cometa_event_t;


struct ngx_cometa_lane_s {
    ngx_queue_t                 link;       /* in the table */
    ngx_queue_t                 ready;      /* in the queue of that name */
    ngx_queue_t                 events;
    ngx_event_t                 timer;      /* until the next try */
    ngx_http_request_t         *request;    /* running */
    ngx_cometa_key_t            key;
    u_char                      device[NGX_COMETA_ID_MAX];
    socklen_t                   socklen;
    u_char                      addr[sizeof(struct sockaddr_in6)]
                                    __attribute__((aligned(4)));
};


/*
 * Makes the request for the first event of a lane, ready to be run. `done` is
 * called with the lane at its end, when it has been logged; the event has to
 * stay until then. NULL: no memory, or no descriptor.
 */
ngx_http_request_t *ngx_cometa_webhook_request(ngx_cometa_lane_t *lane,
    ngx_pool_cleanup_pt done);


#endif /* _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_ */
