
/*
 * The zone: its layout, made once by the master, and its slots, claimed by
 * workers. Locks: `life` of a slot, held by its process for as long as it
 * lives, and by others only to vacate the slot of a dead one.
 */

#include "ngx_cometa_zone.h"

#include <openssl/rand.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>


#define NGX_COMETA_RING_MIN     (256 * 1024)
#define NGX_COMETA_APPS_MAX     4096
#define NGX_COMETA_RECORDS_MIN  64
#define NGX_COMETA_KEYS_MIN     64
#define NGX_COMETA_LATENCIES_MIN  4
#define NGX_COMETA_KEYS_MAX     65536


/*
 * What the master makes beside the zone, and workers inherit. It keeps track
 * of it, to find it again after a reload and to free it with the zone.
 */

typedef struct ngx_cometa_annex_s  ngx_cometa_annex_t;

struct ngx_cometa_annex_s {
    ngx_cometa_annex_t  *next;
    ngx_cometa_head_t   *head;
    u_char              *rings;
    size_t               size;          /* of the rings */
    ngx_uint_t           n;
    int                  fd[1];         /* eventfds and doors */
};


/* Byte offsets of the parts, from the head on. */

typedef struct {
    size_t              slots;
    size_t              interests;
    size_t              apps;
    size_t              keys;
    size_t              keys_buckets;
    size_t              keys_apps;
    size_t              counters;
    size_t              latencies;
    size_t              shards;
    size_t              buckets;
    size_t              records;
    size_t              end;
} ngx_cometa_layout_t;


static ngx_int_t ngx_cometa_zone_check(ngx_shm_zone_t *shm_zone,
    size_t max_message, ngx_cometa_head_t *head);
static ngx_int_t ngx_cometa_zone_plan(ngx_cometa_head_t *head, size_t size,
    size_t max_message, ngx_uint_t workers);
static void ngx_cometa_zone_layout(ngx_cometa_head_t *head,
    ngx_cometa_layout_t *lt);
static ngx_int_t ngx_cometa_zone_format(ngx_cometa_head_t *head,
    ngx_log_t *log);
static void ngx_cometa_zone_view(ngx_cometa_head_t *head,
    ngx_cometa_zone_t *view);
static ngx_int_t ngx_cometa_mutex_init(pthread_mutex_t *mutex);
static ngx_int_t ngx_cometa_annex_create(ngx_cometa_head_t *head,
    ngx_cometa_slot_t *slots, ngx_log_t *log);
static void ngx_cometa_annex_limit(rlim_t n);
static ngx_int_t ngx_cometa_annex_descriptors(ngx_cometa_annex_t *annex,
    ngx_cometa_slot_t *slot);
static void ngx_cometa_annex_free(ngx_cometa_annex_t **link);
static void ngx_cometa_annex_sweep(ngx_cometa_head_t *head, ngx_uint_t of);
static void ngx_cometa_slot_vacate(ngx_cometa_slot_t *slot);


ngx_cometa_zone_t           ngx_cometa_zone;

static ngx_cometa_annex_t  *ngx_cometa_annexes;


ngx_int_t
ngx_cometa_zone_init(ngx_shm_zone_t *shm_zone, size_t max_message,
    ngx_uint_t workers, ngx_cometa_head_t *old)
{
    size_t              size, more;
    ngx_slab_pool_t    *pool;
    ngx_cometa_head_t  *head, plan;

    if (old) {
        shm_zone->data = old;
        return ngx_cometa_zone_check(shm_zone, max_message, old);
    }

    pool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    size = pool->pfree * ngx_pagesize;

    ngx_memzero(&plan, sizeof(ngx_cometa_head_t));

    if (ngx_cometa_zone_plan(&plan, size, max_message, workers) != NGX_OK) {

        /* what nginx itself takes of a zone stays the same */

        more = 0;

        do {
            more += ngx_pagesize;
        } while (ngx_cometa_zone_plan(&plan, size + more, max_message, workers)
                 != NGX_OK);

        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "cometa_zone \"%V\" is too small for %ui worker "
                      "processes, use at least %uzk", &shm_zone->shm.name,
                      workers, (shm_zone->shm.size + more) / 1024 + 4);
        return NGX_ERROR;
    }

    head = ngx_slab_alloc(pool, size);
    if (head == NULL) {
        return NGX_ERROR;
    }

    *head = plan;
    shm_zone->data = head;

    return ngx_cometa_zone_format(head, shm_zone->shm.log);
}


static ngx_int_t
ngx_cometa_zone_check(ngx_shm_zone_t *shm_zone, size_t max_message,
    ngx_cometa_head_t *head)
{
    if (head->magic != NGX_COMETA_ZONE_MAGIC
        || head->version != NGX_COMETA_ZONE_VERSION)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "cometa_zone \"%V\" was made by another version of the "
                      "module, restart nginx", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    if (max_message > head->max_message
        && max_message + NGX_COMETA_MESSAGE_HEAD
           > cometa_ring_max(head->ring_size))
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "cometa_zone \"%V\" was made for messages of at most "
                      "%uz bytes, change its size together with "
                      "\"cometa_max_message_size\" or restart nginx",
                      &shm_zone->shm.name,
                      (size_t) cometa_ring_max(head->ring_size)
                      - NGX_COMETA_MESSAGE_HEAD);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Divides `size` bytes. Slots are enough for eight generations of workers;
 * a sixteenth goes to the counters, another one to the latencies, half
 * of that to the keys, and the rest to the records.
 * NGX_DECLINED: too small.
 */

static ngx_int_t
ngx_cometa_zone_plan(ngx_cometa_head_t *head, size_t size,
    size_t max_message, ngx_uint_t workers)
{
    size_t               ring, rest;
    ngx_cometa_layout_t  lt;

    head->slots = 8 * workers + 16;
    head->words = (head->slots + 63) / 64;
    head->max_message = max_message;

    for (ring = NGX_COMETA_RING_MIN;
         cometa_ring_max(ring) < max_message + NGX_COMETA_MESSAGE_HEAD;
         ring *= 2)
    {
        /* void */
    }

    head->ring_size = ring;

    head->sets = ngx_max(head->slots,
                         size / 16 / sizeof(ngx_cometa_counters_t));
    head->latencies = ngx_max(NGX_COMETA_LATENCIES_MIN,
                              size / 16 / sizeof(ngx_cometa_latency_t));

    head->apps = ngx_min(head->sets, head->latencies);
    head->apps = ngx_min(head->apps, NGX_COMETA_APPS_MAX);

    head->keys = size / 32 / sizeof(ngx_cometa_otk_t);
    head->keys = ngx_max(NGX_COMETA_KEYS_MIN,
                         ngx_min(head->keys, NGX_COMETA_KEYS_MAX));

    head->shards = 1;
    ngx_cometa_zone_layout(head, &lt);

    if (lt.end >= size) {
        return NGX_DECLINED;
    }

    rest = size - lt.end;

    while (head->shards < 256
           && rest / sizeof(ngx_cometa_record_t) / head->shards > 4096)
    {
        head->shards *= 2;
    }

    /* one bucket for two records, and what alignment may take */

    rest -= ngx_min(rest, head->shards * 256 + 4096);
    rest /= sizeof(ngx_cometa_record_t) + sizeof(uint32_t) / 2;

    if (rest < NGX_COMETA_RECORDS_MIN) {
        return NGX_DECLINED;
    }

    head->records = ngx_min(rest, NGX_COMETA_NONE - 1);
    head->buckets = head->records / head->shards / 2 + 1;

    ngx_cometa_zone_layout(head, &lt);

    return (lt.end <= size) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_cometa_zone_layout(ngx_cometa_head_t *head, ngx_cometa_layout_t *lt)
{
    size_t  p;

    p = ngx_align(sizeof(ngx_cometa_head_t), 64);

    lt->slots = p;
    p += ngx_align(head->slots * sizeof(ngx_cometa_slot_t), 64);

    lt->interests = p;
    p += ngx_align(NGX_COMETA_ROWS * head->words * sizeof(uint64_t), 64);

    lt->apps = p;
    p += ngx_align(head->apps * sizeof(ngx_cometa_app_t), 64);

    lt->keys = p;
    p += ngx_align(head->keys * sizeof(ngx_cometa_otk_t), 64);

    lt->keys_buckets = p;
    p += ngx_align(head->keys * sizeof(uint32_t), 64);

    lt->keys_apps = p;
    p += ngx_align(head->apps * sizeof(ngx_cometa_otk_app_t), 64);

    lt->counters = p;
    p += ngx_align(head->sets * sizeof(ngx_cometa_counters_t), 64);

    lt->latencies = p;
    p += ngx_align(head->latencies * sizeof(ngx_cometa_latency_t), 64);

    lt->shards = p;
    p += ngx_align(head->shards * sizeof(ngx_cometa_shard_t), 64);

    lt->buckets = p;
    p += ngx_align((size_t) head->shards * head->buckets * sizeof(uint32_t),
                   64);

    lt->records = p;
    p += ngx_align((size_t) head->records * sizeof(ngx_cometa_record_t), 64);

    lt->end = p;
}


/*
 * The pages of a new zone are zero, and most parts are made so that zero is
 * their empty state: untouched pages cost no memory.
 */

static ngx_int_t
ngx_cometa_zone_format(ngx_cometa_head_t *head, ngx_log_t *log)
{
    ngx_uint_t          i;
    ngx_cometa_slot_t  *slot;
    ngx_cometa_zone_t   view;

    head->magic = NGX_COMETA_ZONE_MAGIC;
    head->version = NGX_COMETA_ZONE_VERSION;

    /* sessions grow over restarts too, and fit a double's 53 bits */
    head->session = (uint64_t) ngx_time() << 20;

    if (RAND_bytes((u_char *) head->key, sizeof(head->key)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    ngx_cometa_zone_view(head, &view);

    if (ngx_cometa_mutex_init(&head->apps_lock) != NGX_OK
        || ngx_cometa_mutex_init(&head->keys_lock) != NGX_OK)
    {
        goto failed;
    }

    for (i = 0; i < head->slots; i++) {
        slot = &view.slots[i];
        slot->epoch = 1;
        slot->eventfd = -1;
        slot->door[0] = -1;
        slot->door[1] = -1;

        cometa_ring_init(&slot->ring);

        if (ngx_cometa_mutex_init(&slot->life) != NGX_OK
            || ngx_cometa_mutex_init(&slot->mail) != NGX_OK)
        {
            goto failed;
        }
    }

    for (i = 0; i < head->shards; i++) {
        if (ngx_cometa_mutex_init(&view.shards[i].lock) != NGX_OK) {
            goto failed;
        }
    }

    return ngx_cometa_annex_create(head, view.slots, log);

failed:

    ngx_log_error(NGX_LOG_EMERG, log, 0, "pthread_mutex_init() failed");

    return NGX_ERROR;
}


static void
ngx_cometa_zone_view(ngx_cometa_head_t *head, ngx_cometa_zone_t *view)
{
    u_char               *p;
    ngx_cometa_layout_t   lt;

    ngx_cometa_zone_layout(head, &lt);

    p = (u_char *) head;

    view->head = head;
    view->slots = (ngx_cometa_slot_t *) (p + lt.slots);
    view->interests = (uint64_t *) (p + lt.interests);
    view->apps = (ngx_cometa_app_t *) (p + lt.apps);
    view->keys = (ngx_cometa_otk_t *) (p + lt.keys);
    view->keys_buckets = (uint32_t *) (p + lt.keys_buckets);
    view->keys_apps = (ngx_cometa_otk_app_t *) (p + lt.keys_apps);
    view->counters = (ngx_cometa_counters_t *) (p + lt.counters);
    view->latencies = (ngx_cometa_latency_t *) (p + lt.latencies);
    view->shards = (ngx_cometa_shard_t *) (p + lt.shards);
    view->buckets = (uint32_t *) (p + lt.buckets);
    view->records = (ngx_cometa_record_t *) (p + lt.records);
    view->rings = NULL;
    view->claimed = 0;
}


static ngx_int_t
ngx_cometa_mutex_init(pthread_mutex_t *mutex)
{
    int                  rc;
    pthread_mutexattr_t  attr;

    if (pthread_mutexattr_init(&attr) != 0) {
        return NGX_ERROR;
    }

    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)
         || pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST)
         || pthread_mutex_init(mutex, &attr);

    (void) pthread_mutexattr_destroy(&attr);

    return rc ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_cometa_annex_create(ngx_cometa_head_t *head, ngx_cometa_slot_t *slots,
    ngx_log_t *log)
{
    ngx_uint_t            i;
    ngx_cometa_annex_t   *annex;

    /* left behind by a configuration that failed after its zone was made */

    ngx_cometa_annex_sweep(head, 1);

    annex = ngx_alloc(sizeof(ngx_cometa_annex_t)
                      + head->slots * 3 * sizeof(int), log);
    if (annex == NULL) {
        return NGX_ERROR;
    }

    annex->size = head->slots * head->ring_size;
    annex->rings = mmap(NULL, annex->size, PROT_READ|PROT_WRITE,
                        MAP_ANON|MAP_SHARED, -1, 0);

    if (annex->rings == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "mmap(MAP_ANON|MAP_SHARED, %uz) failed", annex->size);
        ngx_free(annex);
        return NGX_ERROR;
    }

    ngx_cometa_annex_limit(head->slots * 3);

    annex->head = head;
    annex->n = 0;
    annex->next = ngx_cometa_annexes;
    ngx_cometa_annexes = annex;

    for (i = 0; i < head->slots; i++) {
        if (ngx_cometa_annex_descriptors(annex, &slots[i]) != NGX_OK) {
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


/* What the annex takes comes on top of what the others were allowed. */

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

    /* if it fails and they do not fit, it is said there */

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


/* Frees the annexes of this head, or those of all others. */

static void
ngx_cometa_annex_sweep(ngx_cometa_head_t *head, ngx_uint_t of)
{
    ngx_cometa_annex_t  **link;

    for (link = &ngx_cometa_annexes; *link; /* void */) {
        if (((*link)->head == head) == of) {
            ngx_cometa_annex_free(link);
            continue;
        }

        link = &(*link)->next;
    }
}


void
ngx_cometa_zone_commit(ngx_cometa_head_t *head)
{
    ngx_cometa_annex_sweep(head, 0);
}


ngx_int_t
ngx_cometa_zone_claim(ngx_cometa_head_t *head, ngx_log_t *log)
{
    int                  rc;
    ngx_uint_t           i;
    ngx_cometa_slot_t   *slot;
    ngx_cometa_annex_t  *annex;

    ngx_cometa_zone_view(head, &ngx_cometa_zone);

    for (annex = ngx_cometa_annexes; annex; annex = annex->next) {
        if (annex->head == head) {
            ngx_cometa_zone.rings = annex->rings;
        }
    }

    /* whoever died before us may have been noticed by nobody */

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
ngx_cometa_zone_release(void)
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
 * Under `life` of the slot. Voids all that was written under its epoch, and
 * wakes everybody: they may hold calls that its process will not answer, and
 * a wake-up that it owed them may be lost.
 */

static void
ngx_cometa_slot_vacate(ngx_cometa_slot_t *slot)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    slot->last_begun = cometa_ring_begun(&slot->ring);
    slot->last_epoch = slot->epoch;

    __atomic_store_n(&slot->pid, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->epoch, slot->epoch + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&head->deaths, 1, __ATOMIC_SEQ_CST);

    ngx_cometa_slot_clear(slot);

    for (i = 0; i < head->slots; i++) {
        if (ngx_cometa_zone.slots[i].pid) {
            ngx_cometa_slot_wake(i);
        }
    }
}


/* Without a place for it, the kernel closes the descriptor of a parcel. */

void
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


ngx_int_t
ngx_cometa_lock(pthread_mutex_t *mutex)
{
    if (pthread_mutex_lock(mutex) == EOWNERDEAD) {
        (void) pthread_mutex_consistent(mutex);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_cometa_unlock(pthread_mutex_t *mutex)
{
    (void) pthread_mutex_unlock(mutex);
}


void
ngx_cometa_key_init(ngx_cometa_key_t *key)
{
    cometa_hash_t  h;

    cometa_hash_init(&h, ngx_cometa_zone.head->key);

    /* ids hold no zero byte: no two pairs run together */

    cometa_hash_update(&h, key->app.data, key->app.len);
    cometa_hash_update(&h, "", 1);
    cometa_hash_update(&h, key->device.data, key->device.len);

    key->hash = cometa_hash_final(&h);
}
