
/*
 * The queue of calls in front of a device, at the worker that holds it: one
 * call at a time is written, or as many as the device has asked for, the others
 * wait in arrival order, a late reply reaches nobody.
 */

#ifndef _NGX_COMETA_QUEUE_H_INCLUDED_
#define _NGX_COMETA_QUEUE_H_INCLUDED_


#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_trace.h"


/* A line of the debug log about a call. */

#define ngx_cometa_queue_trace(ref, session, what)                            \
    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, ngx_cometa_trace((ref)->debug), 0,     \
                   "cometa queue: call %ud:%uD:%uD %s, session %uL",          \
                   (unsigned) (ref)->slot, (ref)->index, (ref)->generation,   \
                   what, session)


/* At the start of a worker. */
void ngx_cometa_queue_start(void);

/* What devices do, as ngx_cometa_device_handlers has it. */
ngx_int_t ngx_cometa_queue_reply(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
ngx_uint_t ngx_cometa_queue_outstanding(ngx_cometa_device_t *dev);
void ngx_cometa_queue_next(ngx_cometa_device_t *dev);

/*
 * The device has just taken over from another connection: the calls that
 * waited there arrive by way of their origins, and are given a moment to do
 * so, that they may stand in their old order.
 */
void ngx_cometa_queue_hold(ngx_cometa_device_t *dev);

/* Mail from the origin of a call. */
void ngx_cometa_queue_call(ngx_cometa_mail_call_t *mail, u_char *message,
    size_t len);
void ngx_cometa_queue_cancel(ngx_cometa_mail_cancel_t *mail);

/* Workers have died: their calls are abandoned. */
void ngx_cometa_queue_deaths(void);

/*
 * For ngx_cometa_queue_move.c: the queue of a device, made if it has none.
 * NULL: no memory.
 */
ngx_cometa_queue_t *ngx_cometa_queue_get(ngx_cometa_device_t *dev);
void ngx_cometa_queue_free(ngx_cometa_queue_t *queue);

/* Sets its timer, and `due` of its state. */
void ngx_cometa_queue_arm(ngx_cometa_queue_t *queue, uint64_t due);

/* The reply to the written call may come until its deadline and `timeout`. */
void ngx_cometa_queue_owe(ngx_cometa_queue_t *queue);


#endif /* _NGX_COMETA_QUEUE_H_INCLUDED_ */
