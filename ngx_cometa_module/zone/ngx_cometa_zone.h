
/*
 * The zone: layout of the shared memory. Everything above finds its part of
 * the zone through ngx_cometa_zone, this process's view of it.
 */

#ifndef _NGX_COMETA_ZONE_H_INCLUDED_
#define _NGX_COMETA_ZONE_H_INCLUDED_


#include "ngx_cometa.h"
#include "cometa_flap.h"
#include "cometa_hash.h"
#include "cometa_histogram.h"
#include "cometa_ring.h"

#include <pthread.h>


/*
 * The zone, from its first to its last page. There is no pointer in it, only
 * indices and offsets, for a pointer would have to be valid in every process.
 * Its size says how many devices it can hold. The bytes of the rings, whose
 * size follows from the number of workers and the largest message, and the
 * gauges, which take memory only where a worker lives, are a mapping of their
 * own that the master makes with the zone.
 *
 *     +---------------+
 *     | nginx's slab  |  header and page table, made by nginx
 *     +---------------+  <- one allocation takes all the rest
 *     | head          |  sizes, hash key, session counter
 *     | slots         |  one a worker process: life, epoch, mailbox
 *     | interests     |  rows of one bit a slot
 *     | applications  |  names, and how they are found
 *     | keys          |  one-time keys, their buckets and applications
 *     | counters      |  sets, one for each slot and application used
 *     | latencies     |  the same
 *     | shards        |  lock and free list of a part of the registry
 *     | buckets       |  heads of the chains of records
 *     | records       |  one a device
 *     +---------------+
 *
 *     +---------------+
 *     | rings         |  one a slot: the bytes of its mailbox
 *     | gauges        |  a row a slot: of each application
 *     +---------------+
 *
 * Who writes what, and under which lock; the owner of a slot is its process.
 *
 *     head: sizes, key        the master, before anybody else is there
 *     head: session, carved,  any worker, atomic
 *       deaths, sweep,
 *       refused, lost
 *     head, apps: names, sets any worker, under apps_lock; the state of a
 *                             place and the link of a set are published last
 *     head, keys: otk_*       any worker, under otk_lock
 *     slot: epoch, pid,       its owner; of a dead one whoever finds it;
 *       last_*                under `life`
 *     slot: sleeping          its owner; senders clear it; atomic
 *     slot: draining,         its owner; a reader may see an old value
 *       generation, crowded
 *     slot: delayed, refused, any worker, atomic
 *       lost
 *     ring: tail, letters     any worker, under `mail` of the slot
 *     ring: head, begun       the owner of the slot
 *     interests               the owner of the slot its bit, atomic; of a dead
 *                             one whoever vacates the slot, under `life`
 *     counters, totals of     the owner of the slot, atomic, for workers may
 *       latencies             have to share a set
 *     windows of latencies    the owner of the slot; in a shared set some
 *                             latencies may get lost
 *     gauges                  the owner of the slot
 *     buckets, records        any worker, under the lock of the shard
 */

#define NGX_COMETA_ZONE_MAGIC    0x434f4d45
#define NGX_COMETA_ZONE_VERSION  4
#define NGX_COMETA_ROWS          4096   /* of interests */
#define NGX_COMETA_NONE          0xffffffff
#define NGX_COMETA_MESSAGE_HEAD  64     /* what mail adds to a payload */


typedef struct {
    uint32_t         magic;
    uint32_t         version;

    uint32_t         slots;
    uint32_t         apps;              /* there is room for */
    uint32_t         sets;              /* of counters, there is room for */
    uint32_t         latencies;         /* there is room for */
    uint32_t         shards;
    uint32_t         buckets;           /* in each shard */
    uint32_t         records;
    uint32_t         keys;              /* there is room for */
    uint32_t         words;             /* of 64 slots, in a row of interests */
    uint32_t         max_message;       /* the rings were made for */
    uint64_t         ring_size;
    uint64_t         key[2];            /* of the hash */

    /* atomic, all of them */

    uint32_t         napps;             /* have had a name, under apps_lock */
    uint32_t         named;             /* names given so far, the same */
    uint32_t         hand;              /* next one looked at, the same */
    uint32_t         sets_carved;       /* beside those of apps, the same */
    uint32_t         latencies_carved;  /* the same */
    uint32_t         carved;            /* records given to shards so far */
    uint32_t         deaths;            /* times that a slot was vacated */
    uint32_t         sweep;             /* next bucket to be swept */
    uint64_t         session;           /* the last one given */

    pthread_mutex_t  apps_lock;         /* to name applications, and to give
                                           them sets of counters */

    pthread_mutex_t  otk_lock;         /* for all of the keys */
    uint32_t         otk_free;         /* index + 1 */
    uint32_t         otk_carved;       /* in use or free, of all */

    /*
     * Counters of no application, atomic: names of applications that were
     * refused may be anybody's invention.  On lines of their own, that a flood
     * of refusals does not disturb who reads what is above.
     */

    uint64_t         refused[NGX_COMETA_ERRORS]
                         __attribute__((aligned(64)));  /* attaches */
    uint64_t         lost;              /* devices, with their worker */
} __attribute__((aligned(64))) ngx_cometa_head_t;


/*
 * A slot belongs to the process that holds `life`, a robust mutex: the kernel
 * releases it when the process ends in any way, so whoever finds it free may
 * vacate the slot. What was written under an epoch is void once the slot has
 * another one; this is how all devices of a dead worker vanish at once.
 */

typedef struct {
    pthread_mutex_t  life;
    uint32_t         epoch;
    uint32_t         pid;               /* 0: free */
    uint32_t         draining;
    uint32_t         generation;        /* of its configuration */
    uint32_t         crowded;           /* wants no more connections */
    int32_t          eventfd;           /* made by the master, inherited */
    int32_t          door[2];           /* the same: out of, and into it */
    uint32_t         last_epoch;        /* the epoch before this one ... */
    uint64_t         last_begun;        /* ... had taken this much mail */

    /* the mailbox */
    pthread_mutex_t  mail;              /* producers serialise on it */
    uint32_t         sleeping;          /* the consumer wants a wake-up */

    /* letters that found the ring full, each counted once */
    uint64_t         delayed;           /* waited in their sender */
    uint64_t         refused;           /* calls: told their caller */
    uint64_t         lost[2];           /* events; answers */

    cometa_ring_t    ring  __attribute__((aligned(64)));
} ngx_cometa_slot_t;


/*
 * The place of an application. A name is found through tables of the
 * processes; they learn of new names from the log of names, a ring of as many
 * cells as there are places: that of name number n is log of place n % apps.
 * A place that is not USED has no name, whatever lies there.
 */

#define NGX_COMETA_APP_FREE     0
#define NGX_COMETA_APP_USED     1
#define NGX_COMETA_APP_LEAVING  2       /* about to be given to another one */

typedef struct {
    uint32_t         state;
    uint32_t         counters;          /* further sets, index + 1 */
    uint32_t         latencies;         /* the same */
    uint32_t         log;               /* which place was named */
    uint32_t         last;              /* s, when it was last referred to */
    uint32_t         len;
    u_char           name[NGX_COMETA_ID_MAX];
} ngx_cometa_app_t;


/*
 * A key, in two chains: that of its bucket (or of free ones), and that of its
 * application in order of age. Indices plus one, 0 ends.
 */

#define NGX_COMETA_OTK_LEN  20          /* bytes; twice as many hex digits */

typedef struct {
    u_char           key[NGX_COMETA_OTK_LEN];
    uint32_t         next;              /* in the bucket */
    uint32_t         older;
    uint32_t         newer;
    uint32_t         app;
    uint64_t         hash;              /* of application and device */
    uint64_t         expires;           /* us, ngx_cometa_now() */
} ngx_cometa_otk_t;


typedef struct {
    uint32_t         oldest;
    uint32_t         newest;
    uint32_t         n;
    uint32_t         dropped;           /* unused, to make room */
    uint64_t         expires;           /* the last one of them, us */
} ngx_cometa_otk_app_t;


/*
 * What is counted stands in sets, of one application and one slot each. The
 * first set of application i is set i; further ones are made when they are
 * first needed, in a chain of the application. They only grow, also over the
 * death of their process: the next one in the slot goes on with them.
 */

typedef struct {
    uint32_t  owner;                /* a slot, plus one; 0: nobody yet */
    uint32_t  next;                 /* index + 1, 0 ends */
} ngx_cometa_set_t;


typedef struct {
    ngx_cometa_set_t  set;

    uint64_t  attached;
    uint64_t  detached[NGX_COMETA_REASONS];
    uint64_t  messages;             /* calls answered by their device */
    uint64_t  failed[NGX_COMETA_ERRORS];    /* calls, by their error */
    uint64_t  errors;               /* strays and protocol errors of devices */
    uint64_t  late;
    uint64_t  events;
    uint64_t  bytes_up;             /* device to server, payloads */
    uint64_t  bytes_down;
    uint64_t  websockets_slow;      /* closed, for they were not read */
    uint64_t  webhook_sent;
    uint64_t  webhook_failed;
    uint64_t  webhook_retries;
    uint64_t  webhook_dropped;
} __attribute__((aligned(64))) ngx_cometa_counters_t;


/*
 * Gauges, of each slot and application: written by the process of the slot
 * alone, void when its epoch changes. As long as one of them is not zero its
 * application keeps its place.
 */

typedef struct {
    uint64_t  devices;
    uint64_t  calls;                /* begun here and not ended */
    uint64_t  queued;               /* wait for a device of this slot */
    uint64_t  websockets;
    uint64_t  webhook_queued;
    uint64_t  holds;                /* whoever needs the place for a while */
} ngx_cometa_gauges_t;


/*
 * Latencies of calls, us. Those of a window of time are kept until the window
 * after the next begins: the last complete one can always be read.
 */

#define NGX_COMETA_BOUNDS  16           /* of Prometheus, the last is +Inf */

typedef struct {
    uint64_t          window;           /* its number since the clock began */
    uint64_t          n;
    uint64_t          sum;
    double            squares;
    uint64_t          min;
    uint64_t          max;
    uint32_t          counts[COMETA_HISTOGRAM_BUCKETS];
} ngx_cometa_window_t;


typedef struct {
    ngx_cometa_set_t     set;
    uint64_t             sum;
    uint64_t             counts[NGX_COMETA_BOUNDS];
    ngx_cometa_window_t  windows[2];    /* even and odd ones */
} __attribute__((aligned(64))) ngx_cometa_latency_t;


/*
 * A record, and the chains it stands in: that of its bucket while in use,
 * that of free records of its shard otherwise. An index plus one, 0 ends.
 *
 *     bucket -> record -> record -> 0        shard->free -> record -> 0
 *
 * A record whose epoch is not the epoch of its slot is absent: its worker is
 * gone. Whoever walks over it takes it out.
 *
 * Takeovers are counted here, in bytes that would be padding otherwise: under
 * the lock of the shard all workers see the same count. It comes and goes with
 * the record, and a device that is taken over again and again keeps its record.
 */

typedef struct {
    uint32_t         next;
    uint32_t         hash;
    uint64_t         session;
    uint32_t         epoch;             /* of the owner's slot */
    uint32_t         handle;            /* in the owner's table of devices */
    uint16_t         slot;
    uint16_t         app;
    cometa_flap_t    flap;              /* takeovers of late */
    uint8_t          len;
    u_char           id[NGX_COMETA_ID_MAX];
} ngx_cometa_record_t;


/*
 * `moving` names the record that is on its way between the chains, so that
 * whoever inherits the lock from a dead process can put it in its place.
 */

typedef struct {
    pthread_mutex_t  lock;
    uint32_t         free;              /* index + 1 */
    uint32_t         moving;            /* index + 1 */
    uint64_t         fresh;             /* never used: first, end << 32 */
} __attribute__((aligned(64))) ngx_cometa_shard_t;


/* This process's view; `slot` and `epoch` are its own, if it has claimed. */

typedef struct {
    ngx_cometa_head_t      *head;
    ngx_cometa_slot_t      *slots;
    uint64_t               *interests;
    ngx_cometa_app_t       *apps;
    ngx_cometa_otk_t       *keys;
    uint32_t               *otk_buckets;
    ngx_cometa_otk_app_t   *otk_apps;
    ngx_cometa_counters_t  *counters;
    ngx_cometa_latency_t   *latencies;
    ngx_cometa_shard_t     *shards;
    uint32_t               *buckets;
    ngx_cometa_record_t    *records;
    u_char                 *rings;
    ngx_cometa_gauges_t    *gauges;

    uint32_t                slot;
    uint32_t                epoch;
    unsigned                claimed:1;
} ngx_cometa_zone_t;

extern ngx_cometa_zone_t  ngx_cometa_zone;


/*
 * In the master: makes the zone, or checks that an old one still serves the
 * new configuration, without a change to it. `data` of the zone is the head.
 */
ngx_int_t ngx_cometa_zone_init(ngx_shm_zone_t *shm_zone, size_t max_message,
    ngx_uint_t workers, ngx_cometa_head_t *old);

/* This process's view of a zone; it has no rings, gauges and slot yet. */
void ngx_cometa_zone_view(ngx_cometa_head_t *head, ngx_cometa_zone_t *view);

/* The mapping beside the zone: the rings, and the gauges behind them. */
#define ngx_cometa_rings_size(head)  ((head)->slots * (head)->ring_size)

#define ngx_cometa_gauges_size(head)                                          \
    ((size_t) (head)->slots * (head)->apps * sizeof(ngx_cometa_gauges_t))

#define ngx_cometa_gauges(of, app)                                            \
    (&ngx_cometa_zone.gauges[(size_t) (of) * ngx_cometa_zone.head->apps       \
                             + (app)])

/* NGX_DECLINED: the last owner died; the lock is held and what it guards
 * must be mended. */
ngx_int_t ngx_cometa_lock(pthread_mutex_t *mutex);
void ngx_cometa_unlock(pthread_mutex_t *mutex);

/*
 * A store whose place among the others matters should the process die: none
 * is moved over it. What a dead process has stored is seen by all.
 */
#define ngx_cometa_step(p, value)                                             \
    do {                                                                      \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                              \
        __atomic_store_n(p, value, __ATOMIC_RELEASE);                         \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                              \
    } while (0)

/* Makes the hash of a key whose strings are set. */
void ngx_cometa_key_init(ngx_cometa_key_t *key);


#endif /* _NGX_COMETA_ZONE_H_INCLUDED_ */
