
/*
 * How many devices an application has attached, and whether it may have one
 * more.
 */

#ifndef _NGX_COMETA_BOUND_H_INCLUDED_
#define _NGX_COMETA_BOUND_H_INCLUDED_


#include "ngx_cometa_zone.h"


/*
 * A record of the application has come to this process; one has gone from a
 * slot under that epoch, to nowhere or to another slot. If it goes to another
 * slot it comes there first.
 */
void ngx_cometa_bound_enter(uint32_t app);
void ngx_cometa_bound_leave(uint32_t app, uint32_t slot, uint32_t epoch);

/*
 * Counts one more device as come to this process, if the application has less
 * than `max`; takes `apps_lock`. NGX_DECLINED: it has as many.
 */
ngx_int_t ngx_cometa_bound_reserve(uint32_t app, ngx_uint_t max);

/* How many devices it has, never less than there are. */
uint32_t ngx_cometa_bound_count(uint32_t app);


#endif /* _NGX_COMETA_BOUND_H_INCLUDED_ */
