
/*
 * The calls of this worker: the table in which letters find them by their
 * names, and the lists of calls that wait for the same worker or for the same
 * attach.
 */

#ifndef _NGX_COMETA_CALL_TABLE_H_INCLUDED_
#define _NGX_COMETA_CALL_TABLE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"


typedef enum {
    NGX_COMETA_CALL_FREE = 0,
    NGX_COMETA_CALL_NEW,
    NGX_COMETA_CALL_SENT,
    NGX_COMETA_CALL_WAITS_TURN,
    NGX_COMETA_CALL_WRITTEN,
    NGX_COMETA_CALL_OFFLINE
} ngx_cometa_call_state_e;


typedef struct ngx_cometa_call_s  ngx_cometa_call_t;

/*
 * The end of a call, never after a cancel. `error` is NGX_COMETA_OK with the
 * reply in data, valid until this returns. The call is freed after it.
 */
typedef void (*ngx_cometa_call_pt)(ngx_cometa_call_t *call,
    ngx_uint_t error, u_char *data, size_t len);


struct ngx_cometa_call_s {

    /* set by the caller; the strings must live as long as the call */

    ngx_cometa_key_t      key;
    ngx_str_t             message;
    ngx_msec_t            timeout;      /* from the begin to the deadline */
    ngx_msec_t            owe;          /* how long a late reply may be owed */
    ngx_msec_t            wait;         /* for an attach; 0: not at all */
    ngx_uint_t            queue;        /* how many may wait at the device */
    ngx_cometa_call_pt    handler;
    void                 *data;
    uint64_t              only;         /* this session of it; 0: any one */
    unsigned              query:1;      /* for the device's figures */
    unsigned              kick:1;       /* with `query`: to end the device */
    unsigned              debug:1;      /* see ngx_cometa_trace.h */

    /* set at the end, for logs */

    uint64_t              latency;      /* us */
    uint64_t              session;
    unsigned              remote:1;

    /* private */

    ngx_queue_t           link;
    ngx_event_t           timer;
    ngx_cometa_place_t    place;
    uint64_t              pos;          /* of its letter, at a remote owner */
    uint64_t              time;         /* us, its arrival */
    uint64_t              deadline;     /* ms */
    uint64_t              online;       /* ms, end of the wait for an attach */
    uint32_t              index;
    uint32_t              generation;
    uint32_t              app;
    uint8_t               state;        /* ngx_cometa_call_state_e */
    uint8_t               tries;
};


ngx_int_t ngx_cometa_call_table_start(ngx_cycle_t *cycle);

/* All zero but index and generation; NULL: no memory. */
ngx_cometa_call_t *ngx_cometa_call_table_get(void);

/* Frees the call: from now on its name is that of no call. */
void ngx_cometa_call_table_free(ngx_cometa_call_t *call);

/* The call that an answer is for; NULL: it has ended, or was sent again. */
ngx_cometa_call_t *ngx_cometa_call_table_find(ngx_cometa_ref_t *ref);


/*
 * Calls to devices of other workers. _lost() moves those of workers that have
 * died into the queue. _any() says whether there is a call in any of the lists.
 */
void ngx_cometa_call_held_add(ngx_cometa_call_t *call);
void ngx_cometa_call_held_remove(ngx_cometa_call_t *call);
void ngx_cometa_call_held_lost(ngx_queue_t *lost);
ngx_uint_t ngx_cometa_call_held_any(void);


/*
 * Calls that wait for the attach of a device. _move() moves the calls for this
 * device into the queue, in their order.
 */
void ngx_cometa_call_waiters_add(ngx_cometa_call_t *call);
ngx_uint_t ngx_cometa_call_waiters_count(ngx_cometa_key_t *key);
void ngx_cometa_call_waiters_move(ngx_cometa_key_t *key, ngx_queue_t *ready);


#endif /* _NGX_COMETA_CALL_TABLE_H_INCLUDED_ */
