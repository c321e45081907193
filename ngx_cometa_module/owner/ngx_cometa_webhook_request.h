
/*
 * One try to send one event: a request that no client has made.
 */

#ifndef _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_


#include "ngx_cometa_webhook_types.h"


/*
 * At the start of a worker: `closing` is called when nginx closes the
 * connection of a request because worker_shutdown_timeout has passed.
 */
void ngx_cometa_webhook_request_start(void (*closing)(void));

/*
 * Makes the request for the first event of a lane, ready to be run. When the
 * request has ended and was logged, `done` is called with the lane, and
 * lane->status is the status of the answer; the event must not be freed before
 * that. Unless lane->speaks is set, nginx logs only alerts for the request.
 * NULL: no memory, or no descriptor; *err says which.
 */
ngx_http_request_t *ngx_cometa_webhook_request(ngx_cometa_lane_t *lane,
    ngx_pool_cleanup_pt done, ngx_err_t *err);

/* Whether a request was made by the webhook. */
ngx_uint_t ngx_cometa_webhook_made(ngx_http_request_t *r);

/* Handlers of phases, for requests that the webhook made. */
ngx_int_t ngx_cometa_webhook_unsized(ngx_http_request_t *r);
ngx_int_t ngx_cometa_webhook_quiet(ngx_http_request_t *r);
ngx_int_t ngx_cometa_webhook_sized(ngx_http_request_t *r);


#endif /* _NGX_COMETA_WEBHOOK_REQUEST_H_INCLUDED_ */
