
/*
 * Records of the registry: the chains of buckets and of free records that they
 * stand in, how one is found that is free, and how a shard is mended whose
 * lock a process has died with.
 */

#ifndef _NGX_COMETA_RECORD_H_INCLUDED_
#define _NGX_COMETA_RECORD_H_INCLUDED_


#include "ngx_cometa_zone.h"


/* By index plus one, as chains have them. */
#define ngx_cometa_record(i)  (&ngx_cometa_zone.records[(i) - 1])


/* The bucket of a hash, its lower half, and of a record; reads no lock. */
uint32_t *ngx_cometa_bucket(uint64_t hash);
uint32_t *ngx_cometa_record_bucket(uint32_t i);

ngx_cometa_shard_t *ngx_cometa_bucket_shard(uint32_t *bucket);

/* Takes the lock of a shard, which ngx_cometa_unlock() gives back. */
void ngx_cometa_shard_enter(ngx_cometa_shard_t *shard);

/* All of these under the lock of the shard. */

/* Takes out of a chain what dead workers left there. */
void ngx_cometa_chain_purge(ngx_cometa_shard_t *shard, uint32_t *bucket);

/* Takes the record that a link names out of its chain; it is free then. */
void ngx_cometa_chain_remove(ngx_cometa_shard_t *shard, uint32_t *link);

/*
 * A free record, named in shard->moving until it stands in a chain. 0: there
 * is none. Locks of other shards are tried, never waited for.
 */
uint32_t ngx_cometa_record_alloc(ngx_cometa_shard_t *shard);


#endif /* _NGX_COMETA_RECORD_H_INCLUDED_ */
