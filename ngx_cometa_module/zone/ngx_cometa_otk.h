
/*
 * One-time keys in the zone: issued to who has an application's secret, and
 * good for opening one WebSocket to one device, on any worker.
 */

#ifndef _NGX_COMETA_OTK_H_INCLUDED_
#define _NGX_COMETA_OTK_H_INCLUDED_


#include "ngx_cometa_zone.h"


/*
 * Issues a key, as 40 hex digits into `hex`. If its application holds its
 * share already, the oldest of its keys goes. NGX_BUSY: there is no room.
 */
ngx_int_t ngx_cometa_otk_issue(uint32_t app, uint64_t hash, ngx_msec_t life,
    u_char *hex);

/*
 * Looks a key up: NGX_DECLINED if it is unknown, used or expired. With
 * `take` it is used by this, and only one process gets it.
 */
ngx_int_t ngx_cometa_otk_find(ngx_str_t *hex, ngx_uint_t take, uint32_t *app,
    uint64_t *hash);

/* How many keys of an application were dropped unused. */
ngx_uint_t ngx_cometa_otk_dropped(uint32_t app);


#endif /* _NGX_COMETA_OTK_H_INCLUDED_ */
