
/*
 * WebSockets of a worker that leaves move to workers of a newer configuration,
 * with their connection and without missing an event. A WebSocket goes where
 * its device is; one whose device is not attached goes to any worker. This is
 * the side that they depart from; the other one is in ngx_cometa_ws_arrive.h.
 *
 *     old worker                   door             new worker
 *
 *     moving: not read, until its calls have ended and all is written
 *     offer: keeps events --- parcel, descriptor ---> hears the device itself
 *                        <--- WS_ARRIVED (mailbox) ---
 *     left ------------------ WS_TAIL --------------> the events kept there,
 *                                                     then its own; is read
 *
 * The new worker is the one that has the device, as a rule. What that said
 * before it took the WebSocket in was posted to the old worker before
 * WS_ARRIVED, and everything after that it tells the WebSocket itself: so no
 * event is missed, told twice, or out of order. If the device attaches to a
 * third worker in that very moment, an event may come twice.
 */

#ifndef _NGX_COMETA_WS_DEPART_H_INCLUDED_
#define _NGX_COMETA_WS_DEPART_H_INCLUDED_


#include "ngx_cometa_zone.h"


/* As ngx_cometa_depart_step() of devices. */
ngx_int_t ngx_cometa_ws_depart_step(void);

/*
 * There is nobody to move to any more: those that wait for it go on here, a
 * bounded number with each call.
 */
void ngx_cometa_ws_depart_halt(void);

/*
 * Closes up to n whose location the new configuration does not have.
 */
void ngx_cometa_ws_depart_release(ngx_uint_t n);


#endif /* _NGX_COMETA_WS_DEPART_H_INCLUDED_ */
