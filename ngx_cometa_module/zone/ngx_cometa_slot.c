
/*
 * Slots. Beside each zone the master makes an annex, with the rings, gauges,
 * eventfds and doors of its slots. Workers inherit it, claim a slot and vacate
 * it. Locks: `life` of a slot, held by its process for as long as it lives, and
 * by others only to vacate the slot of a dead one.
 */

#include "ngx_cometa_slot.h"
#include "cometa_ring.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>


/*
 * What the master makes beside a zone, and workers inherit. The master keeps a
 * list of annexes, to find one again after a reload and to free it with its
 * zone.
 */

typedef struct ngx_cometa_annex_s  ngx_cometa_annex_t;

struct ngx_cometa_annex_s {
    ngx_cometa_annex_t  *next;
    ngx_cometa_head_t   *head;
    u_char              *rings;         /* and the gauges behind them */
    size_t               size;          /* of both */
    ngx_uint_t           committed;     /* its configuration is in force */
    ngx_uint_t           n;
    int                  fd[1];         /* eventfds and doors */
};


static void ngx_cometa_annex_limit(rlim_t n);
static ngx_int_t ngx_cometa_annex_descriptors(ngx_cometa_annex_t *annex,
    ngx_cometa_slot_t *slot);
static void ngx_cometa_annex_free(ngx_cometa_annex_t **link);
static void ngx_cometa_annex_abort(void *data);
static void ngx_cometa_annex_left(ngx_cometa_annex_t *annex, ngx_log_t *log);
static void ngx_cometa_slot_vacate(ngx_cometa_slot_t *slot);
static void ngx_cometa_slot_clear(ngx_cometa_slot_t *slot);
static void ngx_cometa_slot_forget(ngx_cometa_slot_t *slot);
static uint64_t ngx_cometa_slot_devices(ngx_cometa_slot_t *slot);


static ngx_cometa_annex_t  *ngx_cometa_annexes;


ngx_int_t
ngx_cometa_slot_equip(ngx_cometa_head_t *head, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_uint_t           i;
    ngx_cometa_zone_t    view;
    ngx_pool_cleanup_t  *cln;
    ngx_cometa_annex_t  *annex;

    /* with "master_process off" this process uses the old zone */

    if (ngx_cometa_zone.claimed) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "cometa_zone cannot get another size or name by a "
                      "reload with \"master_process off\", restart nginx");
        return NGX_ERROR;
    }

    ngx_cometa_zone_view(head, &view);

    /* the pool is destroyed if the configuration fails after this */

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_cometa_annex_abort;

    annex = ngx_alloc(sizeof(ngx_cometa_annex_t)
                      + head->slots * 3 * sizeof(int), log);
    if (annex == NULL) {
        return NGX_ERROR;
    }

    annex->size = ngx_cometa_rings_size(head) + ngx_cometa_gauges_size(head);
    annex->rings = mmap(NULL, annex->size, PROT_READ|PROT_WRITE,
                        MAP_ANON|MAP_SHARED|MAP_NORESERVE, -1, 0);

    if (annex->rings == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "mmap(MAP_ANON|MAP_SHARED, %uz) failed", annex->size);
        ngx_free(annex);
        return NGX_ERROR;
    }

    ngx_cometa_annex_limit(head->slots * 3);

    annex->head = head;
    annex->committed = 0;
    annex->n = 0;
    annex->next = ngx_cometa_annexes;
    ngx_cometa_annexes = annex;

    for (i = 0; i < head->slots; i++) {
        if (ngx_cometa_annex_descriptors(annex, &view.slots[i]) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno, "eventfd() or "
                          "socketpair() failed, %ui descriptors are needed, "
                          "raise the limit of open files",
                          (ngx_uint_t) head->slots * 3);
            ngx_cometa_annex_free(&ngx_cometa_annexes);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Raises the limit of descriptors by those that the annex needs. */

static void
ngx_cometa_annex_limit(rlim_t n)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1
        || limit.rlim_cur == RLIM_INFINITY)
    {
        return;
    }

    limit.rlim_cur = ngx_min(limit.rlim_cur + n, limit.rlim_max);

    /* if there are too few descriptors, opening one fails with a message */

    (void) setrlimit(RLIMIT_NOFILE, &limit);
}


static ngx_int_t
ngx_cometa_annex_descriptors(ngx_cometa_annex_t *annex,
    ngx_cometa_slot_t *slot)
{
    int  door[2];

    slot->eventfd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (slot->eventfd == -1) {
        return NGX_ERROR;
    }

    annex->fd[annex->n++] = slot->eventfd;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0, door)
        == -1)
    {
        return NGX_ERROR;
    }

    slot->door[0] = door[0];
    slot->door[1] = door[1];

    annex->fd[annex->n++] = door[0];
    annex->fd[annex->n++] = door[1];

    return NGX_OK;
}


static void
ngx_cometa_annex_free(ngx_cometa_annex_t **link)
{
    ngx_uint_t           i;
    ngx_cometa_annex_t  *annex;

    annex = *link;
    *link = annex->next;

    for (i = 0; i < annex->n; i++) {
        (void) close(annex->fd[i]);
    }

    (void) munmap(annex->rings, annex->size);

    ngx_free(annex);
}


/*
 * The pool of a configuration is destroyed. If the configuration has failed
 * after its zone was made, nothing else frees the annex.
 */

static void
ngx_cometa_annex_abort(void *data)
{
    ngx_cometa_annex_t  **link;

    for (link = &ngx_cometa_annexes; *link; /* void */) {
        if (!(*link)->committed) {
            ngx_cometa_annex_free(link);
            continue;
        }

        link = &(*link)->next;
    }
}


void
ngx_cometa_slot_commit(ngx_cometa_head_t *head, ngx_log_t *log)
{
    ngx_cometa_annex_t  **link;

    for (link = &ngx_cometa_annexes; *link; /* void */) {
        if ((*link)->head != head) {
            ngx_cometa_annex_left(*link, log);
            ngx_cometa_annex_free(link);
            continue;
        }

        (*link)->committed = 1;
        link = &(*link)->next;
    }
}


/* Old workers still use the old zone, and the master still has it mapped. */

static void
ngx_cometa_annex_left(ngx_cometa_annex_t *annex, ngx_log_t *log)
{
    uint64_t              devices, websockets;
    ngx_uint_t            i, app;
    ngx_cometa_zone_t     view;
    ngx_cometa_gauges_t  *g;

    ngx_cometa_zone_view(annex->head, &view);

    g = (ngx_cometa_gauges_t *) (annex->rings
                                 + ngx_cometa_rings_size(view.head));
    devices = 0;
    websockets = 0;

    for (i = 0; i < view.head->slots; i++, g += view.head->apps) {

        if (view.slots[i].pid == 0) {
            continue;
        }

        for (app = 0; app < view.head->napps; app++) {
            devices += g[app].devices;
            websockets += g[app].websockets;
        }
    }

    if (devices + websockets == 0) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "cometa_zone has got another size or name by a reload and "
                  "begins empty: %uL devices and %uL websockets on old "
                  "workers cannot be reached from new ones until they "
                  "connect again; restart nginx to change cometa_zone",
                  devices, websockets);
}


ngx_int_t
ngx_cometa_slot_claim(ngx_cometa_head_t *head, ngx_log_t *log)
{
    int                  rc;
    ngx_uint_t           i;
    ngx_cometa_slot_t   *slot;
    ngx_cometa_annex_t  *annex;

    ngx_cometa_zone_view(head, &ngx_cometa_zone);

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        if (annex->head == head) {
            ngx_cometa_zone.rings = annex->rings;
            ngx_cometa_zone.gauges = (ngx_cometa_gauges_t *)
                               (annex->rings + ngx_cometa_rings_size(head));
        }
    }

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
    uint64_t    *word, bit;
    ngx_uint_t   i, n;

    n = slot - ngx_cometa_zone.slots;
    bit = (uint64_t) 1 << (n % 64);
    word = ngx_cometa_zone.interests + n / 64;

    for (i = 0; i < NGX_COMETA_ROWS; i++) {

        if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) {
            __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
        }

        word += ngx_cometa_zone.head->words;
    }
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
        devices += __atomic_load_n(&ngx_cometa_gauges(n, app)->devices,
                                   __ATOMIC_RELAXED);
    }

    return devices;
}


/* Reads no control data, so the kernel closes the descriptors. */

static void
ngx_cometa_slot_clear(ngx_cometa_slot_t *slot)
{
    u_char  byte;

    while (recv(slot->door[0], &byte, 1, MSG_DONTWAIT) > 0) {
#if (NGX_STAT_STUB)
        (void) ngx_atomic_fetch_add(ngx_stat_active, -1);
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


ngx_uint_t
ngx_cometa_slot_successor(void)
{
    uint32_t            i, taken;
    ngx_cometa_slot_t  *s;

    taken = 0;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        if (s->pid == 0 || !ngx_cometa_slot_alive(i, s->epoch)) {
            continue;
        }

        if (!s->draining && i != ngx_cometa_zone.slot) {
            return 1;
        }

        taken++;
    }

    /* successors may be waiting for a slot */

    return taken == ngx_cometa_zone.head->slots;
}
