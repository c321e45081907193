
/*
 * Applications: a name has a place in the zone, whose index stands for it in
 * records, keys and counters. A place is given to another name when there is
 * none left and its application has nothing worth keeping.
 */

#ifndef _NGX_COMETA_APP_H_INCLUDED_
#define _NGX_COMETA_APP_H_INCLUDED_


#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


/* At the start of a worker. */
ngx_int_t ngx_cometa_app_start(ngx_cycle_t *cycle);

/*
 * The index of an application, which gets a place if `create`. The index is
 * valid as long as something keeps the place: a device, call, WebSocket, event
 * or key of the application, or a hold. NGX_COMETA_NONE: it is not known, or
 * there is no room.
 */
uint32_t ngx_cometa_app(ngx_str_t *name, ngx_uint_t create);

/*
 * The same, and adds one to a gauge of this worker: the place is kept until
 * that is taken off again by ngx_cometa_gauge_add().
 */
#define ngx_cometa_app_hold(name, create, gauge)                              \
    ngx_cometa_app_keep(name, create, offsetof(ngx_cometa_gauges_t, gauge))

uint32_t ngx_cometa_app_keep(ngx_str_t *name, ngx_uint_t create,
    size_t gauge);

/* Copies the name at this index into `buf`; NGX_DECLINED: it has none. */
ngx_int_t ngx_cometa_app_name(uint32_t app, ngx_str_t *name, u_char *buf);

/* How many places are in use, or have counts that are worth keeping. */
ngx_uint_t ngx_cometa_app_count(void);


#endif /* _NGX_COMETA_APP_H_INCLUDED_ */
