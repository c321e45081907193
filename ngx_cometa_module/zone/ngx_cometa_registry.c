
/*
 * The registry of devices in the zone. Locks: that of one shard at a time
 * for everything; to borrow a free record from another shard, that shard's
 * lock is tried, never waited for. No lock is held on return.
 */

#include "ngx_cometa_registry.h"
#include "ngx_cometa.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_bound.h"
#include "ngx_cometa_record.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_flap.h"


#define NGX_COMETA_WALK_SLICE  256      /* buckets of a slice of a walk */


static ngx_cometa_shard_t *ngx_cometa_shard_lock(ngx_cometa_key_t *key,
    uint32_t **bucket);
static ngx_cometa_record_t *ngx_cometa_chain_find(ngx_cometa_shard_t *shard,
    uint32_t *bucket, ngx_cometa_key_t *key, uint32_t app);
static void ngx_cometa_registry_count(uint32_t app, ngx_int_t room,
    ngx_cometa_place_t *old);
static ngx_int_t ngx_cometa_registry_take(ngx_cometa_record_t *rec,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *old);
static ngx_cometa_record_t *ngx_cometa_registry_new(ngx_cometa_shard_t *shard,
    uint32_t *bucket, ngx_cometa_key_t *key, uint32_t app);
static ngx_cometa_record_t *ngx_cometa_registry_lock(uint32_t record,
    uint64_t session, ngx_cometa_shard_t **shard, uint32_t **link);
static uint64_t ngx_cometa_registry_session(void);
static ngx_uint_t ngx_cometa_record_flaps(ngx_cometa_record_t *rec,
    ngx_cometa_takeover_t *takeover);
static void ngx_cometa_record_place(ngx_cometa_record_t *rec,
    ngx_cometa_place_t *place);


ngx_int_t
ngx_cometa_registry_attach(ngx_cometa_key_t *key, uint32_t handle,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *place,
    ngx_cometa_place_t *old)
{
    uint32_t              app, *bucket;
    ngx_int_t             rc, room;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    old->session = 0;

    app = ngx_cometa_app_hold(&key->app, 1, devices);
    if (app == NGX_COMETA_NONE) {
        return NGX_BUSY;
    }

    room = NGX_AGAIN;
    shard = ngx_cometa_shard_lock(key, &bucket);

    rec = ngx_cometa_chain_find(shard, bucket, key, app);

    if (rec == NULL && takeover->bounded) {

        /* one lock at a time; meanwhile the device may attach elsewhere */

        ngx_cometa_unlock(&shard->lock);

        room = ngx_cometa_bound_reserve(app, takeover->max);

        shard = ngx_cometa_shard_lock(key, &bucket);
        rec = ngx_cometa_chain_find(shard, bucket, key, app);
    }

    if (rec) {
        rc = ngx_cometa_registry_take(rec, takeover, old);

    } else if (room == NGX_DECLINED) {
        rc = NGX_ABORT;

    } else {
        rec = ngx_cometa_registry_new(shard, bucket, key, app);
        rc = rec ? NGX_OK : NGX_BUSY;
    }

    if (rc == NGX_OK) {
        ngx_cometa_registry_count(app, room, old);

        /* under the lock, so that the sessions of a device only grow */

        rec->session = ngx_cometa_registry_session();
        rec->slot = ngx_cometa_zone.slot;
        rec->handle = handle;
        ngx_cometa_step(&rec->epoch, ngx_cometa_zone.epoch);

        ngx_cometa_record_place(rec, place);
    }

    ngx_cometa_unlock(&shard->lock);

    if (rc != NGX_OK) {
        ngx_cometa_gauge_add(app, devices, -1);

        if (room == NGX_OK) {
            ngx_cometa_bound_leave(app, ngx_cometa_zone.slot,
                                   ngx_cometa_zone.epoch);
        }
    }

    return rc;
}


/*
 * A record comes to this process, from the old place if that has a session. It
 * is counted already if there was room for it.
 */

static void
ngx_cometa_registry_count(uint32_t app, ngx_int_t room,
    ngx_cometa_place_t *old)
{
    if (room != NGX_OK) {
        ngx_cometa_bound_enter(app);
    }

    if (old->session) {
        ngx_cometa_bound_leave(app, old->slot, old->epoch);
    }
}


/* Prepares the record of an attached device for its new connection. */

static ngx_int_t
ngx_cometa_registry_take(ngx_cometa_record_t *rec,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *old)
{
    if (!takeover->wanted) {
        return NGX_DECLINED;
    }

    ngx_cometa_record_place(rec, old);

    if (ngx_cometa_record_flaps(rec, takeover)) {
        return NGX_AGAIN;
    }

    /* void while it changes, in case this process dies here */

    ngx_cometa_step(&rec->epoch, 0);

    return NGX_OK;
}


/* A record for a device that is not attached. NULL: no record is free. */

static ngx_cometa_record_t *
ngx_cometa_registry_new(ngx_cometa_shard_t *shard, uint32_t *bucket,
    ngx_cometa_key_t *key, uint32_t app)
{
    uint32_t              i;
    ngx_cometa_record_t  *rec;

    i = ngx_cometa_record_alloc(shard);
    if (i == 0) {
        return NULL;
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

    return rec;
}


void
ngx_cometa_registry_detach(uint32_t record, uint64_t session)
{
    uint32_t             *link;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    rec = ngx_cometa_registry_lock(record, session, &shard, &link);

    if (rec) {
        ngx_cometa_chain_remove(shard, link);
        ngx_cometa_bound_leave(rec->app, ngx_cometa_zone.slot,
                               ngx_cometa_zone.epoch);
    }

    ngx_cometa_unlock(&shard->lock);
}


ngx_int_t
ngx_cometa_registry_move(uint32_t record, uint64_t session, uint32_t slot,
    uint32_t epoch, uint32_t handle)
{
    uint32_t             *link;
    ngx_int_t             rc;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    rc = NGX_DECLINED;
    rec = ngx_cometa_registry_lock(record, session, &shard, &link);

    if (rec && rec->slot == slot && rec->epoch == epoch) {

        /* void while it changes hands, should this process die here */

        ngx_cometa_step(&rec->epoch, 0);
        rec->slot = ngx_cometa_zone.slot;
        rec->handle = handle;
        ngx_cometa_step(&rec->epoch, ngx_cometa_zone.epoch);

        /* from now on the old worker counts one too many */

        (void) ngx_cometa_stats_taken(rec->app, slot, epoch, 1);
        ngx_cometa_gauge_add(rec->app, devices, 1);

        ngx_cometa_bound_enter(rec->app);
        ngx_cometa_bound_leave(rec->app, slot, epoch);

        rc = NGX_OK;
    }

    ngx_cometa_unlock(&shard->lock);

    return rc;
}


ngx_int_t
ngx_cometa_registry_where(uint32_t record, uint64_t session,
    ngx_cometa_place_t *place)
{
    uint32_t             *link;
    ngx_cometa_shard_t   *shard;
    ngx_cometa_record_t  *rec;

    rec = ngx_cometa_registry_lock(record, session, &shard, &link);

    if (rec) {
        ngx_cometa_record_place(rec, place);
    }

    ngx_cometa_unlock(&shard->lock);

    return rec ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_cometa_registry_held(uint32_t record, uint64_t session)
{
    ngx_cometa_place_t  place;

    return ngx_cometa_registry_where(record, session, &place) == NGX_OK
           && place.slot == ngx_cometa_zone.slot
           && place.epoch == ngx_cometa_zone.epoch;
}


ngx_uint_t
ngx_cometa_registry_here(uint32_t record, uint64_t session)
{
    ngx_cometa_record_t  *rec;

    rec = &ngx_cometa_zone.records[record];

    return __atomic_load_n(&rec->session, __ATOMIC_RELAXED) == session
           && __atomic_load_n(&rec->slot, __ATOMIC_RELAXED)
              == ngx_cometa_zone.slot
           && __atomic_load_n(&rec->epoch, __ATOMIC_RELAXED)
              == ngx_cometa_zone.epoch;
}


/*
 * A record by its index, the link that names it, and its shard, which is
 * locked. NULL: it has another session by now. The record may have become
 * another device's, in another shard even, if a newer session took it over and
 * left again: its hash is read without the lock, and the session, read under
 * it, decides.
 */

static ngx_cometa_record_t *
ngx_cometa_registry_lock(uint32_t record, uint64_t session,
    ngx_cometa_shard_t **shard, uint32_t **link)
{
    uint32_t             *bucket;
    ngx_cometa_record_t  *rec;

    rec = &ngx_cometa_zone.records[record];

    bucket = ngx_cometa_record_bucket(record + 1);
    *shard = ngx_cometa_bucket_shard(bucket);

    ngx_cometa_shard_enter(*shard);

    for (*link = bucket; **link; *link = &ngx_cometa_record(**link)->next) {
        if (**link == record + 1) {
            return (rec->session == session) ? rec : NULL;
        }
    }

    return NULL;
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
                ids[n].session = rec->session;
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


uint64_t
ngx_cometa_registry_newest(void)
{
    return __atomic_load_n(&ngx_cometa_zone.head->session, __ATOMIC_RELAXED);
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
 * Sessions grow within the zone, and follow the clock: so they also grow over a
 * restart, and when a device goes to another server whose clock is right. They
 * are seconds and microseconds, and fit 53 bits for two centuries.
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


/* Under the lock, because the clients may come to different workers. */

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
