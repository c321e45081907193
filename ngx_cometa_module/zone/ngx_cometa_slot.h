
/*
 * Slots: the place of a worker process in the zone. A slot has a mailbox and a
 * door, and its epoch says whether what a process has written is still valid.
 */

#ifndef _NGX_COMETA_SLOT_H_INCLUDED_
#define _NGX_COMETA_SLOT_H_INCLUDED_


#include "ngx_cometa_zone.h"


/*
 * What lies in a door: the first field of every parcel, of 32 bits. A worker
 * that sends an OPENING keeps nothing of it, the sender of any other one keeps
 * the connection until it is answered.
 */

typedef enum {
    NGX_COMETA_PARCEL_OPENING = 1,      /* a WebSocket that opens here */
    NGX_COMETA_PARCEL_DEVICE,           /* a device of an old worker */
    NGX_COMETA_PARCEL_WS,               /* a WebSocket of an old worker */

    /* one of these whose state of TLS goes before it */
    NGX_COMETA_PARCEL_TLS = 0x100
} ngx_cometa_parcel_e;


/* In a worker, at its start and at its end. */
ngx_int_t ngx_cometa_slot_claim(ngx_cometa_head_t *head, ngx_log_t *log);
void ngx_cometa_slot_release(void);

/*
 * Whether the process that had this slot under this epoch is still there.
 * Vacates the slot if it finds its process dead.
 */
ngx_uint_t ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch);

/*
 * For a worker that leaves: whether another process takes over its work, or
 * will.
 */
ngx_uint_t ngx_cometa_slot_successor(void);

/* Whether a configuration is newer than ours: their numbers grow, and wrap. */
ngx_uint_t ngx_cometa_slot_newer(uint32_t generation);

void ngx_cometa_slot_wake(uint32_t slot);

/*
 * Closes the connections that lie in the door of a slot that no process has. If
 * a process has the slot, it will take them out.
 */
void ngx_cometa_slot_forsaken(uint32_t slot);


/*
 * How many devices of an application the process of a slot has: those that it
 * counts, without those that another worker has taken.
 */
uint64_t ngx_cometa_slot_devices_of(uint32_t slot, uint32_t app);


#endif /* _NGX_COMETA_SLOT_H_INCLUDED_ */
