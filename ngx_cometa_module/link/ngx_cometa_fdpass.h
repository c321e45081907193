
/*
 * Connections that move to another worker: a descriptor and some bytes go
 * through the door of its slot, by SCM_RIGHTS. The master makes the doors, a
 * pair of sockets for each slot.
 *
 *     worker --door[1]--> [ parcel | descriptor ] --door[0]--> process of the
 *                                                              slot
 */

#ifndef _NGX_COMETA_FDPASS_H_INCLUDED_
#define _NGX_COMETA_FDPASS_H_INCLUDED_


#include "ngx_cometa_slot.h"


/*
 * Bytes of a parcel: a message that was begun and another one that was not
 * written, of the default size, and what goes with them. A door takes two of
 * these.
 */
#define NGX_COMETA_PARCEL_MAX  (132 * 1024)


/*
 * Takes a connection in: nothing of it is set but what nginx needs to read
 * and write a plain one. The data is valid until this returns. c is NULL if
 * there was no descriptor or no connection left for it: then NGX_DECLINED says
 * that the sender has kept none, so that it is lost.
 */
typedef ngx_int_t (*ngx_cometa_fdpass_pt)(ngx_connection_t *c, u_char *data,
    size_t len);


/*
 * At the start of a worker that has a slot, and at its end. begin: from now on
 * others see it as one of that configuration.
 */
ngx_int_t ngx_cometa_fdpass_open(ngx_cycle_t *cycle,
    ngx_cometa_fdpass_pt handler);
void ngx_cometa_fdpass_begin(ngx_cycle_t *cycle, uint32_t generation);
void ngx_cometa_fdpass_close(void);

/*
 * Whether a worker would take a connection: it has the same configuration as
 * this one, does not leave, and is not crowded.
 */
ngx_uint_t ngx_cometa_fdpass_to(uint32_t slot, uint32_t epoch);

/*
 * The worker of a newer configuration that should take over a connection: of
 * those that stay and have room the one with the fewest devices; `also` has
 * for each slot how many more are on their way there (one that has many of them
 * is passed over), or is NULL.
 * NGX_DECLINED: there is none.
 */
ngx_int_t ngx_cometa_fdpass_heir(uint32_t *also, uint32_t *slot,
    uint32_t *epoch);

/* Whether the worker in this slot is one of them. */
ngx_uint_t ngx_cometa_fdpass_is_heir(uint32_t slot);
/*
 * Whether all workers of the newest configuration are there: those that come
 * first are not to get everything.
 */
ngx_uint_t ngx_cometa_fdpass_complete(void);

/* Whether there are workers of a newer configuration at all. */
ngx_uint_t ngx_cometa_fdpass_inherited(void);

/* Others are told when this worker has no room. For one that has a slot. */
void ngx_cometa_fdpass_crowd(void);

/*
 * Passes a connection on. NGX_OK: it has left with the data, and is closed in
 * this process. NGX_DECLINED: it has stayed as it was.
 */
ngx_int_t ngx_cometa_fdpass(uint32_t slot, uint32_t epoch,
    ngx_connection_t *c, u_char *data, size_t len);

/*
 * Sends a copy of the descriptor with the data. The connection stays open in
 * this process, and no event comes of it any more, until it is known whether
 * the addressee has taken it: then it is given up by ngx_cometa_fdpass_left(),
 * or goes on here. NGX_AGAIN: the door is full; NGX_DECLINED: nobody is there,
 * or the data is too long.
 */
ngx_int_t ngx_cometa_fdpass_offer(uint32_t slot, uint32_t epoch,
    ngx_connection_t *c, u_char *data, size_t len);

/* What was offered was not taken: it is read and written here again. */
void ngx_cometa_fdpass_back(ngx_connection_t *c);

/* The connection is another process's: only our descriptor is closed. */
void ngx_cometa_fdpass_left(ngx_connection_t *c);


#endif /* _NGX_COMETA_FDPASS_H_INCLUDED_ */
