
/*
 * What happens to devices, told to whoever wants to know: the line of calls,
 * WebSockets on all workers, the webhook.
 */

#ifndef _NGX_COMETA_NOTIFY_H_INCLUDED_
#define _NGX_COMETA_NOTIFY_H_INCLUDED_


#include "ngx_cometa_queue.h"


/* At the start of a worker: becomes the handlers of its devices. */
void ngx_cometa_notify_start(void);


#endif /* _NGX_COMETA_NOTIFY_H_INCLUDED_ */
