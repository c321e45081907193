
/*
 * Devices that have left. Lock: `offline_lock` of the head for everything; it
 * is held for a few steps, while no other is. State of this process: devices of
 * dead workers that are to be added.
 *
 * A place stands in the chain of its bucket, and in a list by age. The list is
 * what `oldest` and the links `newer` say, and each of its changes is one store
 * of these; `older` and `newest` follow from them. A place that is on its way
 * is named in `offline_moving`: if the holder of the lock dies, the next one
 * takes it out of both, wherever it stood, and makes it the oldest one, with
 * nobody in it. So at most one device is forgotten.
 *
 * A device is known by its hash alone, as a one-time key is: the hash has 64
 * bits and a random key, and application and device are in it. So a place needs
 * no names, and does not care for what becomes of the application.
 */

#include "ngx_cometa_offline.h"
#include "ngx_cometa.h"


#define NGX_COMETA_LOST_MAX  256        /* noted under one lock */

#define ngx_cometa_offline(i)  (&ngx_cometa_zone.offline[(i) - 1])


typedef struct {
    uint64_t  hash;
    uint64_t  session;
    uint32_t  left;
} ngx_cometa_lost_t;


static void ngx_cometa_offline_enter(uint64_t hash, uint64_t session,
    ngx_uint_t reason, uint32_t left);
static void ngx_cometa_offline_lock(void);
static void ngx_cometa_offline_unlock(void);
static uint32_t *ngx_cometa_offline_bucket(uint64_t hash);
static uint32_t ngx_cometa_offline_place(uint64_t hash);
static uint32_t ngx_cometa_offline_take(void);
static void ngx_cometa_offline_void(uint32_t i);
static void ngx_cometa_offline_unlink(uint32_t i);
static void ngx_cometa_offline_link_newest(uint32_t i);
static void ngx_cometa_offline_link_oldest(uint32_t i);
static uint32_t *ngx_cometa_offline_newer(uint32_t i);
static uint32_t *ngx_cometa_offline_older(uint32_t i);


static ngx_cometa_lost_t  ngx_cometa_losts[NGX_COMETA_LOST_MAX];
static ngx_uint_t         ngx_cometa_losts_n;


void
ngx_cometa_offline_add(uint64_t hash, uint64_t session, ngx_uint_t reason)
{
    ngx_cometa_offline_enter(hash, session, reason, ngx_time());
}


static void
ngx_cometa_offline_enter(uint64_t hash, uint64_t session, ngx_uint_t reason,
    uint32_t left)
{
    uint32_t               i, *bucket;
    ngx_cometa_offline_t  *o;

    if (ngx_cometa_zone.head->offline == 0) {
        return;
    }

    ngx_cometa_offline_lock();

    i = ngx_cometa_offline_place(hash);

    if (i && ngx_cometa_offline(i)->session > session) {
        ngx_cometa_offline_unlock();
        return;
    }

    if (i == 0) {
        i = ngx_cometa_offline_take();
    }

    ngx_cometa_step(&ngx_cometa_zone.head->offline_moving, i);
    ngx_cometa_offline_void(i);

    o = ngx_cometa_offline(i);

    o->hash = hash;
    o->session = session;
    o->left = left;
    o->reason = reason;

    bucket = ngx_cometa_offline_bucket(hash);

    o->next = *bucket;
    ngx_cometa_step(bucket, i);

    ngx_cometa_offline_link_newest(i);
    ngx_cometa_step(&ngx_cometa_zone.head->offline_moving, 0);

    ngx_cometa_offline_unlock();
}


void
ngx_cometa_offline_remove(uint64_t hash)
{
    uint32_t  i;

    /* no lock if nobody is there, as it is with most attaches */

    if (ngx_cometa_zone.head->offline == 0
        || __atomic_load_n(ngx_cometa_offline_bucket(hash), __ATOMIC_RELAXED)
           == 0)
    {
        return;
    }

    ngx_cometa_offline_lock();

    i = ngx_cometa_offline_place(hash);

    if (i) {
        ngx_cometa_step(&ngx_cometa_zone.head->offline_moving, i);
        ngx_cometa_offline_void(i);
        ngx_cometa_offline_link_oldest(i);
        ngx_cometa_step(&ngx_cometa_zone.head->offline_moving, 0);
    }

    ngx_cometa_offline_unlock();
}


ngx_int_t
ngx_cometa_offline_find(uint64_t hash, ngx_cometa_left_t *left)
{
    uint32_t               i;
    ngx_cometa_offline_t  *o;

    if (ngx_cometa_zone.head->offline == 0) {
        return NGX_DECLINED;
    }

    ngx_cometa_offline_lock();

    i = ngx_cometa_offline_place(hash);

    if (i) {
        o = ngx_cometa_offline(i);

        left->session = o->session;
        left->left = o->left;
        left->reason = o->reason;
    }

    ngx_cometa_offline_unlock();

    return i ? NGX_OK : NGX_DECLINED;
}


/*
 * The name that the record's application had may be another one's by now: then
 * the hash is not the one that the record was made with.
 */

void
ngx_cometa_offline_lost(ngx_cometa_record_t *rec)
{
    u_char              name[NGX_COMETA_ID_MAX];
    ngx_cometa_app_t   *a;
    ngx_cometa_key_t    key;
    ngx_cometa_lost_t  *lost;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[rec->slot];

    if (ngx_cometa_zone.head->offline == 0
        || ngx_cometa_losts_n == NGX_COMETA_LOST_MAX
        || rec->session == 0
        || rec->epoch != __atomic_load_n(&slot->lost_epoch, __ATOMIC_ACQUIRE))
    {
        return;
    }

    a = &ngx_cometa_zone.apps[rec->app];

    key.app.len = ngx_min(a->len, NGX_COMETA_ID_MAX);
    key.app.data = name;
    ngx_memcpy(name, a->name, key.app.len);

    key.device.len = rec->len;
    key.device.data = rec->id;

    ngx_cometa_key_init(&key);

    if ((uint32_t) key.hash != rec->hash) {
        return;
    }

    lost = &ngx_cometa_losts[ngx_cometa_losts_n++];

    lost->hash = key.hash;
    lost->session = rec->session;
    lost->left = slot->lost_at;
}


void
ngx_cometa_offline_flush(void)
{
    ngx_cometa_lost_t  *lost;

    while (ngx_cometa_losts_n) {
        lost = &ngx_cometa_losts[--ngx_cometa_losts_n];

        ngx_cometa_offline_enter(lost->hash, lost->session,
                                 NGX_COMETA_OFFLINE_LOST, lost->left);
    }
}


/* The process that held the lock died: see above. */

static void
ngx_cometa_offline_lock(void)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    if (ngx_cometa_lock(&head->offline_lock) == NGX_OK) {
        return;
    }

    i = head->offline_moving;

    if (i && i <= head->offline_used) {
        ngx_cometa_offline_void(i);
        ngx_cometa_offline_link_oldest(i);
    }

    ngx_cometa_step(&head->offline_moving, 0);
}


static void
ngx_cometa_offline_unlock(void)
{
    ngx_cometa_unlock(&ngx_cometa_zone.head->offline_lock);
}


static uint32_t *
ngx_cometa_offline_bucket(uint64_t hash)
{
    return &ngx_cometa_zone.offline_buckets[((hash >> 32)
                                             * ngx_cometa_zone.head->offline)
                                            >> 32];
}


/* The place of a device. 0: it has none. */

static uint32_t
ngx_cometa_offline_place(uint64_t hash)
{
    uint32_t  i;

    for (i = *ngx_cometa_offline_bucket(hash);
         i;
         i = ngx_cometa_offline(i)->next)
    {
        if (ngx_cometa_offline(i)->hash == hash) {
            break;
        }
    }

    return i;
}


/*
 * A place for another device. One that was never used counts as used only when
 * it is named as moving: until then nothing has to be mended.
 */

static uint32_t
ngx_cometa_offline_take(void)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    if (head->offline_used == head->offline) {
        return head->offline_oldest;
    }

    i = head->offline_used + 1;

    ngx_cometa_step(&head->offline_moving, i);
    ngx_cometa_step(&head->offline_used, i);

    return i;
}


/* Takes a place out of its chain and of the list, if it stands there. */

static void
ngx_cometa_offline_void(uint32_t i)
{
    uint32_t              *link;
    ngx_cometa_offline_t  *o;

    o = ngx_cometa_offline(i);

    for (link = ngx_cometa_offline_bucket(o->hash);
         *link;
         link = &ngx_cometa_offline(*link)->next)
    {
        if (*link == i) {
            ngx_cometa_step(link, o->next);
            break;
        }
    }

    o->session = 0;

    ngx_cometa_offline_unlink(i);
}


/* What stands in the way of it only if it was done, or begun, is left alone. */

static void
ngx_cometa_offline_unlink(uint32_t i)
{
    uint32_t              *link;
    ngx_cometa_offline_t  *o;

    o = ngx_cometa_offline(i);

    link = ngx_cometa_offline_newer(o->older);

    if (*link == i) {
        ngx_cometa_step(link, o->newer);
    }

    link = ngx_cometa_offline_older(o->newer);

    if (*link == i) {
        ngx_cometa_step(link, o->older);
    }
}


static void
ngx_cometa_offline_link_newest(uint32_t i)
{
    ngx_cometa_offline_t  *o;

    o = ngx_cometa_offline(i);

    ngx_cometa_step(&o->older, ngx_cometa_zone.head->offline_newest);
    ngx_cometa_step(&o->newer, 0);

    ngx_cometa_step(ngx_cometa_offline_newer(o->older), i);
    ngx_cometa_step(&ngx_cometa_zone.head->offline_newest, i);
}


static void
ngx_cometa_offline_link_oldest(uint32_t i)
{
    ngx_cometa_offline_t  *o;

    o = ngx_cometa_offline(i);

    ngx_cometa_step(&o->older, 0);
    ngx_cometa_step(&o->newer, ngx_cometa_zone.head->offline_oldest);

    ngx_cometa_step(&ngx_cometa_zone.head->offline_oldest, i);
    ngx_cometa_step(ngx_cometa_offline_older(o->newer), i);
}


/* What names the one that is newer, or older, than a place; 0: the ends. */

static uint32_t *
ngx_cometa_offline_newer(uint32_t i)
{
    return i ? &ngx_cometa_offline(i)->newer
             : &ngx_cometa_zone.head->offline_oldest;
}


static uint32_t *
ngx_cometa_offline_older(uint32_t i)
{
    return i ? &ngx_cometa_offline(i)->older
             : &ngx_cometa_zone.head->offline_newest;
}
