
/*
 * The zone: layout of the shared memory. All files find its parts through
 * ngx_cometa_zone, this process's view of it.
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
 * indices and offsets, because a pointer would have to be valid in every
 * process. Its size says how many devices it can hold. The rings and the gauges
 * are in a mapping of their own, which the master makes with the zone: the size
 * of the rings follows from the number of workers and the largest message, and
 * gauges take memory only where a worker has used them.
 *
 *     +---------------+
 *     | nginx's slab  |  header and page table, made by nginx
 *     +---------------+  <- one allocation takes all the rest
 *     | head          |  sizes, hash key, session counter
 *     | slots         |  one a worker process: life, epoch, mailbox
 *     | interests     |  rows of one bit a slot
 *     | hearers       |  the same, a row for each application
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
 *     interests, hearers      the owner of the slot its bit, atomic; of a dead
 *                             one whoever vacates the slot, under `life`
 *     counters, totals of     the owner of the slot, atomic, for workers may
 *       latencies             have to share a set
 *     windows of latencies    the owner of the slot; in a shared set some
 *                             latencies may get lost
 *     gauges                  the owner of the slot; `taken` and `left` any
 *                             worker, atomic
 *     buckets, records        any worker, under the lock of the shard
 */

#define NGX_COMETA_ZONE_MAGIC    0x434f4d45
#ifndef NGX_COMETA_ZONE_VERSION
#define NGX_COMETA_ZONE_VERSION  9
#endif
#define NGX_COMETA_ROWS          4096   /* of interests */
#define NGX_COMETA_NONE          0xffffffff
#define NGX_COMETA_MESSAGE_HEAD  192    /* what a letter adds to a payload */


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

    /* all of these are atomic */

    uint32_t         napps;             /* have had a name, under apps_lock */
    uint32_t         named;             /* names given so far, the same */
    uint32_t         hand;              /* next one looked at, the same */
    uint32_t         sets_carved;       /* beside those of apps, the same */
    uint32_t         latencies_carved;  /* the same */
    uint32_t         carved;            /* records given to shards so far */
    uint32_t         deaths;            /* times that a slot was vacated */
    uint32_t         sweep;             /* next bucket to be swept */
    uint32_t         generation;        /* of the configuration in force */
    uint64_t         session;           /* the last one given */

    pthread_mutex_t  apps_lock;         /* to name applications, and to give
                                           them sets of counters */

    pthread_mutex_t  otk_lock;         /* for all of the keys */
    uint32_t         otk_free;         /* index + 1 */
    uint32_t         otk_carved;       /* in use or free, of all */

    /*
     * Counters that belong to no application, atomic: the name of an
     * application that was refused may be invented. They have cache lines of
     * their own, so that a flood of refusals does not slow down readers of the
     * fields above.
     */

    uint64_t         refused[NGX_COMETA_ERRORS]
                         __attribute__((aligned(64)));  /* attaches */
    uint64_t         lost;              /* devices, with their worker */
} __attribute__((aligned(64))) ngx_cometa_head_t;


/*
 * A slot belongs to the process that holds `life`, a robust mutex: the kernel
 * releases it when the process ends in any way, so whoever finds it free may
 * vacate the slot. What was written under an epoch is void when the slot has
 * another epoch; so all devices of a dead worker are absent at once.
 */

typedef struct {
    pthread_mutex_t  life;
    uint32_t         epoch;
    uint32_t         pid;               /* 0: free */
    uint32_t         draining;
    uint32_t         generation;        /* of its configuration */
    uint32_t         crowded;           /* wants no more connections */
    int32_t          eventfd;           /* made by the master, inherited */
    int32_t          door[2];           /* the same: to read, to write */
    uint32_t         devices;           /* how many its process holds */
    uint32_t         workers;           /* in its configuration */
    uint32_t         last_epoch;        /* the epoch before this one ... */
    uint64_t         last_begun;        /* ... had read its ring up to here */

    /* the mailbox */
    pthread_mutex_t  mail;              /* producers serialise on it */
    uint32_t         sleeping;          /* the consumer wants a wake-up */

    /* letters that found the ring full; each is counted once */
    uint64_t         delayed;           /* they waited in their sender */
    uint64_t         refused;           /* calls: their callers got an error */
    uint64_t         lost[2];           /* events; answers */

    cometa_ring_t    ring  __attribute__((aligned(64)));
} ngx_cometa_slot_t;


/*
 * The place of an application. Each process has a table of its own in which it
 * finds names. It learns of new names from the log of names, a ring of as many
 * cells as there are places: the cell of name number n is `log` of place
 * n % apps. A place that is not USED has no name, whatever `name` contains.
 */

#define NGX_COMETA_APP_FREE     0
#define NGX_COMETA_APP_USED     1
#define NGX_COMETA_APP_LEAVING  2       /* may be given to another name */

typedef struct {
    uint32_t         state;
    uint32_t         counters;          /* further sets, index + 1 */
    uint32_t         latencies;         /* the same */
    uint32_t         log;               /* a cell: which place was named */
    uint32_t         last;              /* s, when it was last referred to */
    uint32_t         len;
    u_char           name[NGX_COMETA_ID_MAX];
} ngx_cometa_app_t;


/*
 * A key, in two chains: that of its bucket (or of the free keys), and that of
 * its application in order of age. Links are an index plus one; 0 ends a chain.
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
    uint32_t         dropped;           /* unused, dropped to make room */
    uint64_t         expires;           /* when the last of them does, us */
} ngx_cometa_otk_app_t;


/*
 * Counters stand in sets, each of one application and one slot. The first set
 * of application i is set i; further ones are made when they are first needed,
 * in a chain of the application. Counters only grow. When a process dies, the
 * next process in its slot goes on with its sets.
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
    uint64_t  websockets_slow;      /* closed, their clients did not read */
    uint64_t  webhook_sent;
    uint64_t  webhook_failed;
    uint64_t  webhook_retries;
    uint64_t  webhook_dropped;
    uint64_t  tls_parked;           /* connections over TLS */
    uint64_t  tls_unparked[NGX_COMETA_TLS_REASONS];
} __attribute__((aligned(64))) ngx_cometa_counters_t;


/*
 * Gauges, of each slot and application: written by the process of the slot
 * alone, void when its epoch changes. As long as one of them is not zero its
 * application keeps its place.
 *
 * `taken` is no gauge: how many of `devices` are on another worker already,
 * which the process will hear of by letter, below the epoch of the slot that
 * they were taken from. It is written by those who take them, too. `entered`
 * and `left` are those of ngx_cometa_bound.c.
 */

typedef struct {
    uint64_t  devices;
    uint64_t  calls;                /* begun here and not ended */
    uint64_t  queued;               /* wait for a device of this slot */
    uint64_t  websockets;
    uint64_t  webhook_queued;
    uint64_t  tls_parked;           /* connections without an SSL object */
    uint64_t  holds;                /* uses that keep the place for a while */
    uint64_t  taken;                /* epoch << 32 | devices */
    uint64_t  entered;              /* records that have come, only grows */
    uint64_t  left;                 /* epoch << 32 | those that have gone */
} ngx_cometa_gauges_t;


/*
 * Latencies of calls, us. The figures of a window are kept until the window
 * after the next one begins: the last complete window can always be read.
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
 * A record. While it is in use it stands in the chain of its bucket, otherwise
 * in the chain of free records of its shard. Links are an index plus one; 0
 * ends a chain.
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
    cometa_flap_t    flap;              /* recent takeovers */
    uint8_t          len;
    u_char           id[NGX_COMETA_ID_MAX];
} ngx_cometa_record_t;


/*
 * `moving` names the record that is on its way between two chains, so that the
 * next holder of the lock can put it into one if this process dies.
 */

typedef struct {
    pthread_mutex_t  lock;
    uint32_t         free;              /* index + 1 */
    uint32_t         moving;            /* index + 1 */
    uint64_t         fresh;             /* never used: first, end << 32 */
} __attribute__((aligned(64))) ngx_cometa_shard_t;


/* This process's view; with `claimed`, `slot` and `epoch` are its own. */

typedef struct {
    ngx_cometa_head_t      *head;
    ngx_cometa_slot_t      *slots;
    uint64_t               *interests;
    uint64_t               *hearers;
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

/* Makes a view of a zone; it has no rings, gauges and slot yet. */
void ngx_cometa_zone_view(ngx_cometa_head_t *head, ngx_cometa_zone_t *view);

/* The mapping beside the zone: the rings, and the gauges behind them. */
#define ngx_cometa_rings_size(head)  ((head)->slots * (head)->ring_size)

#define ngx_cometa_gauges_size(head)                                          \
    ((size_t) (head)->slots * (head)->apps * sizeof(ngx_cometa_gauges_t))

#define ngx_cometa_gauges(of, app)                                            \
    (&ngx_cometa_zone.gauges[(size_t) (of) * ngx_cometa_zone.head->apps       \
                             + (app)])

/*
 * Takes a lock. NGX_DECLINED: its last holder died; the lock is taken, and what
 * it guards must be mended.
 */
ngx_int_t ngx_cometa_lock(pthread_mutex_t *mutex);
void ngx_cometa_unlock(pthread_mutex_t *mutex);

/*
 * A store whose order among the others matters if the process dies: the
 * compiler moves no other store across it. All processes see what a dead one
 * has stored.
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
