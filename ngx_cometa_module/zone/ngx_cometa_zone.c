
/*
 * The zone: its layout, planned and made once by the master, before any worker
 * uses it. Also what every file needs that works in it: its locks and its hash.
 */

#include "ngx_cometa_zone.h"

#include <openssl/rand.h>


#define NGX_COMETA_CACHE_LINE       64
#define NGX_COMETA_RING_MIN         (256 * 1024)
#define NGX_COMETA_APPS_MAX         4096
#define NGX_COMETA_RECORDS_MIN      64
#define NGX_COMETA_OTK_MIN          64
#define NGX_COMETA_OTK_MAX          65536
#define NGX_COMETA_LATENCIES_MIN    5

/* How the zone is divided: this many slots for each worker, and more ... */

#define NGX_COMETA_GENERATIONS      8       /* reloads that overlap */
#define NGX_COMETA_SLOTS_MORE       16

/* ... and these parts of the zone: 1/24, 1/12, 1/32. */

#define NGX_COMETA_COUNTERS_PART    24
#define NGX_COMETA_LATENCIES_PART   12
#define NGX_COMETA_OTK_PART         32
#define NGX_COMETA_LATENCIES_SHARED 4       /* of the latencies */

#define NGX_COMETA_SHARDS_MAX       256
#define NGX_COMETA_SHARD_RECORDS    4096    /* with more, shards are doubled */


/* The documents state these sizes, and the number of devices follows. */

_Static_assert(sizeof(ngx_cometa_slot_t) == 320, "a slot has 320 bytes");
_Static_assert(sizeof(ngx_cometa_counters_t) == 448,
               "a set of counters has 448 bytes");
_Static_assert(sizeof(ngx_cometa_latency_t) == 3712,
               "a set of latencies has 3712 bytes");
_Static_assert(sizeof(ngx_cometa_otk_t) + sizeof(uint32_t) == 60,
               "a key and its bucket have 60 bytes");
_Static_assert(sizeof(ngx_cometa_app_t) + sizeof(ngx_cometa_otk_app_t) == 112,
               "an application has 112 bytes");


/* Byte offsets of the parts, from the head on. */

typedef struct {
    size_t              slots;
    size_t              interests;
    size_t              hearers;
    size_t              apps;
    size_t              keys;
    size_t              otk_buckets;
    size_t              otk_apps;
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
static size_t ngx_cometa_zone_part(size_t *p, size_t n, size_t size);
static void ngx_cometa_zone_layout(ngx_cometa_head_t *head,
    ngx_cometa_layout_t *lt);
static ngx_int_t ngx_cometa_zone_format(ngx_cometa_head_t *head,
    ngx_log_t *log);
static ngx_int_t ngx_cometa_mutex_init(pthread_mutex_t *mutex);


ngx_cometa_zone_t  ngx_cometa_zone;


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
                      "%uz bytes, lower \"cometa_max_message_size\" or "
                      "restart nginx",
                      &shm_zone->shm.name,
                      (size_t) cometa_ring_max(head->ring_size)
                      - NGX_COMETA_MESSAGE_HEAD);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Divides `size` bytes. There are slots for eight generations of workers. A
 * twelfth goes to the latencies, half of that to the counters, a 32nd to the
 * keys, and the rest to the records. Three in four sets of latencies are the
 * first sets of applications, the others are for their further workers.
 * NGX_DECLINED: the size is too small.
 */

static ngx_int_t
ngx_cometa_zone_plan(ngx_cometa_head_t *head, size_t size,
    size_t max_message, ngx_uint_t workers)
{
    size_t               ring, rest;
    ngx_cometa_layout_t  lt;

    head->slots = NGX_COMETA_GENERATIONS * workers + NGX_COMETA_SLOTS_MORE;
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
                         size / NGX_COMETA_COUNTERS_PART
                         / sizeof(ngx_cometa_counters_t));
    head->latencies = ngx_max(NGX_COMETA_LATENCIES_MIN,
                              size / NGX_COMETA_LATENCIES_PART
                              / sizeof(ngx_cometa_latency_t));

    head->apps = ngx_min(head->sets,
                         head->latencies
                         - head->latencies / NGX_COMETA_LATENCIES_SHARED);
    head->apps = ngx_min(head->apps, NGX_COMETA_APPS_MAX);

    head->keys = size / NGX_COMETA_OTK_PART / sizeof(ngx_cometa_otk_t);
    head->keys = ngx_max(NGX_COMETA_OTK_MIN,
                         ngx_min(head->keys, NGX_COMETA_OTK_MAX));

    head->shards = 1;
    ngx_cometa_zone_layout(head, &lt);

    if (lt.end >= size) {
        return NGX_DECLINED;
    }

    rest = size - lt.end;

    while (head->shards < NGX_COMETA_SHARDS_MAX
           && rest / sizeof(ngx_cometa_record_t) / head->shards
              > NGX_COMETA_SHARD_RECORDS)
    {
        head->shards *= 2;
    }

    /* one bucket for two records; less what alignment may take */

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
    size_t  p, buckets;

    buckets = (size_t) head->shards * head->buckets;

    p = 0;

    (void) ngx_cometa_zone_part(&p, 1, sizeof(ngx_cometa_head_t));

    lt->slots = ngx_cometa_zone_part(&p, head->slots,
                                     sizeof(ngx_cometa_slot_t));
    lt->interests = ngx_cometa_zone_part(&p, NGX_COMETA_ROWS * head->words,
                                         sizeof(uint64_t));
    lt->hearers = ngx_cometa_zone_part(&p, (size_t) head->apps * head->words,
                                       sizeof(uint64_t));
    lt->apps = ngx_cometa_zone_part(&p, head->apps, sizeof(ngx_cometa_app_t));
    lt->keys = ngx_cometa_zone_part(&p, head->keys, sizeof(ngx_cometa_otk_t));
    lt->otk_buckets = ngx_cometa_zone_part(&p, head->keys, sizeof(uint32_t));
    lt->otk_apps = ngx_cometa_zone_part(&p, head->apps,
                                        sizeof(ngx_cometa_otk_app_t));
    lt->counters = ngx_cometa_zone_part(&p, head->sets,
                                        sizeof(ngx_cometa_counters_t));
    lt->latencies = ngx_cometa_zone_part(&p, head->latencies,
                                         sizeof(ngx_cometa_latency_t));
    lt->shards = ngx_cometa_zone_part(&p, head->shards,
                                      sizeof(ngx_cometa_shard_t));
    lt->buckets = ngx_cometa_zone_part(&p, buckets, sizeof(uint32_t));
    lt->records = ngx_cometa_zone_part(&p, head->records,
                                       sizeof(ngx_cometa_record_t));
    lt->end = p;
}


/* Returns where a part of n elements begins: at a cache line. */

static size_t
ngx_cometa_zone_part(size_t *p, size_t n, size_t size)
{
    size_t  part;

    part = *p;
    *p += ngx_align(n * size, NGX_COMETA_CACHE_LINE);

    return part;
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

    /* sessions grow over restarts, and fit the 53 bits of a double */
    head->session = (uint64_t) ngx_time() << 20;

    if (RAND_bytes((u_char *) head->key, sizeof(head->key)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    ngx_cometa_zone_view(head, &view);

    if (ngx_cometa_mutex_init(&head->apps_lock) != NGX_OK
        || ngx_cometa_mutex_init(&head->otk_lock) != NGX_OK)
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

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, log, 0, "pthread_mutex_init() failed");

    return NGX_ERROR;
}


void
ngx_cometa_zone_view(ngx_cometa_head_t *head, ngx_cometa_zone_t *view)
{
    u_char               *p;
    ngx_cometa_layout_t   lt;

    ngx_cometa_zone_layout(head, &lt);

    p = (u_char *) head;

    view->head = head;
    view->slots = (ngx_cometa_slot_t *) (p + lt.slots);
    view->interests = (uint64_t *) (p + lt.interests);
    view->hearers = (uint64_t *) (p + lt.hearers);
    view->apps = (ngx_cometa_app_t *) (p + lt.apps);
    view->keys = (ngx_cometa_otk_t *) (p + lt.keys);
    view->otk_buckets = (uint32_t *) (p + lt.otk_buckets);
    view->otk_apps = (ngx_cometa_otk_app_t *) (p + lt.otk_apps);
    view->counters = (ngx_cometa_counters_t *) (p + lt.counters);
    view->latencies = (ngx_cometa_latency_t *) (p + lt.latencies);
    view->shards = (ngx_cometa_shard_t *) (p + lt.shards);
    view->buckets = (uint32_t *) (p + lt.buckets);
    view->records = (ngx_cometa_record_t *) (p + lt.records);
    view->rings = NULL;
    view->gauges = NULL;
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

    /* ids have no zero byte, so two pairs cannot make the same input */

    cometa_hash_update(&h, key->app.data, key->app.len);
    cometa_hash_update(&h, "", 1);
    cometa_hash_update(&h, key->device.data, key->device.len);

    key->hash = cometa_hash_final(&h);
}
