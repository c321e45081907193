
/*
 * Events of devices as POST requests to a location of the server, made by the
 * worker that holds the device, without any client.
 */

#ifndef _NGX_COMETA_WEBHOOK_H_INCLUDED_
#define _NGX_COMETA_WEBHOOK_H_INCLUDED_


#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_webhook_types.h"


/* In the configuration phase. */
void ngx_cometa_webhook_conf_init(ngx_cometa_webhook_conf_t *conf);

ngx_int_t ngx_cometa_webhook_start(ngx_cycle_t *cycle);

/*
 * Queues an event; if it does not fit, it is counted as dropped. `reason` is
 * NULL for data. The data is copied, `reason` must be static.
 */
void ngx_cometa_webhook_push(ngx_cometa_webhook_conf_t *conf,
    ngx_cometa_device_t *dev, ngx_uint_t event, ngx_str_t *reason,
    u_char *data, size_t len);


/* How many events wait or are being sent. */
ngx_uint_t ngx_cometa_webhook_count(void);

/* The process ends: all events fail, running ones too. */
void ngx_cometa_webhook_abandon(void);


#endif /* _NGX_COMETA_WEBHOOK_H_INCLUDED_ */
