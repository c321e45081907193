
/*
 * Events of devices as POST requests to a location of the server, made by the
 * worker that holds the device, without any client.
 */

#ifndef _NGX_COMETA_WEBHOOK_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook_types.h"


/* In the configuration phase. */
void ngx_cometa_webhook_conf_init(ngx_cometa_webhook_conf_t *conf);

ngx_int_t ngx_cometa_webhook_start(ngx_cycle_t *cycle);

/*
 * Queues an event of a device that this worker holds; if it does not fit, it is
 * counted as dropped.
 */
void ngx_cometa_webhook_push(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_cometa_news_t *news);

/*
 * The same for a device that is nowhere, or elsewhere: `app` is the index of
 * the application in the zone, the session may be 0. $remote_addr is "unix:".
 */
void ngx_cometa_webhook_push_absent(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_key_t *key, uint32_t app, uint64_t session,
    ngx_cometa_news_t *news);

/* How many events wait or are being sent. */
ngx_uint_t ngx_cometa_webhook_count(void);

/* The process ends: all events fail, running ones too. */
void ngx_cometa_webhook_abandon(void);


#endif /* _NGX_COMETA_WEBHOOK_H_INCLUDED_ */
