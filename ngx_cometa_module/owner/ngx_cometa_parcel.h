
/*
 * A device in a parcel: what goes with its descriptor from a worker of an old
 * configuration to one of a new one. Both run on the same machine, and the
 * zone says that they have the same layout; what a length says is checked.
 *
 *     +--------+------+-------+-------+--------+------+--------+
 *     | parcel | info | asked | calls | unread | rest | unsent |
 *     +--------+------+-------+-------+--------+------+--------+
 *                .info  .asked    |     .unread  .rest  .unsent   bytes
 *                                 |
 *                                 ngx_cometa_queue_more(&.queue)
 */

#ifndef _NGX_COMETA_PARCEL_H_INCLUDED_
#define _NGX_COMETA_PARCEL_H_INCLUDED_


#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue_state.h"


typedef struct {
    uint32_t                   kind;        /* NGX_COMETA_PARCEL_DEVICE */
    uint32_t                   epoch;       /* of the addressee's slot */

    /* who has it, and by which names */

    uint32_t                   from_slot;
    uint32_t                   from_epoch;
    uint32_t                   handle;
    uint32_t                   index;       /* of the offer */

    uint64_t                   location;    /* id of its configuration */

    uint32_t                   since;       /* ms, if `begun` */
    uint32_t                   begun;       /* a chunk */
    uint32_t                   unread;      /* bytes of that chunk */
    uint32_t                   rest;        /* bytes not decoded */
    uint32_t                   unsent;
    uint32_t                   info;
    uint32_t                   asked;       /* 0: for nothing */
    uint32_t                   spare;

    ngx_cometa_device_state_t  state;
    ngx_cometa_queue_state_t   queue;
} ngx_cometa_device_parcel_t;


/*
 * Sets the lengths of the parcel, and returns all that goes, `*len` bytes,
 * valid until the next one is packed. NULL: too many, or no memory.
 */
u_char *ngx_cometa_parcel_pack(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, size_t *len);


#endif /* _NGX_COMETA_PARCEL_H_INCLUDED_ */
