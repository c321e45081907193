
/*
 * A WebSocket in a parcel: what goes with its descriptor from a worker of an
 * old configuration to one of a new one. Both have the same zone, so the
 * structs have the same layout; what a length says is checked.
 *
 *     +--------+---------+-----+--------+---------+---------+------+--------+
 *     | parcel | address | app | device | message | control | rest | output |
 *     +--------+---------+-----+--------+---------+---------+------+--------+
 */

#ifndef _NGX_COMETA_WS_PARCEL_H_INCLUDED_
#define _NGX_COMETA_WS_PARCEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_cometa_ws.h"
#include "cometa_ws.h"


typedef struct {
    uint32_t     kind;          /* NGX_COMETA_PARCEL_WS */
    uint32_t     epoch;         /* of the addressee's slot */

    /* who has it, and by which name */

    uint32_t     from_slot;
    uint32_t     from_epoch;
    uint64_t     serial;        /* of the offer */
    uint32_t     index;         /* of the parcel, which an answer names */

    uint16_t     debug;         /* by debug_connection */
    uint16_t     again;         /* the offer had a parcel before */
    uint64_t     location;      /* id of its configuration */

    uint16_t     address;       /* bytes of each part */
    uint16_t     app;
    uint16_t     device;
    uint16_t     unused;        /* 0 */
    uint32_t     message;
    uint32_t     control;
    uint32_t     rest;
    uint32_t     output;

    cometa_ws_t  codec;

    ngx_cometa_ws_mode_t  mode;
} ngx_cometa_ws_parcel_t;


/*
 * Sets lengths and codec of the parcel, but that of the output, of which so
 * many bytes go. c is the connection. Returns all that goes, `*len` bytes,
 * valid until the next one is packed. NULL: too many, or no memory.
 */
u_char *ngx_cometa_ws_parcel_pack(ngx_cometa_ws_t *s, ngx_connection_t *c,
    ngx_cometa_ws_parcel_t *parcel, size_t *len);


#endif /* _NGX_COMETA_WS_PARCEL_H_INCLUDED_ */
