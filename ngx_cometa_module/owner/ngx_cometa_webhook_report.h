
/*
 * What the log says of events that are lost: one line a second for each
 * webhook and kind, with their number.
 */

#ifndef _NGX_COMETA_WEBHOOK_REPORT_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_REPORT_H_INCLUDED_


#include "ngx_cometa_webhook_types.h"


/* In the configuration phase. */
void ngx_cometa_webhook_report_init(ngx_cometa_report_t *report);

/* Count an event, and log it now or later. `lane` may be NULL. */
void ngx_cometa_webhook_dropped(ngx_cometa_webhook_conf_t *conf, uint32_t app,
    ngx_cometa_lane_t *lane, uint64_t session);
void ngx_cometa_webhook_failed(ngx_cometa_lane_t *lane,
    ngx_cometa_event_t *e);

/* A try begins: decides whether nginx may log it. A try has ended. */
void ngx_cometa_webhook_speak(ngx_cometa_lane_t *lane);
void ngx_cometa_webhook_spoke(ngx_cometa_lane_t *lane, ngx_uint_t failed);

#endif /* _NGX_COMETA_WEBHOOK_REPORT_H_INCLUDED_ */
