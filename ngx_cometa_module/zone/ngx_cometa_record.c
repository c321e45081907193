
/*
 * Records on their way between the chains. Such a record is named in
 * shard->moving until it stands in its new chain, so that the next holder of
 * the lock can put it into one if the process dies.
 */

#include "ngx_cometa_record.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_offline.h"
#include "ngx_cometa_slot.h"


#define NGX_COMETA_CARVE  32            /* records a shard takes at once */
#define NGX_COMETA_SWEEP  64            /* buckets swept to find a free one */


static void ngx_cometa_shard_mend(ngx_cometa_shard_t *shard);
static ngx_uint_t ngx_cometa_shard_has(ngx_cometa_shard_t *shard);
static uint32_t ngx_cometa_record_take(ngx_cometa_shard_t *from,
    ngx_cometa_shard_t *shard);
static void ngx_cometa_record_carve(ngx_cometa_shard_t *shard);
static void ngx_cometa_record_sweep(ngx_cometa_shard_t *shard);
static uint32_t ngx_cometa_record_borrow(ngx_cometa_shard_t *shard);


/* The records of a shard that were never used: an index, and their end. */
#define ngx_cometa_fresh(shard)      ((uint32_t) (shard)->fresh)
#define ngx_cometa_fresh_end(shard)  ((uint32_t) ((shard)->fresh >> 32))


/* The documents state this, and the number of devices follows from it. */

_Static_assert(sizeof(ngx_cometa_record_t) == 96, "a record has 96 bytes");


uint32_t *
ngx_cometa_record_bucket(uint32_t i)
{
    return ngx_cometa_bucket(__atomic_load_n(&ngx_cometa_record(i)->hash,
                                             __ATOMIC_RELAXED));
}


uint32_t *
ngx_cometa_bucket(uint64_t hash)
{
    uint64_t  n;

    n = ngx_cometa_zone.head->shards * ngx_cometa_zone.head->buckets;

    return &ngx_cometa_zone.buckets[(hash * n) >> 32];
}


ngx_cometa_shard_t *
ngx_cometa_bucket_shard(uint32_t *bucket)
{
    return &ngx_cometa_zone.shards[(bucket - ngx_cometa_zone.buckets)
                                   / ngx_cometa_zone.head->buckets];
}


void
ngx_cometa_shard_enter(ngx_cometa_shard_t *shard)
{
    if (ngx_cometa_lock(&shard->lock) == NGX_DECLINED) {
        ngx_cometa_shard_mend(shard);
    }
}


void
ngx_cometa_shard_leave(ngx_cometa_shard_t *shard)
{
    ngx_cometa_unlock(&shard->lock);

    ngx_cometa_offline_flush();
}


/*
 * The process that held the lock died. Every change of a chain is one store,
 * so the chains are whole; only the record on its way may be in neither.
 */

static void
ngx_cometa_shard_mend(ngx_cometa_shard_t *shard)
{
    uint32_t   i, moving;
    uint32_t  *bucket;

    moving = shard->moving;

    if (moving == 0) {
        return;
    }

    bucket = ngx_cometa_record_bucket(moving);

    /* a borrowed record may still have the hash of another shard's device */

    if (ngx_cometa_bucket_shard(bucket) == shard) {
        for (i = *bucket; i; i = ngx_cometa_record(i)->next) {
            if (i == moving) {
                goto done;
            }
        }
    }

    if (shard->free == moving
        || (ngx_cometa_fresh(shard) + 1 == moving
            && ngx_cometa_shard_has(shard)))
    {
        goto done;
    }

    ngx_cometa_record(moving)->next = shard->free;
    ngx_cometa_step(&shard->free, moving);

done:

    ngx_cometa_step(&shard->moving, 0);
}


/* Whether it has records that were never used. */

static ngx_uint_t
ngx_cometa_shard_has(ngx_cometa_shard_t *shard)
{
    return ngx_cometa_fresh(shard) < ngx_cometa_fresh_end(shard);
}


void
ngx_cometa_chain_purge(ngx_cometa_shard_t *shard, uint32_t *bucket)
{
    uint32_t             *link;
    ngx_cometa_record_t  *rec;

    for (link = bucket; *link; /* void */) {
        rec = ngx_cometa_record(*link);

        if (!ngx_cometa_slot_alive(rec->slot, rec->epoch)) {
            ngx_cometa_offline_lost(rec);
            ngx_cometa_chain_remove(shard, link);
            continue;
        }

        link = &rec->next;
    }
}


void
ngx_cometa_chain_remove(ngx_cometa_shard_t *shard, uint32_t *link)
{
    uint32_t              i;
    ngx_cometa_record_t  *rec;

    i = *link;
    rec = ngx_cometa_record(i);

    ngx_cometa_expect(i <= ngx_cometa_zone.head->records);
    ngx_cometa_expect(shard->moving == 0);

    ngx_cometa_step(&shard->moving, i);

    ngx_cometa_step(link, rec->next);

    rec->session = 0;
    rec->next = shard->free;
    ngx_cometa_step(&shard->free, i);

    ngx_cometa_step(&shard->moving, 0);
}


/*
 * Looks in this order: free records of the shard, new ones of the zone, those
 * of dead workers, free ones of another shard.
 */

uint32_t
ngx_cometa_record_alloc(ngx_cometa_shard_t *shard)
{
    uint32_t  i;

    i = ngx_cometa_record_take(shard, shard);
    if (i) {
        return i;
    }

    ngx_cometa_record_carve(shard);

    i = ngx_cometa_record_take(shard, shard);
    if (i) {
        return i;
    }

    ngx_cometa_record_sweep(shard);

    i = ngx_cometa_record_take(shard, shard);
    if (i) {
        return i;
    }

    return ngx_cometa_record_borrow(shard);
}


/*
 * Takes a free record out of shard `from`, and names it in `moving` of `shard`.
 * If both are the same, it is named before it is taken. If not, it is named
 * after that, under both locks: if the process dies between the two stores, one
 * record is lost until the zone is made anew. If it were named first, it might
 * get into two chains.
 */

static uint32_t
ngx_cometa_record_take(ngx_cometa_shard_t *from, ngx_cometa_shard_t *shard)
{
    uint32_t  i;

    i = from->free;

    if (i == 0 && ngx_cometa_shard_has(from)) {
        i = ngx_cometa_fresh(from) + 1;
    }

    if (i == 0) {
        return 0;
    }

    if (from == shard) {
        ngx_cometa_step(&shard->moving, i);
    }

    if (from->free) {
        ngx_cometa_step(&from->free, ngx_cometa_record(i)->next);

    } else {
        ngx_cometa_step(&from->fresh, from->fresh + 1);
    }

    if (from != shard) {
        ngx_cometa_step(&shard->moving, i);
    }

    return i;
}


/*
 * Takes records of the zone that nobody has used yet. If the process dies
 * between the two stores, they are lost until the zone is made anew.
 */

static void
ngx_cometa_record_carve(ngx_cometa_shard_t *shard)
{
    uint64_t            first, last;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    if (__atomic_load_n(&head->carved, __ATOMIC_RELAXED) >= head->records) {
        return;
    }

    first = __atomic_fetch_add(&head->carved, NGX_COMETA_CARVE,
                               __ATOMIC_RELAXED);
    if (first >= head->records) {
        return;
    }

    last = ngx_min(first + NGX_COMETA_CARVE, head->records);

    ngx_cometa_step(&shard->fresh, last << 32 | first);
}


/* Looks for records of dead workers in a few buckets of this shard. */

static void
ngx_cometa_record_sweep(ngx_cometa_shard_t *shard)
{
    uint32_t   n, from, *buckets;

    buckets = ngx_cometa_zone.buckets
              + (size_t) (shard - ngx_cometa_zone.shards)
                * ngx_cometa_zone.head->buckets;

    from = __atomic_fetch_add(&ngx_cometa_zone.head->sweep,
                              NGX_COMETA_SWEEP, __ATOMIC_RELAXED);

    for (n = 0; n < NGX_COMETA_SWEEP; n++) {
        ngx_cometa_chain_purge(shard, &buckets[(from + n)
                                       % ngx_cometa_zone.head->buckets]);
    }
}


static uint32_t
ngx_cometa_record_borrow(ngx_cometa_shard_t *shard)
{
    int                  rc;
    uint32_t             n, i;
    ngx_cometa_shard_t  *other;

    i = 0;

    for (n = 0; i == 0 && n < ngx_cometa_zone.head->shards; n++) {
        other = &ngx_cometa_zone.shards[n];

        if (other == shard
            || (other->free == 0 && !ngx_cometa_shard_has(other)))
        {
            continue;
        }

        rc = pthread_mutex_trylock(&other->lock);

        if (rc == EOWNERDEAD) {
            (void) pthread_mutex_consistent(&other->lock);
            ngx_cometa_shard_mend(other);

        } else if (rc != 0) {
            continue;
        }

        i = ngx_cometa_record_take(other, shard);

        ngx_cometa_unlock(&other->lock);
    }

    return i;
}
