
/*
 * The registry: which worker holds which device. Every worker reads and
 * writes it, each operation under the lock of one shard and in time that does
 * not grow with the number of devices.
 */

#ifndef _NGX_COMETA_REGISTRY_H_INCLUDED_
#define _NGX_COMETA_REGISTRY_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_slot.h"


/* Where a device is: its owner, and under which handle the owner has it. */

typedef struct {
    uint32_t         slot;
    uint32_t         epoch;
    uint32_t         handle;
    uint32_t         record;
    uint32_t         app;
    uint64_t         session;
} ngx_cometa_place_t;


/*
 * How many devices the application may have, which does not matter to a
 * takeover. Whether an attached device may be taken over, and how often within
 * COMETA_FLAP_WINDOW seconds before takeovers are delayed. `wait` and `first`
 * are set if the result is NGX_AGAIN.
 */

typedef struct {
    ngx_uint_t       bounded;
    ngx_uint_t       max;               /* devices, if `bounded` */
    ngx_uint_t       wanted;
    ngx_uint_t       limit;             /* 0: none */
    ngx_uint_t       wait;              /* s, until it may be taken over */
    unsigned         first;             /* this refusal is to be logged */
} ngx_cometa_takeover_t;


/*
 * Enters a device that this worker holds, under the given handle; the rest
 * of `place` is set, with a new session. If the device was attached before,
 * its old place is set in `old` (else old->session is 0). It is counted in the
 * gauge of devices, which keeps the place of its application, until the worker
 * takes it off the gauge.
 *
 * NGX_DECLINED: it is attached, and a takeover is not wanted.
 * NGX_AGAIN: it is attached at `old`, and was taken over too often.
 * NGX_BUSY: there is no room for it.
 * NGX_ABORT: its application has `max` devices.
 */
ngx_int_t ngx_cometa_registry_attach(ngx_cometa_key_t *key, uint32_t handle,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *place,
    ngx_cometa_place_t *old);

/* Takes it out, unless it has got a newer session meanwhile. */
void ngx_cometa_registry_detach(uint32_t record, uint64_t session);

/*
 * The device moves to this worker from the slot and epoch that had it, under
 * another handle and with its session, and is counted here. NGX_DECLINED: it is
 * not there any more. The caller keeps the place of the application meanwhile.
 */
ngx_int_t ngx_cometa_registry_move(uint32_t record, uint64_t session,
    uint32_t slot, uint32_t epoch, uint32_t handle);

/* Where this session of it is; NGX_DECLINED: nowhere. */
ngx_int_t ngx_cometa_registry_where(uint32_t record, uint64_t session,
    ngx_cometa_place_t *place);

/* Whether this session of it is held by this worker. */
ngx_uint_t ngx_cometa_registry_held(uint32_t record, uint64_t session);

/*
 * The same without the lock, for a device that this worker holds, or did until
 * somebody took it over: nobody else changes its record.
 */
ngx_uint_t ngx_cometa_registry_here(uint32_t record, uint64_t session);

/* NGX_DECLINED: not attached. */
ngx_int_t ngx_cometa_registry_find(ngx_cometa_key_t *key,
    ngx_cometa_place_t *place);

/* The same if the index of the application is known already. */
ngx_int_t ngx_cometa_registry_find_in(uint32_t app, ngx_cometa_key_t *key,
    ngx_cometa_place_t *place);

/*
 * A walk over all attached devices of an application in no special order, a
 * slice at a time: one bucket after the other from *cursor on. Fills ids[],
 * which must have room for NGX_COMETA_WALK_MAX, and returns how many there are.
 * A bucket is never cut. *cursor is NGX_COMETA_NONE after the last bucket.
 */
#define NGX_COMETA_WALK_MAX  512

typedef struct {
    uint64_t         session;
    uint8_t          len;
    u_char           data[NGX_COMETA_ID_MAX];
} ngx_cometa_id_t;

ngx_uint_t ngx_cometa_registry_walk(uint32_t app, uint32_t *cursor,
    ngx_cometa_id_t *ids);

/* Devices that attach from now on have larger sessions than this. */
uint64_t ngx_cometa_registry_newest(void);

/* The name of a device that this worker holds; valid while it holds it. */
void ngx_cometa_registry_name(uint32_t record, ngx_str_t *app,
    ngx_str_t *device);

/*
 * Whether the record still has the name of this hash: if a device was taken
 * over and its new connection has ended, another device may have got the
 * record.
 */
ngx_uint_t ngx_cometa_registry_named(uint32_t record, uint64_t hash);


#endif /* _NGX_COMETA_REGISTRY_H_INCLUDED_ */
