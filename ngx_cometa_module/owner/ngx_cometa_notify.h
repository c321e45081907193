
/*
 * Passes on what happens to devices: to the queue of calls, to WebSockets on
 * all workers, to the webhook.
 */

#ifndef _NGX_COMETA_NOTIFY_H_INCLUDED_
#define _NGX_COMETA_NOTIFY_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue.h"


/* At the start of a worker: sets ngx_cometa_device_handlers. */
void ngx_cometa_notify_start(void);


#endif /* _NGX_COMETA_NOTIFY_H_INCLUDED_ */
