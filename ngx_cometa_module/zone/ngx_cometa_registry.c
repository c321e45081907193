
/*
 * The registry of devices in the zone. Locks: that of one shard at a time
 * for everything; to borrow a free record from another shard, that shard's
 * lock is tried, never waited for. No lock is held on return.
 */

#include "ngx_cometa_registry.h"
#include "ngx_cometa.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_flap.h"


#define NGX_COMETA_CARVE       32       /* records a shard takes at once */
#define NGX_COMETA_SWEEP       64       /* buckets swept to find a free one */
#define NGX_COMETA_WALK_SLICE  256      /* buckets of a slice of a walk */


static ngx_cometa_shard_t *ngx_cometa_shard_lock(ngx_cometa_key_t *key,
    uint32_t **bucket);
static void ngx_cometa_shard_enter(ngx_cometa_shard_t *shard);
static void ngx_cometa_shard_mend(ngx_cometa_shard_t *shard);
static uint32_t *ngx_cometa_record_bucket(uint32_t i);
static uint32_t *ngx_cometa_bucket(uint64_t hash);
static ngx_cometa_shard_t *ngx_cometa_bucket_shard(uint32_t *bucket);
static ngx_cometa_record_t *ngx_cometa_chain_find(ngx_cometa_shard_t *shard,
    uint32_t *bucket, ngx_cometa_key_t *key, uint32_t app);
static void ngx_cometa_chain_purge(ngx_cometa_shard_t *shard,
    uint32_t *bucket);
static void ngx_cometa_chain_remove(ngx_cometa_shard_t *shard,
    uint32_t *link);
static uint64_t ngx_cometa_registry_session(void);
static uint32_t ngx_cometa_record_alloc(ngx_cometa_shard_t *shard);
static uint32_t ngx_cometa_record_take(ngx_cometa_shard_t *from,
    ngx_cometa_shard_t *shard);
static void ngx_cometa_record_carve(ngx_cometa_shard_t *shard);
static uint32_t ngx_cometa_record_borrow(ngx_cometa_shard_t *shard);
static void ngx_cometa_registry_sweep(ngx_cometa_shard_t *shard);
static ngx_uint_t ngx_cometa_record_flaps(ngx_cometa_record_t *rec,
    ngx_cometa_takeover_t *takeover);
static void ngx_cometa_record_place(ngx_cometa_record_t *rec,
    ngx_cometa_place_t *place);


#define ngx_cometa_record(i)  (&ngx_cometa_zone.records[(i) - 1])

/* The records of a shard that were never used: an index, and their end. */
#define ngx_cometa_fresh(shard)      ((uint32_t) (shard)->fresh)
#define ngx_cometa_fresh_end(shard)  ((uint32_t) ((shard)->fresh >> 32))


/* The documents say so, and the number of devices in a zone follows from it. */

_Static_assert(sizeof(ngx_cometa_record_t) == 96, "a record has 96 bytes");


ngx_int_t
ngx_cometa_registry_attach(ngx_cometa_key_t *key, uint32_t handle,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *place,
    ngx_cometa_place_t *old)
{
    uint32_t              app, i, *bucket;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    old->session = 0;

    app = ngx_cometa_app_hold(&key->app, 1, devices);
    if (app == NGX_COMETA_NONE) {
        return NGX_BUSY;
    }

    shard = ngx_cometa_shard_lock(key, &bucket);

    rec = ngx_cometa_chain_find(shard, bucket, key, app);

    if (rec) {
        if (!takeover->wanted) {
            ngx_cometa_unlock(&shard->lock);
            ngx_cometa_gauge_add(app, devices, -1);
            return NGX_DECLINED;
        }

        ngx_cometa_record_place(rec, old);

        if (ngx_cometa_record_flaps(rec, takeover)) {
            ngx_cometa_unlock(&shard->lock);
            ngx_cometa_gauge_add(app, devices, -1);
            return NGX_AGAIN;
        }

        /* void while it changes hands, should this process die here */
        ngx_cometa_step(&rec->epoch, 0);

    } else {
        i = ngx_cometa_record_alloc(shard);
        if (i == 0) {
            ngx_cometa_unlock(&shard->lock);
            ngx_cometa_gauge_add(app, devices, -1);
            return NGX_BUSY;
        }

        rec = ngx_cometa_record(i);

        ngx_cometa_step(&rec->epoch, 0);
        rec->hash = (uint32_t) key->hash;
        rec->app = app;
        ngx_memzero(&rec->flap, sizeof(cometa_flap_t));
        rec->len = key->device.len;
        ngx_memcpy(rec->id, key->device.data, key->device.len);

        rec->next = *bucket;
        ngx_cometa_step(bucket, i);
        ngx_cometa_step(&shard->moving, 0);
    }

    /* under the lock, so that the sessions of a device only grow */

    rec->session = ngx_cometa_registry_session();
    rec->slot = ngx_cometa_zone.slot;
    rec->handle = handle;
    ngx_cometa_step(&rec->epoch, ngx_cometa_zone.epoch);

    ngx_cometa_record_place(rec, place);

    ngx_cometa_unlock(&shard->lock);

    return NGX_OK;
}


void
ngx_cometa_registry_detach(uint32_t record, uint64_t session)
{
    uint32_t             *bucket, *link;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    /*
     * The record may have become another device's, in another shard even,
     * if a newer session took it over and left again. Its hash is read
     * without the lock; the session, read under it, decides.
     */

    rec = &ngx_cometa_zone.records[record];

    bucket = ngx_cometa_record_bucket(record + 1);
    shard = ngx_cometa_bucket_shard(bucket);

    ngx_cometa_shard_enter(shard);

    for (link = bucket; *link; link = &ngx_cometa_record(*link)->next) {
        if (*link == record + 1) {
            if (rec->session == session) {
                ngx_cometa_chain_remove(shard, link);
            }

            break;
        }
    }

    ngx_cometa_unlock(&shard->lock);
}


ngx_int_t
ngx_cometa_registry_find(ngx_cometa_key_t *key, ngx_cometa_place_t *place)
{
    uint32_t  app;

    app = ngx_cometa_app(&key->app, 0);

    return (app == NGX_COMETA_NONE)
           ? NGX_DECLINED : ngx_cometa_registry_find_in(app, key, place);
}


ngx_int_t
ngx_cometa_registry_find_in(uint32_t app, ngx_cometa_key_t *key,
    ngx_cometa_place_t *place)
{
    uint32_t             *bucket;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    shard = ngx_cometa_shard_lock(key, &bucket);

    rec = ngx_cometa_chain_find(shard, bucket, key, app);

    if (rec) {
        ngx_cometa_record_place(rec, place);
    }

    ngx_cometa_unlock(&shard->lock);

    return rec ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_cometa_registry_walk(uint32_t app, uint32_t *cursor, ngx_cometa_id_t *ids)
{
    uint32_t              i, b, total;
    ngx_uint_t            n, m;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    total = ngx_cometa_zone.head->shards * ngx_cometa_zone.head->buckets;
    n = 0;

    for (m = 0; m < NGX_COMETA_WALK_SLICE; m++) {
        b = *cursor;

        if (b >= total) {
            *cursor = NGX_COMETA_NONE;
            break;
        }

        if (ngx_cometa_zone.buckets[b] == 0) {
            (*cursor)++;
            continue;
        }

        /* the keyed hash keeps chains far shorter than half of ids[] */

        if (n > NGX_COMETA_WALK_MAX / 2) {
            break;
        }

        shard = ngx_cometa_bucket_shard(&ngx_cometa_zone.buckets[b]);

        ngx_cometa_shard_enter(shard);
        ngx_cometa_chain_purge(shard, &ngx_cometa_zone.buckets[b]);

        for (i = ngx_cometa_zone.buckets[b];
             i && n < NGX_COMETA_WALK_MAX;
             i = rec->next)
        {
            rec = ngx_cometa_record(i);

            if (rec->app == app) {
                ids[n].len = rec->len;
                ngx_memcpy(ids[n].data, rec->id, rec->len);
                n++;
            }
        }

        ngx_cometa_unlock(&shard->lock);
        (*cursor)++;
    }

    return n;
}


ngx_uint_t
ngx_cometa_registry_named(uint32_t record, uint64_t hash)
{
    return __atomic_load_n(&ngx_cometa_zone.records[record].hash,
                           __ATOMIC_RELAXED)
           == (uint32_t) hash;
}


void
ngx_cometa_registry_name(uint32_t record, ngx_str_t *app, ngx_str_t *device)
{
    ngx_cometa_app_t     *a;
    ngx_cometa_record_t  *rec;

    rec = &ngx_cometa_zone.records[record];
    a = &ngx_cometa_zone.apps[rec->app];

    app->data = a->name;
    app->len = a->len;
    device->data = rec->id;
    device->len = rec->len;
}


/*
 * Sessions grow within the zone, and with the clock: also over a restart, and
 * on another server whose clock is right. Seconds and microseconds, which 53
 * bits hold for two centuries.
 */

static uint64_t
ngx_cometa_registry_session(void)
{
    uint64_t        last, next, now, *session;
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    now = (uint64_t) tv.tv_sec << 20 | tv.tv_usec;

    session = &ngx_cometa_zone.head->session;
    last = __atomic_load_n(session, __ATOMIC_RELAXED);

    do {
        next = ngx_max(last + 1, now);
    } while (!__atomic_compare_exchange_n(session, &last, next, 1,
                                          __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));

    return next;
}


static ngx_cometa_shard_t *
ngx_cometa_shard_lock(ngx_cometa_key_t *key, uint32_t **bucket)
{
    ngx_cometa_shard_t  *shard;

    *bucket = ngx_cometa_bucket((uint32_t) key->hash);

    shard = ngx_cometa_bucket_shard(*bucket);

    ngx_cometa_shard_enter(shard);

    return shard;
}


static void
ngx_cometa_shard_enter(ngx_cometa_shard_t *shard)
{
    if (ngx_cometa_lock(&shard->lock) == NGX_DECLINED) {
        ngx_cometa_shard_mend(shard);
    }
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
            && ngx_cometa_fresh(shard) < ngx_cometa_fresh_end(shard)))
    {
        goto done;
    }

    ngx_cometa_record(moving)->next = shard->free;
    ngx_cometa_step(&shard->free, moving);

done:

    ngx_cometa_step(&shard->moving, 0);
}


static uint32_t *
ngx_cometa_record_bucket(uint32_t i)
{
    return ngx_cometa_bucket(__atomic_load_n(&ngx_cometa_record(i)->hash,
                                             __ATOMIC_RELAXED));
}


static uint32_t *
ngx_cometa_bucket(uint64_t hash)
{
    uint64_t  n;

    n = ngx_cometa_zone.head->shards * ngx_cometa_zone.head->buckets;

    return &ngx_cometa_zone.buckets[(hash * n) >> 32];
}


static ngx_cometa_shard_t *
ngx_cometa_bucket_shard(uint32_t *bucket)
{
    return &ngx_cometa_zone.shards[(bucket - ngx_cometa_zone.buckets)
                                   / ngx_cometa_zone.head->buckets];
}


static ngx_cometa_record_t *
ngx_cometa_chain_find(ngx_cometa_shard_t *shard, uint32_t *bucket,
    ngx_cometa_key_t *key, uint32_t app)
{
    uint32_t              i;
    ngx_cometa_record_t  *rec;

    for (i = *bucket; i; i = rec->next) {
        rec = ngx_cometa_record(i);

        if (rec->hash != (uint32_t) key->hash
            || rec->app != app
            || rec->len != key->device.len
            || ngx_memcmp(rec->id, key->device.data, rec->len) != 0)
        {
            continue;
        }

        if (ngx_cometa_slot_alive(rec->slot, rec->epoch)) {
            return rec;
        }

        ngx_cometa_chain_purge(shard, bucket);
        return NULL;
    }

    return NULL;
}


/* Takes out of a chain what dead workers left there. */

static void
ngx_cometa_chain_purge(ngx_cometa_shard_t *shard, uint32_t *bucket)
{
    uint32_t             *link;
    ngx_cometa_record_t  *rec;

    for (link = bucket; *link; /* void */) {
        rec = ngx_cometa_record(*link);

        if (!ngx_cometa_slot_alive(rec->slot, rec->epoch)) {
            ngx_cometa_chain_remove(shard, link);
            continue;
        }

        link = &rec->next;
    }
}


static void
ngx_cometa_chain_remove(ngx_cometa_shard_t *shard, uint32_t *link)
{
    uint32_t              i;
    ngx_cometa_record_t  *rec;

    i = *link;
    rec = ngx_cometa_record(i);

    ngx_cometa_step(&shard->moving, i);

    ngx_cometa_step(link, rec->next);

    rec->session = 0;
    rec->next = shard->free;
    ngx_cometa_step(&shard->free, i);

    ngx_cometa_step(&shard->moving, 0);
}


/*
 * A free record, named in shard->moving until it stands in a chain. In this
 * order: the shard's own, new ones of the zone, those of dead workers, another
 * shard's. 0: there is none.
 */

static uint32_t
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

    ngx_cometa_registry_sweep(shard);

    i = ngx_cometa_record_take(shard, shard);
    if (i) {
        return i;
    }

    return ngx_cometa_record_borrow(shard);
}


/*
 * Takes a free record out of a shard, to be moved by another one or the same.
 * One's own is named before it is taken; one of another shard after it, under
 * both locks: a process that dies right between loses one record until the
 * zone is made anew, where naming it first could put it into two chains.
 */

static uint32_t
ngx_cometa_record_take(ngx_cometa_shard_t *from, ngx_cometa_shard_t *shard)
{
    uint32_t  i;

    i = from->free;

    if (i == 0 && ngx_cometa_fresh(from) < ngx_cometa_fresh_end(from)) {
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
 * Takes records of the zone that nobody has used yet. Who dies between the two
 * stores loses them until the zone is made anew.
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
ngx_cometa_registry_sweep(ngx_cometa_shard_t *shard)
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
            || (other->free == 0
                && ngx_cometa_fresh(other) == ngx_cometa_fresh_end(other)))
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


/* Under the lock, for the workers that flapping clients come to differ. */

static ngx_uint_t
ngx_cometa_record_flaps(ngx_cometa_record_t *rec,
    ngx_cometa_takeover_t *takeover)
{
    if (takeover->limit == 0) {
        return 0;
    }

    takeover->wait = cometa_flap(&rec->flap, takeover->limit,
                                 (uint16_t) (ngx_cometa_now() / 1000000),
                                 &takeover->first);

    return takeover->wait != 0;
}


static void
ngx_cometa_record_place(ngx_cometa_record_t *rec, ngx_cometa_place_t *place)
{
    place->slot = rec->slot;
    place->epoch = rec->epoch;
    place->handle = rec->handle;
    place->record = rec - ngx_cometa_zone.records;
    place->app = rec->app;
    place->session = rec->session;
}
