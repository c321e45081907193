
/*
 * Letters to the owner of a device that are not about its calls.
 */

#ifndef _NGX_COMETA_OWNER_H_INCLUDED_
#define _NGX_COMETA_OWNER_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"


/* Fills the head of letters about this device. */
void ngx_cometa_owner_head(ngx_cometa_device_t *dev,
    ngx_cometa_mail_head_t *head);

/* Another client takes the device over, or was refused. */
void ngx_cometa_owner_evict(ngx_cometa_mail_evict_t *mail, ngx_str_t *addr);

/* Answers with the figures of the device, or ends it, and says so. */
void ngx_cometa_owner_query(ngx_cometa_mail_query_t *mail);

/* A worker tells how many WebSockets to the device it holds. */
void ngx_cometa_owner_listeners(ngx_cometa_mail_listeners_t *mail);


#endif /* _NGX_COMETA_OWNER_H_INCLUDED_ */
