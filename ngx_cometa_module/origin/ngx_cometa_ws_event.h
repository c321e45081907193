
/*
 * Events of a device, which its owner sends to the workers with WebSockets to
 * it.
 */

#ifndef _NGX_COMETA_WS_EVENT_H_INCLUDED_
#define _NGX_COMETA_WS_EVENT_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"


/* A device that WebSockets here are open to has said something. */
void ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail, u_char *data,
    size_t len);


#endif /* _NGX_COMETA_WS_EVENT_H_INCLUDED_ */
