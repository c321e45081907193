
/*
 * Which workers want to hear of a device: of its attach, because a call waits
 * for it, or of its events, because a WebSocket is open to it. By hash: now
 * and then a worker hears of a device that it did not ask for.
 */

#ifndef _NGX_COMETA_INTEREST_H_INCLUDED_
#define _NGX_COMETA_INTEREST_H_INCLUDED_


#include "ngx_cometa.h"


ngx_int_t ngx_cometa_interest_start(ngx_cycle_t *cycle);

/* As often as it was added it has to be removed. */
void ngx_cometa_interest_add(uint64_t hash);
void ngx_cometa_interest_remove(uint64_t hash);

/* Whether any worker is interested. */
ngx_uint_t ngx_cometa_interest_any(uint64_t hash);

/*
 * The first slot from this one on whose worker is interested; NGX_COMETA_NONE
 * if there is none. Whoever adds an interest and then looks up a device, and
 * whoever enters a device and then asks this, cannot miss each other.
 */
uint32_t ngx_cometa_interest_next(uint64_t hash, uint32_t slot);


#endif /* _NGX_COMETA_INTEREST_H_INCLUDED_ */
