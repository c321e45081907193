
/*
 * A descriptor that the master has made for a slot. While this process has the
 * slot, it is one of the connections of nginx.
 */

#ifndef _NGX_COMETA_CHANNEL_H_INCLUDED_
#define _NGX_COMETA_CHANNEL_H_INCLUDED_


#include "ngx_cometa.h"


/* The handler is called when there is something to read. NULL: it failed. */
ngx_connection_t *ngx_cometa_channel_open(int fd, ngx_cycle_t *cycle,
    ngx_event_handler_pt handler);

/* The descriptor stays open: the next process in the slot needs it. */
void ngx_cometa_channel_close(ngx_connection_t *c);


#endif /* _NGX_COMETA_CHANNEL_H_INCLUDED_ */
