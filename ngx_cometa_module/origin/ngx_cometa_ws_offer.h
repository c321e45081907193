
/*
 * One WebSocket that is offered to another worker, from the parcel to its tail:
 * ngx_cometa_ws_depart.h draws it.
 */

#ifndef _NGX_COMETA_WS_OFFER_H_INCLUDED_
#define _NGX_COMETA_WS_OFFER_H_INCLUDED_


#include "ngx_cometa_mail.h"
#include "ngx_cometa_ws.h"


/*
 * NGX_AGAIN: not now, for the door is full, or too many are under way;
 * NGX_DECLINED: this one stays for now, others may go.
 */
ngx_int_t ngx_cometa_ws_offer(ngx_cometa_ws_t *s, uint32_t slot,
    uint32_t epoch);

/* The handler of WS_ARRIVED. */
void ngx_cometa_ws_offer_arrived(ngx_cometa_mail_arrived_t *mail);

/* Workers have died: what was offered to them goes on here. */
void ngx_cometa_ws_offer_deaths(void);

/* Whether a location was found to be gone: its conf->gone is set. */
ngx_uint_t ngx_cometa_ws_offer_gone(void);


#endif /* _NGX_COMETA_WS_OFFER_H_INCLUDED_ */
