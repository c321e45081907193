
/*
 * A queue of calls as this process has it, for the files that work on it:
 * ngx_cometa_queue.c and ngx_cometa_queue_move.c.
 */

#ifndef _NGX_COMETA_QUEUE_TYPES_H_INCLUDED_
#define _NGX_COMETA_QUEUE_TYPES_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue_state.h"


/* A call that waits for its turn; its message follows. */

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
    ngx_cometa_device_t      *device;
    ngx_event_t               timer;    /* for state.due */
};


/* That of the device, made if it has none; NULL: no memory. */
ngx_cometa_queue_t *ngx_cometa_queue_get(ngx_cometa_device_t *dev);
void ngx_cometa_queue_free(ngx_cometa_queue_t *queue);

/* Sets the timer, and `due` of the state. */
void ngx_cometa_queue_arm(ngx_cometa_queue_t *queue, uint64_t due);

/* Those that wait fail with NGX_COMETA_MOVED. */
void ngx_cometa_queue_send_back(ngx_cometa_queue_t *queue);


#endif /* _NGX_COMETA_QUEUE_TYPES_H_INCLUDED_ */
