
/*
 * Mail about a device that has nothing to do with its calls, at the worker
 * that holds the device.
 */

#ifndef _NGX_COMETA_OWNER_H_INCLUDED_
#define _NGX_COMETA_OWNER_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"


/* What letters about this device have in front. */
void ngx_cometa_owner_head(ngx_cometa_device_t *dev,
    ngx_cometa_mail_head_t *head);

/* Another connection takes the device over, or was refused that. */
void ngx_cometa_owner_evict(ngx_cometa_mail_evict_t *mail, ngx_str_t *addr);

/* Answers with the figures of the device. */
void ngx_cometa_owner_query(ngx_cometa_mail_query_t *mail);

/* A worker holds so many WebSockets to the device. */
void ngx_cometa_owner_listeners(ngx_cometa_mail_listeners_t *mail);


#endif /* _NGX_COMETA_OWNER_H_INCLUDED_ */
