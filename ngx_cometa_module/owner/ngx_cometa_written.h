
/*
 * The calls that are with a device: they were written to it, and are answered
 * in that order. As a rule it is one, which is a part of the queue's state;
 * those behind it, at a device that takes several, lie in memory of their own,
 * which is there as long as there are any.
 */

#ifndef _NGX_COMETA_WRITTEN_H_INCLUDED_
#define _NGX_COMETA_WRITTEN_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_queue_state.h"


/* Makes room for one more. NGX_ERROR: no memory, and there are some already. */
ngx_int_t ngx_cometa_written_room(ngx_cometa_queue_t *queue);

/* Adds the youngest one, for which there is room; it is copied. */
void ngx_cometa_written_add(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call);

/* Takes the oldest one out; there has to be one. */
void ngx_cometa_written_take(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call);

/* The n-th one, 0 is the oldest; n has to be below state.busy. */
ngx_cometa_pending_t *ngx_cometa_written_get(ngx_cometa_queue_t *queue,
    ngx_uint_t n);

/* NULL: it is not with the device. */
ngx_cometa_pending_t *ngx_cometa_written_find(ngx_cometa_queue_t *queue,
    ngx_cometa_ref_t *ref);

/* There are none any more. */
void ngx_cometa_written_clear(ngx_cometa_queue_t *queue);


#endif /* _NGX_COMETA_WRITTEN_H_INCLUDED_ */
