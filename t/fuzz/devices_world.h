/*
 * Several workers in one process, for fuzz_devices.c: the module's own files of
 * devices, calls and letters on stubs of nginx, of sockets and of doors.
 *
 * All that these files keep of their own lies in two sections. Before a worker
 * does something its sections are copied in, and out again when another one
 * has its turn; so each worker has a memory of its own at the same addresses.
 *
 * A worker may die wherever it calls what is a stub here.
 */

#ifndef DEVICES_WORLD_H
#define DEVICES_WORLD_H


#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-const-variable"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <setjmp.h>


static void world_add_timer(ngx_event_t *ev, ngx_msec_t ms);
static void world_del_timer(ngx_event_t *ev);
static void world_free(void *p);

#undef ngx_add_timer
#undef ngx_del_timer
#undef ngx_free

#define ngx_add_timer  world_add_timer
#define ngx_del_timer  world_del_timer
#define ngx_free       world_free

static uint64_t  world_ms;
static uint64_t  world_us;

/* No two of its answers are the same. */

static int
world_clock(clockid_t id, struct timespec *ts)
{
    ts->tv_sec = world_ms / 1000;
    ts->tv_nsec = world_ms % 1000 * 1000000 + ++world_us * 1000;

    return 0;
}

static int world_shutdown(int fd, int how);

#define clock_gettime  world_clock
#define shutdown       world_shutdown

#include "ngx_cometa_zone.h"

/* fewer of them, so that devices share one; and turns that end early */

#undef NGX_COMETA_ROWS
#define NGX_COMETA_ROWS  2

#include "ngx_cometa_turn.h"

#undef NGX_COMETA_WORK_ONE
#define NGX_COMETA_WORK_ONE  12

/* and offers that are soon looked at again */

#include "ngx_cometa_depart.h"

#undef NGX_COMETA_DEPART_SILENCE
#define NGX_COMETA_DEPART_SILENCE  20

/* an answer to an offer may be lost */

static void world_mail_arrived(uint32_t slot, uint32_t epoch, uint32_t type,
    ngx_cometa_mail_arrived_t *mail);

/*
 * What begins here is a worker's own. Each is set up anew for each worker, so
 * none may have a value that the linker puts elsewhere.
 */

#pragma clang section bss = "worker_bss" data = "worker_data"

ngx_cometa_zone_t  ngx_cometa_zone;
ngx_queue_t        ngx_posted_next_events;
ngx_queue_t        ngx_posted_events;
ngx_uint_t         ngx_exiting;

#include "ngx_cometa_throttle.c"
#include "ngx_cometa_turn.c"
#include "ngx_cometa_parked.c"
#include "ngx_cometa_reader.c"
#include "ngx_cometa_record.c"
#include "ngx_cometa_bound.c"
#include "ngx_cometa_registry.c"
#include "ngx_cometa_interest.c"
#include "ngx_cometa_backlog.c"
#include "ngx_cometa_mailbox.c"
#include "ngx_cometa_mail.c"
#include "ngx_cometa_device_table.c"
#include "ngx_cometa_device_card.c"
#include "ngx_cometa_device_log.c"
#include "ngx_cometa_bytes.c"
#include "ngx_cometa_linger.c"
#include "ngx_cometa_chunks.c"
#include "ngx_cometa_frames.c"
#include "ngx_cometa_life.c"
#include "ngx_cometa_asked.c"
#include "ngx_cometa_device_time.c"
#include "ngx_cometa_device_gather.c"
#include "ngx_cometa_device_input.c"
#include "ngx_cometa_device_io.c"

#undef NGX_COMETA_DEVICE_LOOK

#include "ngx_cometa_device.c"
#include "ngx_cometa_waiting.c"
#include "ngx_cometa_written.c"
#include "ngx_cometa_queue.c"
#include "ngx_cometa_queue_move.c"
#include "ngx_cometa_owner.c"
#include "ngx_cometa_notify.c"
#include "ngx_cometa_parcel.c"
#include "ngx_cometa_depart.c"

#define ngx_cometa_mail_arrived  world_mail_arrived

#include "ngx_cometa_arrive.c"

#undef ngx_cometa_mail_arrived

#include "ngx_cometa_call_table.c"
#include "ngx_cometa_call_end.c"
#include "ngx_cometa_call_owner.c"
#include "ngx_cometa_call.c"

#pragma clang section bss = "" data = ""

#undef clock_gettime
#undef shutdown


#define WORLD_SLOTS    6
#define WORLD_SHARDS   2
#define WORLD_BUCKETS  2
#define WORLD_RECORDS  64
#define WORLD_RING     1024
#define WORLD_BLOCKS   1024     /* of memory, of a worker */
#define WORLD_TIMERS   512      /* that are set, of a worker */
#define WORLD_DOOR     3        /* parcels that lie in a door */
#define WORLD_TURNS    64       /* of what is posted, before all is done */

#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "line %d: %s\n", __LINE__, #cond);                    \
        abort();                                                              \
    }


/*
 * The other end of a connection. What it has sent is in `in`: up to `there` it
 * has come to the server, up to `read` the server has read it. Descriptors of
 * the server may be in several workers, and in doors.
 */

#define CLIENT_IN  8192

typedef struct {
    uint8_t      in[CLIENT_IN];
    size_t       len, there, read;
    int          fin;           /* behind the last of these bytes */
    int          broken;        /* the server cannot write any more */
    size_t       space;         /* bytes that the server can write */
    int          fds;           /* of the server */
} socket_t;

/* A descriptor, in the worker that has it. */

typedef struct {
    ngx_connection_t   c;
    ngx_event_t        rev, wev;
    struct sockaddr    addr;
    socket_t          *socket;
    int                in, out;         /* epoll has something to report */
} descriptor_t;

typedef struct {
    uint8_t           *data;
    size_t             len;
    socket_t          *socket;
} world_parcel_t;

typedef struct {
    int                alive;
    int                dead;            /* and nobody has noticed that yet */
    int                awake;           /* its eventfd was written to */
    int                full;            /* wants no more connections */
    int                posted;          /* there is something to do at once */

    uint8_t           *memory;          /* its sections */
    void              *blocks[WORLD_BLOCKS];
    size_t             nblocks, pool;
    ngx_event_t       *timers[WORLD_TIMERS];
    size_t             ntimers;
    descriptor_t      *descriptors[WORLD_BLOCKS];
    size_t             ndescriptors;

    world_parcel_t     door[WORLD_DOOR];
    size_t             parcels;

    ngx_cometa_device_conf_t   conf[2];
    ngx_cometa_device_conf_t  *confs[2];
    ngx_log_t          log;
} worker_t;


extern uint8_t  __start_worker_bss[], __stop_worker_bss[];
extern uint8_t  __start_worker_data[], __stop_worker_data[];

#define WORLD_BSS   ((size_t) (__stop_worker_bss - __start_worker_bss))
#define WORLD_DATA  ((size_t) (__stop_worker_data - __start_worker_data))

static worker_t               workers[WORLD_SLOTS];
static worker_t              *self;
static uint8_t               *world_fresh;      /* the sections at first */
static uint32_t               world_generation;
static unsigned               world_death;      /* after so many stubs */
static unsigned               world_no_memory;  /* the same */
static unsigned               world_lacked;     /* it did, at some time */
static unsigned               world_no_answer;  /* to offers, the same */
static jmp_buf                world_dies;

static ngx_cometa_head_t      world_head;
static ngx_cometa_slot_t      world_slots[WORLD_SLOTS];
static uint64_t               world_interests[NGX_COMETA_ROWS];
static ngx_cometa_app_t       world_app = { .state = NGX_COMETA_APP_USED,
                                            .len = 3, .name = "app" };
static ngx_cometa_counters_t  world_counters;
static ngx_cometa_shard_t     world_shards[WORLD_SHARDS];
static uint32_t               world_buckets[WORLD_SHARDS * WORLD_BUCKETS];
static ngx_cometa_record_t    world_records[WORLD_RECORDS];
static ngx_cometa_gauges_t    world_gauges[WORLD_SLOTS];
static uint8_t                world_rings[WORLD_SLOTS * WORLD_RING]
                                  __attribute__((aligned(64)));

static ngx_cycle_t            world_cycle;
static ngx_connection_t       world_eventfd;
static ngx_event_t            world_eventfd_read;
static ngx_time_t             world_time;

volatile ngx_cycle_t         *ngx_cycle = &world_cycle;
volatile ngx_msec_t           ngx_current_msec;
volatile ngx_time_t          *ngx_cached_time = &world_time;
ngx_uint_t                    ngx_event_flags = NGX_USE_CLEAR_EVENT;
ngx_cometa_error_t            ngx_cometa_errors[NGX_COMETA_ERRORS];
ngx_str_t                     ngx_cometa_reasons[NGX_COMETA_REASONS];
ngx_atomic_t                  world_active;
ngx_atomic_t                 *ngx_stat_active = &world_active;


static void world_mortal(void);


/* The memory of workers */

__attribute__((no_sanitize("address", "coverage")))
static void
world_copy(volatile uint8_t *to, volatile uint8_t *from, size_t len)
{
    for ( /* void */ ; len >= 8; len -= 8, to += 8, from += 8) {
        *(volatile uint64_t *) to = *(volatile uint64_t *) from;
    }

    while (len--) {
        *to++ = *from++;
    }
}


static void
world_save(uint8_t *to)
{
    world_copy(to, __start_worker_bss, WORLD_BSS);
    world_copy(to + ngx_align(WORLD_BSS, 8), __start_worker_data, WORLD_DATA);
}


static void
world_load(uint8_t *from)
{
    world_copy(__start_worker_bss, from, WORLD_BSS);
    world_copy(__start_worker_data, from + ngx_align(WORLD_BSS, 8),
               WORLD_DATA);
}


static size_t
world_memory(void)
{
    return ngx_align(WORLD_BSS, 8) + ngx_align(WORLD_DATA, 8);
}


/* From now on it is this worker that does something. */

static void
world_enter(worker_t *w)
{
    if (self == w) {
        return;
    }

    if (self) {
        world_save(self->memory);
    }

    self = w;
    world_cycle.log = &w->log;
    world_load(w->memory);
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    void  *p;

    world_mortal();

    if (world_no_memory && --world_no_memory == 0) {
        world_lacked = 1;
        return NULL;
    }

    p = malloc(size ? size : 1);
    check(self->nblocks < WORLD_BLOCKS);
    self->blocks[self->nblocks++] = p;

    return p;
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = ngx_alloc(size, log);

    if (p) {
        memset(p, 0, size);
    }

    return p;
}


static void
world_free(void *p)
{
    size_t  i;

    for (i = 0; i < self->nblocks; i++) {
        if (self->blocks[i] == p) {
            self->blocks[i] = self->blocks[--self->nblocks];
            free(p);
            return;
        }
    }

    check(!"freed, and not the worker's");
}


/* A pool is never destroyed, and is there when a worker starts. */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    self->pool++;

    return ngx_alloc(size, NULL);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    self->pool++;

    return ngx_calloc(size, NULL);
}


/* Death, and how it is noticed */

static void
world_mortal(void)
{
    if (world_death && --world_death == 0) {
        longjmp(world_dies, 1);
    }
}


static void
world_socket_leave(socket_t *s)
{
    check(s->fds > 0);
    s->fds--;
}


static void
world_door_clear(worker_t *w)
{
    size_t  i;

    for (i = 0; i < w->parcels; i++) {
        world_socket_leave(w->door[i].socket);
        free(w->door[i].data);
    }

    w->parcels = 0;
}


/* The kernel closes what it had, and nobody knows that yet. */

static void
world_end(worker_t *w)
{
    size_t  i;

    for (i = 0; i < w->ndescriptors; i++) {
        world_socket_leave(w->descriptors[i]->socket);
    }

    for (i = 0; i < w->nblocks; i++) {
        free(w->blocks[i]);
    }

    w->nblocks = 0;
    w->ntimers = 0;
    w->ndescriptors = 0;
    w->alive = 0;
    w->dead = 1;

    if (self == w) {
        self = NULL;
    }
}


static void
world_vacate(uint32_t slot)
{
    uint32_t            i;
    ngx_cometa_slot_t  *s;

    s = &world_slots[slot];

    workers[slot].dead = 0;

    s->last_begun = cometa_ring_begun(&s->ring);
    s->last_epoch = s->epoch;
    s->pid = 0;
    s->epoch++;
    world_head.deaths++;

    world_door_clear(&workers[slot]);

    for (i = 0; i < NGX_COMETA_ROWS; i++) {
        world_interests[i] &= ~((uint64_t) 1 << slot);
    }

    for (i = 0; i < WORLD_SLOTS; i++) {
        workers[i].awake |= (world_slots[i].pid != 0);
    }
}


ngx_uint_t
ngx_cometa_slot_alive(uint32_t slot, uint32_t epoch)
{
    if (world_slots[slot].epoch != epoch) {
        return 0;
    }

    if (workers[slot].dead) {
        world_vacate(slot);
        return 0;
    }

    return workers[slot].alive;
}


void
ngx_cometa_slot_wake(uint32_t slot)
{
    world_mortal();
    workers[slot].awake = 1;
}


ngx_uint_t
ngx_cometa_slot_newer(uint32_t generation)
{
    return generation > world_slots[ngx_cometa_zone.slot].generation;
}


/* Nobody dies while he holds a lock: t/unit/registry.c is about that. */

ngx_int_t
ngx_cometa_lock(pthread_mutex_t *mutex)
{
    world_mortal();

    return NGX_OK;
}


void
ngx_cometa_unlock(pthread_mutex_t *mutex)
{
    world_mortal();
}


#endif /* DEVICES_WORLD_H */
