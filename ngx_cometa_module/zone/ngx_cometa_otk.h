
/*
 * One-time keys in the zone: a key is issued to a client that has the secret of
 * an application, and opens one WebSocket to one device, on any worker.
 */

#ifndef _NGX_COMETA_OTK_H_INCLUDED_
#define _NGX_COMETA_OTK_H_INCLUDED_


#include "ngx_cometa_zone.h"


/*
 * Issues a key, as 40 hex digits into `hex`. If the application holds its share
 * of keys already, its oldest key is dropped. NGX_BUSY: there is no room.
 */
ngx_int_t ngx_cometa_otk_issue(uint32_t app, uint64_t hash, ngx_msec_t life,
    u_char *hex);

/*
 * Looks a key up: NGX_DECLINED if it is unknown, used or expired. With `take`
 * the key is used up, and only one process gets it.
 */
ngx_int_t ngx_cometa_otk_find(ngx_str_t *hex, ngx_uint_t take, uint32_t *app,
    uint64_t *hash);

/* How many keys of an application were dropped unused. */
ngx_uint_t ngx_cometa_otk_dropped(uint32_t app);


#endif /* _NGX_COMETA_OTK_H_INCLUDED_ */
