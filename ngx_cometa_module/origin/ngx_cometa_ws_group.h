
/*
 * The WebSockets of this worker by device: an event of a device touches only
 * the sockets to that device, and their number is known at once. Where the key
 * has no device the group has the channels of the application.
 */

#ifndef _NGX_COMETA_WS_GROUP_H_INCLUDED_
#define _NGX_COMETA_WS_GROUP_H_INCLUDED_


#include "ngx_cometa.h"


typedef struct ngx_cometa_ws_group_s  ngx_cometa_ws_group_t;

struct ngx_cometa_ws_group_s {
    ngx_cometa_ws_group_t  *next;       /* in the same place of the table */
    ngx_queue_t             sockets;
    ngx_cometa_key_t        key;        /* the name of the application is that
                                           in the zone */
    uint32_t                app;        /* its index there */
    uint32_t                n;          /* of the sockets */
};


/*
 * Adds a socket; the group of the device is created with its first one, and
 * the key is copied. From now on mail comes for the device. The caller keeps
 * the application in the zone until the group is gone. NULL: no memory.
 */
ngx_cometa_ws_group_t *ngx_cometa_ws_group_join(ngx_cometa_key_t *key,
    uint32_t app, ngx_queue_t *socket);

void ngx_cometa_ws_group_leave(ngx_cometa_ws_group_t *group,
    ngx_queue_t *socket);

/* To be called behind it, when the key is not needed any more. */
void ngx_cometa_ws_group_free_empty(ngx_cometa_ws_group_t *group);

/* Tells the owner of a device how many sockets to it there are here. */
void ngx_cometa_ws_listeners(ngx_cometa_key_t *key);

/* NULL: there is no socket to the device. */
ngx_cometa_ws_group_t *ngx_cometa_ws_group_find(uint64_t hash);

/* The channels of an application. NULL: there are none. */
ngx_cometa_ws_group_t *ngx_cometa_ws_group_channels(uint32_t app);

/* The first group of a chain of the table; the others are behind it. */
#define NGX_COMETA_WS_CHAINS  4096

ngx_cometa_ws_group_t *ngx_cometa_ws_group_first(ngx_uint_t chain);

/* All groups, one after the other, from NULL to NULL. */
ngx_cometa_ws_group_t *ngx_cometa_ws_group_next(ngx_cometa_ws_group_t *group);

/* The sockets in all groups. */
ngx_uint_t ngx_cometa_ws_group_total(void);


#endif /* _NGX_COMETA_WS_GROUP_H_INCLUDED_ */
