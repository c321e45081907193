
/*
 * Which workers are interested in a device: in its attach, because a call waits
 * for it, or in its events, because a WebSocket is open to it. Interests are by
 * hash, so now and then a worker gets a letter about a device that it did not
 * ask for. And which workers are interested in the events of all devices of an
 * application, because they have a channel of it.
 */

#ifndef _NGX_COMETA_INTEREST_H_INCLUDED_
#define _NGX_COMETA_INTEREST_H_INCLUDED_


#include "ngx_cometa.h"


ngx_int_t ngx_cometa_interest_start(ngx_cycle_t *cycle);

/* An interest has to be removed as often as it was added. */
void ngx_cometa_interest_add(uint64_t hash);
void ngx_cometa_interest_remove(uint64_t hash);

/* Whether any worker is interested. */
ngx_uint_t ngx_cometa_interest_any(uint64_t hash);

/*
 * The first slot from this one on whose worker is interested; NGX_COMETA_NONE
 * if there is none. A worker that adds an interest and then looks a device up,
 * and one that enters the device and then calls this, cannot both miss the
 * other.
 */
uint32_t ngx_cometa_interest_next(uint64_t hash, uint32_t slot);


/*
 * The same for an application, whose place in the zone the caller keeps. It has
 * to be given back as often as it was taken.
 */
void ngx_cometa_interest_hear(uint32_t app);
void ngx_cometa_interest_hear_no_more(uint32_t app);

/* As _next(), of those that want the events of this device: of either kind. */
uint32_t ngx_cometa_interest_hears(uint64_t hash, uint32_t app, uint32_t slot);


#endif /* _NGX_COMETA_INTEREST_H_INCLUDED_ */
