
/*
 * One try to send one event: a request that no client has made.
 */

#ifndef _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_


#include "ngx_cometa_webhook_queue.h"
#include "ngx_cometa_compat.h"


/*
 * Makes the request for the first event of a lane, ready to be run. `done` is
 * called with the lane at its end, when it has been logged, and lane->status is
 * that of the answer; the event has to stay until then. Unless lane->speaks,
 * nginx logs nothing of it but alerts. NULL: no memory, or no descriptor; *err
 * says why.
 */
ngx_http_request_t *ngx_cometa_webhook_request(ngx_cometa_lane_t *lane,
    ngx_pool_cleanup_pt done, ngx_err_t *err);


#endif /* _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_ */
