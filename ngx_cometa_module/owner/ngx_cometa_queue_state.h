
/*
 * What the queue in front of a device is, at the worker that holds it: the part
 * that is the same wherever the device is held, and the part that is tied to
 * this process.
 */

#ifndef _NGX_COMETA_QUEUE_STATE_H_INCLUDED_
#define _NGX_COMETA_QUEUE_STATE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"


/*
 * These two go with ngx_cometa_device_state_t to another worker: no pointer,
 * nothing of this process, and no hole between the fields, so that they can be
 * written out as they are. Times are of clocks that all processes share. The
 * calls that wait do not go: they are sent back to their origins, and follow.
 */

/* A call, from its arrival at the owner of the device to its reply. */

typedef struct {
    ngx_cometa_ref_t      ref;          /* its name, and that of its origin */
    uint64_t              deadline;     /* ms, ngx_current_msec */
    uint64_t              time;         /* us, its arrival at the server */
    uint32_t              timeout;      /* ms that a late reply may be owed */
    uint32_t              len:31;       /* of its message */
    uint32_t              abandoned:1;  /* nobody waits for its reply */
} ngx_cometa_pending_t;


/*
 * Calls that were written are answered in their order. One that is abandoned
 * keeps its place: its reply is dropped when it comes. Only a device that takes
 * several at a time has more than one of them; see ngx_cometa_written.h.
 *
 * At `due` a device that is held is held no more. At `owed` one that still owes
 * the next reply is closed, if that call was abandoned or came with the device
 * from another worker; 0: it may take its time. Both are set in the timer one
 * after the other.
 */

typedef struct {
    ngx_cometa_pending_t  written;      /* if `busy`: the one to be answered
                                           next */
    uint64_t              due;          /* ms, ngx_current_msec */
    uint64_t              owed;         /* the same */
    uint32_t              waiting;      /* calls that wait for their turn */
    uint8_t               busy;         /* calls that were written */
    uint8_t               moved;        /* of these, those that came here with
                                           the device: the oldest ones */
    uint8_t               held;         /* nothing is written yet */
    uint8_t               unused;       /* 0 */
} ngx_cometa_queue_state_t;


_Static_assert(sizeof(ngx_cometa_pending_t) == 40, "no hole");
_Static_assert(sizeof(ngx_cometa_queue_state_t) == 64, "no hole");


/*
 * Calls that were written behind state.written, the oldest one at `first`; the
 * places are used in a circle.
 */

typedef struct {
    uint16_t                  size;     /* places, a power of two */
    uint16_t                  first;
    ngx_cometa_pending_t      calls[1];
} ngx_cometa_pipe_t;


/* A call that waits for its turn in this process; its message follows. */

typedef struct {
    ngx_queue_t               link;
    ngx_cometa_pending_t      call;
} ngx_cometa_waiting_t;


/*
 * What this process adds to the state. A queue that is free has no device, no
 * call and no timer set, and can be used as it is.
 */

struct ngx_cometa_queue_s {
    ngx_cometa_queue_state_t  state;

    ngx_queue_t               link;     /* in ngx_cometa_queues, or free */
    ngx_queue_t               waiting;  /* ngx_cometa_waiting_t */
    ngx_cometa_pipe_t        *pipe;     /* behind state.written, or NULL */
    ngx_cometa_device_t      *device;
    ngx_event_t               timer;    /* for state.due */
};


static ngx_inline void
ngx_cometa_pending_set(ngx_cometa_pending_t *call,
    ngx_cometa_mail_call_t *mail, size_t len)
{
    call->ref = mail->ref;
    call->deadline = mail->deadline;
    call->time = mail->time;
    call->timeout = mail->timeout;
    call->len = len;
    call->abandoned = 0;
}


#endif /* _NGX_COMETA_QUEUE_STATE_H_INCLUDED_ */
