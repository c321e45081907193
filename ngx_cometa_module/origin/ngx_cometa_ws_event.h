
/*
 * Events of a device, which its owner sends to the workers with WebSockets to
 * it, or with channels of its application.
 */

#ifndef _NGX_COMETA_WS_EVENT_H_INCLUDED_
#define _NGX_COMETA_WS_EVENT_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_notice.h"


/* At the start of a worker. */
void ngx_cometa_ws_event_start(ngx_cycle_t *cycle);

/* The handler of EVENT. */
void ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice);

/*
 * Tells what was put off. Sockets may end, so no caller may be about to use
 * one.
 */
void ngx_cometa_ws_event_flush(void);


#endif /* _NGX_COMETA_WS_EVENT_H_INCLUDED_ */
