
/*
 * Devices of a worker that leaves move to workers of a newer configuration,
 * with their connection and without hearing of it. This is the side that they
 * depart from; the other one is in ngx_cometa_arrive.h.
 *
 *     old worker                   door             new worker
 *
 *     offer: paused -------- parcel, descriptor --------> device, record
 *                    <---------- ARRIVED (mailbox) -------
 *     left: freed, those who wait are sent back to their origins
 *
 * Until it is told the old worker keeps its own descriptor and all of the
 * state: if the new one refuses, or dies before it has written the record, the
 * device goes on where it was.
 */

#ifndef _NGX_COMETA_DEPART_H_INCLUDED_
#define _NGX_COMETA_DEPART_H_INCLUDED_


#include "ngx_cometa_device.h"
#include "ngx_cometa_mail.h"


#define NGX_COMETA_DEPART_BATCH  32     /* offers of one step, at most */

/*
 * ms that an offer waits for its answer, which may be lost, until the registry
 * is asked; at most twice as many, for one timer serves all.
 */
#define NGX_COMETA_DEPART_SILENCE  5000


/* At the start of a worker. */
ngx_int_t ngx_cometa_depart_start(ngx_cycle_t *cycle);

/*
 * Offers some devices. NGX_OK: there are more that could be offered at once;
 * NGX_AGAIN: not now, for a door is full or answers are awaited; NGX_DONE: the
 * others cannot move, for now or at all.
 */
ngx_int_t ngx_cometa_depart_step(void);

/* The handler of ARRIVED. */
void ngx_cometa_depart_arrived(ngx_cometa_mail_arrived_t *mail);

/* Workers have died: what was offered to them goes on here, if it can. */
void ngx_cometa_depart_deaths(void);

/*
 * Lets up to n devices go whose location the new configuration does not have.
 */
void ngx_cometa_depart_release(ngx_uint_t n);


#endif /* _NGX_COMETA_DEPART_H_INCLUDED_ */
