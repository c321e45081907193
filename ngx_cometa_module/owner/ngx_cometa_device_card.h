
/*
 * The card of a device, which a call does not need: its info, and the workers
 * that hold WebSockets to it. Also the figures of a device as JSON.
 */

#ifndef _NGX_COMETA_DEVICE_CARD_H_INCLUDED_
#define _NGX_COMETA_DEVICE_CARD_H_INCLUDED_


#include "ngx_cometa_device_state.h"


/* The info is copied, NGX_COMETA_INFO_MAX bytes of it at most. */
ngx_int_t ngx_cometa_device_info(ngx_cometa_device_t *dev, ngx_str_t *info);

/* Notes that a worker holds n WebSockets to the device. */
void ngx_cometa_device_listeners(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch, ngx_uint_t n);

/* Writes its figures as a JSON object to dst; returns the end. */
#define NGX_COMETA_DEVICE_JSON  2560
u_char *ngx_cometa_device_json(ngx_cometa_device_t *dev, u_char *dst);

void ngx_cometa_device_card_free(ngx_cometa_device_t *dev);


#endif /* _NGX_COMETA_DEVICE_CARD_H_INCLUDED_ */
