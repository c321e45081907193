
/*
 * The devices that have left last, and have not come back: when, and why. The
 * zone has room for a number of them, of all applications together; when it is
 * used up, the one that has been away for longest is forgotten.
 */

#ifndef _NGX_COMETA_OFFLINE_H_INCLUDED_
#define _NGX_COMETA_OFFLINE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_OFFLINE_MAX   16777216   /* the largest number */

/* A reason more than those of ngx_cometa_reason_e: its worker has died. */
#define NGX_COMETA_OFFLINE_LOST  NGX_COMETA_REASONS


typedef struct {
    uint64_t    session;
    time_t      left;
    ngx_uint_t  reason;
} ngx_cometa_left_t;


/*
 * A session of the device of this hash has left now. A later one that has left
 * already is kept.
 */
void ngx_cometa_offline_add(uint64_t hash, uint64_t session,
    ngx_uint_t reason);

/* The device is there again. */
void ngx_cometa_offline_remove(uint64_t hash);

/* NGX_DECLINED: it is not known when it was there. */
ngx_int_t ngx_cometa_offline_find(uint64_t hash, ngx_cometa_left_t *left);

/*
 * A record of a dead worker is about to be taken out of its chain: notes it,
 * under the lock of the shard. When that is free, _flush() adds what was noted.
 */
void ngx_cometa_offline_lost(ngx_cometa_record_t *rec);
void ngx_cometa_offline_flush(void);


#endif /* _NGX_COMETA_OFFLINE_H_INCLUDED_ */
