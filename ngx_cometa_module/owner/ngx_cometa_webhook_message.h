
/*
 * The method, headers and body of a request of the webhook.
 */

#ifndef _NGX_COMETA_WEBHOOK_MESSAGE_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_MESSAGE_H_INCLUDED_


#include "ngx_cometa_webhook_types.h"


/*
 * Fills the request for that event. Names and data are not copied: lane and
 * event have to outlive the request.
 */
ngx_int_t ngx_cometa_webhook_fill(ngx_http_request_t *r,
    ngx_cometa_lane_t *lane, ngx_cometa_event_t *e);


#endif /* _NGX_COMETA_WEBHOOK_MESSAGE_H_INCLUDED_ */
