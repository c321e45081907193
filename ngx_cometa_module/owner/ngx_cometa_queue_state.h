
/*
 * What the queue in front of a device is wherever the device is held: it would
 * go with ngx_cometa_device_state_t to another worker. No pointer, nothing of
 * this process, and no hole between the fields, so that the structs can be
 * written out as they are. Times are of clocks that all processes share. The
 * lists, the timer and the log that a process adds are in ngx_cometa_queue.c.
 *
 * Written out, a queue is its ngx_cometa_queue_state_t, and behind it for each
 * call that waits, in their order, an ngx_cometa_pending_t and its message.
 */

#ifndef _NGX_COMETA_QUEUE_STATE_H_INCLUDED_
#define _NGX_COMETA_QUEUE_STATE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"


/* A call, from its arrival at the owner of the device to its reply. */

typedef struct {
    ngx_cometa_ref_t      ref;          /* its name, and that of its origin */
    uint64_t              deadline;     /* ms, ngx_current_msec */
    uint64_t              time;         /* us, its arrival at the server */
    uint32_t              timeout;      /* ms that a late reply may be owed */
    uint32_t              len;          /* of its message */
} ngx_cometa_pending_t;


/*
 * At `due` a device that is held is held no more, and one that still owes the
 * reply to an abandoned call is closed; otherwise `due` means nothing.
 */

typedef struct {
    ngx_cometa_pending_t  written;      /* if `busy`: the reply is to come */
    uint64_t              due;          /* ms, ngx_current_msec */
    uint32_t              waiting;      /* calls that wait for their turn */
    uint8_t               busy;
    uint8_t               abandoned;    /* nobody waits for that reply */
    uint8_t               held;         /* nothing is written yet */
    uint8_t               unused;       /* 0 */
} ngx_cometa_queue_state_t;


_Static_assert(sizeof(ngx_cometa_pending_t) == 40, "no hole");
_Static_assert(sizeof(ngx_cometa_queue_state_t) == 56, "no hole");


#endif /* _NGX_COMETA_QUEUE_STATE_H_INCLUDED_ */
