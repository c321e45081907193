
/*
 * Records of the registry: their chains, how a free record is found, and how a
 * shard is mended after a process has died that held its lock.
 */

#ifndef _NGX_COMETA_RECORD_H_INCLUDED_
#define _NGX_COMETA_RECORD_H_INCLUDED_


#include "ngx_cometa_zone.h"


/* By index plus one, as in the links of chains. */
#define ngx_cometa_record(i)  (&ngx_cometa_zone.records[(i) - 1])


/* The bucket of the lower half of a hash, and of a record; no lock. */
uint32_t *ngx_cometa_bucket(uint64_t hash);
uint32_t *ngx_cometa_record_bucket(uint32_t i);

ngx_cometa_shard_t *ngx_cometa_bucket_shard(uint32_t *bucket);

/* Takes the lock of a shard, and mends the shard if need be. */
void ngx_cometa_shard_enter(ngx_cometa_shard_t *shard);

/* Frees it; devices of dead workers that were found have left from then on. */
void ngx_cometa_shard_leave(ngx_cometa_shard_t *shard);

/* The rest is to be called under the lock of the shard. */

/* Takes the records of dead workers out of a chain. */
void ngx_cometa_chain_purge(ngx_cometa_shard_t *shard, uint32_t *bucket);

/* Takes the record that a link names out of its chain, and frees it. */
void ngx_cometa_chain_remove(ngx_cometa_shard_t *shard, uint32_t *link);

/*
 * A free record, named in shard->moving until it stands in a chain. 0: there
 * is none. Locks of other shards are tried, never waited for.
 */
uint32_t ngx_cometa_record_alloc(ngx_cometa_shard_t *shard);


#endif /* _NGX_COMETA_RECORD_H_INCLUDED_ */
