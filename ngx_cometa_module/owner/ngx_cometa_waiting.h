
/*
 * The calls that wait in front of a device, in the order of their arrival at
 * the server. Whoever looks after the queue tells their origins; see
 * ngx_cometa_queue.c.
 */

#ifndef _NGX_COMETA_WAITING_H_INCLUDED_
#define _NGX_COMETA_WAITING_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_queue_state.h"


/* The message is copied. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_waiting_add(ngx_cometa_queue_t *queue,
    ngx_cometa_mail_call_t *mail, u_char *message, size_t len);

/* The one that waits longest; there has to be one. */
ngx_cometa_waiting_t *ngx_cometa_waiting_first(ngx_cometa_queue_t *queue);

/* NULL: it does not wait here. */
ngx_cometa_waiting_t *ngx_cometa_waiting_find(ngx_cometa_queue_t *queue,
    ngx_cometa_ref_t *ref);

/*
 * Takes it out of the list, and leaves it to the caller, who frees it. An
 * origin that is told of a failure is told before: a queue with nothing in it
 * could be freed meanwhile.
 */
void ngx_cometa_waiting_leave(ngx_cometa_queue_t *queue,
    ngx_cometa_waiting_t *turn);


#endif /* _NGX_COMETA_WAITING_H_INCLUDED_ */
