
/*
 * Slots. Workers claim one and vacate it; what the master has made for it is
 * in the annex of the zone. Locks: `life` of a slot, held by its process for as
 * long as it lives, and by others only to vacate the slot of a dead one.
 */

#include "ngx_cometa_slot.h"
#include "ngx_cometa_annex.h"
#include "cometa_ring.h"


#define NGX_COMETA_SLOT_SUCCESSOR  30000    /* ms, for it to take a slot */


static void ngx_cometa_slot_vacate(ngx_cometa_slot_t *slot);
static void ngx_cometa_slot_clear(ngx_cometa_slot_t *slot);
static void ngx_cometa_slot_forget(ngx_cometa_slot_t *slot);
static void ngx_cometa_slot_forget_in(ngx_cometa_slot_t *slot, uint64_t *row,
    ngx_uint_t rows);
static uint64_t ngx_cometa_slot_devices(ngx_cometa_slot_t *slot);


ngx_int_t
ngx_cometa_slot_claim(ngx_cometa_head_t *head, ngx_log_t *log)
{
    int                  rc;
    ngx_uint_t           i;
    ngx_cometa_slot_t   *slot;

    ngx_cometa_zone_view(head, &ngx_cometa_zone);

    ngx_cometa_annex_view(head);

    /* a process may have died without anybody noticing it */

    for (i = 0; i < head->slots; i++) {
        (void) ngx_cometa_slot_alive(i, ngx_cometa_zone.slots[i].epoch);
    }

    for (i = 0; i < head->slots; i++) {
        slot = &ngx_cometa_zone.slots[i];

        rc = pthread_mutex_trylock(&slot->life);

        if (rc == EOWNERDEAD) {
            (void) pthread_mutex_consistent(&slot->life);
            ngx_cometa_slot_vacate(slot);

        } else if (rc != 0) {
            continue;
        }

        ngx_cometa_zone.slot = i;
        ngx_cometa_zone.epoch = slot->epoch;
        ngx_cometa_zone.claimed = 1;

        slot->draining = 0;
        slot->crowded = 0;
        slot->devices = 0;
        slot->workers = 0;

        /* a dead process has left its gauges, up to the names of its time */

        ngx_memzero(ngx_cometa_gauges(i, 0),
                    __atomic_load_n(&head->napps, __ATOMIC_ACQUIRE)
                    * sizeof(ngx_cometa_gauges_t));

        (void) ngx_cometa_lock(&slot->mail);
        cometa_ring_clear(&slot->ring);
        ngx_cometa_unlock(&slot->mail);

        __atomic_store_n(&slot->pid, (uint32_t) ngx_pid, __ATOMIC_RELEASE);

        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "cometa_zone has no slot left for this worker process, "
                  "all %uD are taken by processes of this and earlier "
                  "configurations: until one leaves, requests to cometa get "
                  "503; set \"worker_shutdown_timeout\", or restart nginx",
                  head->slots);

    return NGX_DECLINED;
}


void
ngx_cometa_slot_release(void)
{
    ngx_cometa_slot_t  *slot;

    if (!ngx_cometa_zone.claimed) {
        return;
    }

    ngx_cometa_zone.claimed = 0;

    slot = &ngx_cometa_zone.slots[ngx_cometa_zone.slot];

    ngx_cometa_slot_vacate(slot);
    (void) pthread_mutex_unlock(&slot->life);
}


/*
 * To be called under `life` of the slot. Makes all void that was written under
 * its epoch, and wakes all workers: they may have calls that its process will
 * not answer, and it may have died before it woke them for a letter.
 */

static void
ngx_cometa_slot_vacate(ngx_cometa_slot_t *slot)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    __atomic_fetch_add(&head->lost, ngx_cometa_slot_devices(slot),
                       __ATOMIC_RELAXED);

    slot->last_begun = cometa_ring_begun(&slot->ring);
    slot->last_epoch = slot->epoch;

    __atomic_store_n(&slot->pid, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->epoch, slot->epoch + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&head->deaths, 1, __ATOMIC_SEQ_CST);

    ngx_cometa_slot_clear(slot);
    ngx_cometa_slot_forget(slot);

    for (i = 0; i < head->slots; i++) {
        if (ngx_cometa_zone.slots[i].pid) {
            ngx_cometa_slot_wake(i);
        }
    }
}


/*
 * Clears its interests, so that nobody writes to it any more. A successor
 * cannot have set one yet, because it would hold `life`.
 */

static void
ngx_cometa_slot_forget(ngx_cometa_slot_t *slot)
{
    ngx_cometa_slot_forget_in(slot, ngx_cometa_zone.interests,
                              NGX_COMETA_ROWS);
    ngx_cometa_slot_forget_in(slot, ngx_cometa_zone.hearers,
                              ngx_cometa_zone.head->apps);
}


static void
ngx_cometa_slot_forget_in(ngx_cometa_slot_t *slot, uint64_t *row,
    ngx_uint_t rows)
{
    uint64_t    *word, bit;
    ngx_uint_t   i, n;

    n = slot - ngx_cometa_zone.slots;
    bit = (uint64_t) 1 << (n % 64);
    word = row + n / 64;

    for (i = 0; i < rows; i++) {

        if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) {
            __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
        }

        word += ngx_cometa_zone.head->words;
    }
}


uint64_t
ngx_cometa_slot_devices_of(uint32_t slot, uint32_t app)
{
    uint64_t              devices, taken;
    ngx_cometa_gauges_t  *g;

    g = ngx_cometa_gauges(slot, app);

    devices = __atomic_load_n(&g->devices, __ATOMIC_ACQUIRE);
    taken = __atomic_load_n(&g->taken, __ATOMIC_ACQUIRE);

    if (taken >> 32 != ngx_cometa_zone.slots[slot].epoch) {
        return devices;
    }

    taken = (uint32_t) taken;

    return (devices > taken) ? devices - taken : 0;
}


/* Devices that its process had not detached when it ended. */

static uint64_t
ngx_cometa_slot_devices(ngx_cometa_slot_t *slot)
{
    uint32_t  app, n;
    uint64_t  devices;

    devices = 0;
    n = slot - ngx_cometa_zone.slots;

    for (app = 0; app < ngx_cometa_zone.head->apps; app++) {
        devices += ngx_cometa_slot_devices_of(n, app);
    }

    return devices;
}


/* Reads no control data, so the kernel closes the descriptors. */

static void
ngx_cometa_slot_clear(ngx_cometa_slot_t *slot)
{
    uint32_t  kind;

    while (recv(slot->door[0], &kind, sizeof(uint32_t), MSG_DONTWAIT) > 0) {
#if (NGX_STAT_STUB)
        if ((kind & ~NGX_COMETA_PARCEL_TLS) == NGX_COMETA_PARCEL_OPENING) {
            (void) ngx_atomic_fetch_add(ngx_stat_active, -1);
        }
#endif
    }
}


void
ngx_cometa_slot_forsaken(uint32_t slot)
{
    int                 rc;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];

    rc = pthread_mutex_trylock(&s->life);

    if (rc == EBUSY) {
        return;
    }

    if (rc == EOWNERDEAD) {
        (void) pthread_mutex_consistent(&s->life);
        ngx_cometa_slot_vacate(s);
    }

    ngx_cometa_slot_clear(s);

    (void) pthread_mutex_unlock(&s->life);
}


void
ngx_cometa_slot_wake(uint32_t slot)
{
    uint64_t  one;

    one = 1;

    /* the counter never fills: it would take 2^64 wake-ups */

    (void) !write(ngx_cometa_zone.slots[slot].eventfd, &one, sizeof(one));
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    int                 rc;
    ngx_cometa_slot_t  *s;

    s = &ngx_cometa_zone.slots[slot];

    if (__atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) != epoch) {
        return 0;
    }

    if (slot == ngx_cometa_zone.slot && ngx_cometa_zone.claimed) {
        return 1;
    }

    rc = pthread_mutex_trylock(&s->life);

    if (rc == EBUSY) {
        return 1;
    }

    if (rc == EOWNERDEAD) {
        (void) pthread_mutex_consistent(&s->life);
        ngx_cometa_slot_vacate(s);
    }

    (void) pthread_mutex_unlock(&s->life);

    return 0;
}


/*
 * A worker that leaves because of a reload has successors: they serve, or will
 * soon, on a slow machine or when some old worker leaves its slot to them. If
 * they came and leave, too, nginx is being stopped.
 */

ngx_uint_t
ngx_cometa_slot_successor(void)
{
    static ngx_msec_t   since;

    uint32_t            i, taken, present;
    ngx_uint_t          came;
    ngx_cometa_slot_t  *s;

    present = __atomic_load_n(&ngx_cometa_zone.head->generation,
                              __ATOMIC_ACQUIRE);

    if (!ngx_cometa_slot_newer(present)) {
        return 0;
    }

    if (since == 0) {
        since = ngx_current_msec;
    }

    taken = 0;
    came = 0;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (s->pid == 0 || !ngx_cometa_slot_alive(i, s->epoch)) {
            continue;
        }

        taken++;

        if (s->generation != present) {
            continue;
        }

        if (!s->draining) {
            return 1;
        }

        came = 1;
    }

    if (taken == ngx_cometa_zone.head->slots) {
        since = ngx_current_msec;
        return 1;
    }

    return !came
           && ngx_current_msec - since < NGX_COMETA_SLOT_SUCCESSOR;
}


ngx_uint_t
ngx_cometa_slot_newer(uint32_t generation)
{
    uint32_t  own;

    own = ngx_cometa_zone.slots[ngx_cometa_zone.slot].generation;

    return (int32_t) (generation - own) > 0;
}
