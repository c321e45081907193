
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

/*
 * A call of a device which this worker holds has ended, and nobody waits for
 * its answer: the webhook is told. The id of the call has at most
 * NGX_COMETA_CALL_ID_MAX bytes; `error` is a static word, or NULL.
 */
void ngx_cometa_notify_reply(ngx_cometa_device_t *dev, ngx_str_t *call,
    ngx_str_t *error, u_char *data, size_t len);


#endif /* _NGX_COMETA_NOTIFY_H_INCLUDED_ */
