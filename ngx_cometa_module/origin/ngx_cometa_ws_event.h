
/*
 * What WebSockets are told of their device by its owner.
 */

#ifndef _NGX_COMETA_WS_EVENT_H_INCLUDED_
#define _NGX_COMETA_WS_EVENT_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"


/* Mail to workers with an interest in a device: EVENT, ONLINE. */
void ngx_cometa_ws_deliver(ngx_cometa_mail_t *mail, u_char *body,
    size_t len);


#endif /* _NGX_COMETA_WS_EVENT_H_INCLUDED_ */
