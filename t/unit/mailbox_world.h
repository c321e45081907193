/*
 * A small zone, and processes with a slot in it, for tests of the mailbox:
 * slots, mailboxes and interests are the module's own, compiled here. To be
 * included by one file, after the constants of the world are set.
 */

#ifndef MAILBOX_WORLD_H
#define MAILBOX_WORLD_H


/* as nginx is built; and each test uses some of what is here */

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

/* Timers and posted events are only noted; the test calls their handlers. */

#undef ngx_log_error
#undef ngx_add_timer
#undef ngx_del_timer
#undef ngx_post_event

#define ngx_log_error(level, log, err, ...)                                   \
    ((void) (log), (void) (err), world_log(level, __VA_ARGS__))
#define ngx_add_timer(ev, ms)   ((ev)->timer.key = (ms), (ev)->timer_set = 1)
#define ngx_del_timer(ev)       ((ev)->timer_set = 0)
#define ngx_post_event(ev, q)   ((ev)->posted = 1)

volatile ngx_msec_t  ngx_current_msec;

static ngx_uint_t  world_logged[9];     /* lines by level */

static void
world_log(ngx_uint_t level, ...)
{
    world_logged[level]++;
}

#include "ngx_cometa_zone.h"

/* fewer of them, for who is stepped through them */

#undef NGX_COMETA_ROWS
#define NGX_COMETA_ROWS  128

#include "ngx_cometa_throttle.c"
#include "ngx_cometa_annex.c"
#include "ngx_cometa_slot.c"
#include "ngx_cometa_backlog.c"
#include "ngx_cometa_mailbox.c"
#include "ngx_cometa_interest.c"
#include "tap.h"

#include <poll.h>
#include <sys/wait.h>


#define WORLD_SLOTS  6
#define WORLD_APPS   4
#define WORLD_GOT    16384              /* letters that a process can note */


/* What all processes share. */

typedef struct {
    ngx_cometa_head_t  head;
    ngx_cometa_slot_t  slots[WORLD_SLOTS];
    uint64_t           interests[NGX_COMETA_ROWS];
    uint64_t           hearers[WORLD_APPS];
    ngx_cometa_app_t   apps[WORLD_APPS];
    uint32_t           n[WORLD_SLOTS];          /* letters delivered */
    uint32_t           got[WORLD_SLOTS][WORLD_GOT];  /* their numbers */
    uint32_t           damaged;
    uint32_t           work;            /* that a letter makes */
    uint32_t           deaths[WORLD_SLOTS];         /* times they were told */
    uint32_t           before[WORLD_SLOTS];         /* letters before that */
} world_t;


static ngx_time_t             world_time = { 1700000000, 123, 0 };

ngx_cometa_zone_t             ngx_cometa_zone;
volatile ngx_cycle_t         *ngx_cycle;
volatile ngx_time_t          *ngx_cached_time = &world_time;
pid_t                         ngx_pid;
ngx_uint_t                    ngx_event_flags;
ngx_atomic_t                  world_active;
ngx_atomic_t                 *ngx_stat_active = &world_active;
ngx_uint_t                    ngx_cometa_work;

static world_t               *world;
static ngx_cycle_t            world_cycle;
static ngx_event_t            world_read;
static ngx_connection_t       world_connection;


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return malloc(size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return calloc(1, size);
}


/* A pool is never destroyed. */

ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    static ngx_pool_cleanup_t  cln;

    return &cln;
}


void
ngx_cometa_zone_view(ngx_cometa_head_t *head, ngx_cometa_zone_t *view)
{
    memset(view, 0, sizeof(ngx_cometa_zone_t));

    view->head = head;
    view->slots = ((world_t *) head)->slots;
    view->interests = ((world_t *) head)->interests;
    view->hearers = ((world_t *) head)->hearers;
    view->apps = ((world_t *) head)->apps;
}


ngx_int_t
ngx_cometa_lock(pthread_mutex_t *mutex)
{
    if (pthread_mutex_lock(mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(mutex);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_cometa_unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
}


ngx_connection_t *
ngx_cometa_channel_open(int fd, ngx_cycle_t *cycle,
    ngx_event_handler_pt handler)
{
    (void) cycle;

    world_read.handler = handler;
    world_read.data = &world_connection;
    world_connection.read = &world_read;
    world_connection.fd = fd;

    return &world_connection;
}


void
ngx_cometa_channel_close(ngx_connection_t *c)
{
    (void) c;
}


__attribute__((noreturn))
static void
world_fail(const char *what)
{
    printf("Bail out! %s: %s\n", what, strerror(errno));
    exit(1);
}


static void
world_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t  attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}


/* As the master makes it: with rings and descriptors, no process in it. */

static void
world_make(size_t ring_size)
{
    ngx_uint_t  i;

    world = mmap(NULL, sizeof(world_t), PROT_READ|PROT_WRITE,
                 MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    if (world == MAP_FAILED) {
        world_fail("mmap");
    }

    world->head.slots = WORLD_SLOTS;
    world->head.apps = WORLD_APPS;
    world->head.napps = WORLD_APPS;
    world->head.words = 1;
    world->head.ring_size = ring_size;

    for (i = 0; i < WORLD_SLOTS; i++) {
        world_mutex(&world->slots[i].life);
        world_mutex(&world->slots[i].mail);
        cometa_ring_init(&world->slots[i].ring);
    }

    ngx_cycle = &world_cycle;

    if (ngx_cometa_annex_make(&world->head, NULL, NULL) != NGX_OK) {
        world_fail("slots");
    }
}


/* A letter is named by its number, and its body follows from that. */

static u_char
world_byte(uint32_t id)
{
    return id * 7 + 1;
}


/* Its first part is as long as that of letters in use, by class. */

typedef struct {
    uint32_t  id;
    uint32_t  len;              /* of the body */
    uint64_t  rest[6];
} world_head_t;


static size_t
world_head_len(ngx_cometa_class_e class)
{
    return (class == NGX_COMETA_CLASS_EVENT) ? 24
           : (class == NGX_COMETA_CLASS_REPLY) ? 40 : 56;
}


static void
world_deliver(u_char *data, size_t len)
{
    size_t         i, head;
    uint32_t       slot;
    world_head_t  *h;

    slot = ngx_cometa_zone.slot;

    h = (world_head_t *) data;
    head = len - h->len;

    for (i = head; i < len; i++) {
        if (data[i] != world_byte(h->id)) {
            break;
        }
    }

    if (i != len || (head != 24 && head != 40 && head != 56)) {
        world->damaged++;
    }

    /* its place in the ring is not given away while it is read */

    if (cometa_ring_used(&world->slots[slot].ring) == 0) {
        world->damaged++;
    }

    ngx_cometa_work += world->work;

    world->got[slot][world->n[slot]] = h->id;
    __atomic_fetch_add(&world->n[slot], 1, __ATOMIC_SEQ_CST);
}


static void
world_deaths(void)
{
    uint32_t  slot = ngx_cometa_zone.slot;

    world->deaths[slot]++;
    world->before[slot] = world->n[slot];
}


/* This process becomes a worker. */

static void
world_join(void)
{
    ngx_pid = getpid();

    if (ngx_cometa_slot_claim(&world->head, NULL) != NGX_OK
        || ngx_cometa_interest_start(&world_cycle) != NGX_OK
        || ngx_cometa_mailbox_open(&world_cycle, world_deliver, world_deaths,
                                   NULL)
           != NGX_OK)
    {
        world_fail("no slot");
    }
}


static ngx_cometa_post_t *
world_post(uint32_t id, ngx_uint_t class, ngx_uint_t app, size_t len)
{
    static u_char             bytes[65536];
    static world_head_t       head;
    static ngx_cometa_post_t  post;

    memset(&head, 0, sizeof(head));
    memset(bytes, world_byte(id), len);

    head.id = id;
    head.len = len;

    post.class = class;
    post.app = app;
    post.head = &head;
    post.head_len = world_head_len(class);
    post.body = bytes;
    post.body_len = len;

    return &post;
}


static void
world_tell(uint32_t slot, uint32_t id, ngx_uint_t class, ngx_uint_t app,
    size_t len)
{
    ngx_cometa_mailbox_tell(slot, world->slots[slot].epoch,
                            world_post(id, class, app, len));
}


/* Wake-ups that were written for this process and not read yet. */

static uint64_t
world_wakeups(uint32_t slot)
{
    uint64_t  n;

    return read(world->slots[slot].eventfd, &n, sizeof(n)) == sizeof(n) ? n
                                                                        : 0;
}


/* One turn of the event loop, if anything is to be done. */

static int
world_turn(void)
{
    struct pollfd  pfd;

    pfd.fd = world_connection.fd;
    pfd.events = POLLIN;

    if (poll(&pfd, 1, 0) == 1) {
        world_read.handler(&world_read);
        return 1;
    }

    if (ngx_cometa_mailbox_next.posted) {
        ngx_cometa_mailbox_next.posted = 0;
        ngx_cometa_mailbox_next.handler(&ngx_cometa_mailbox_next);
        return 1;
    }

    return 0;
}


static void
world_retry(void)
{
    if (ngx_cometa_mailbox_retry_event.timer_set) {
        ngx_cometa_mailbox_retry_event.timer_set = 0;
        ngx_cometa_mailbox_retry(&ngx_cometa_mailbox_retry_event);
    }
}


static pid_t
world_fork(void)
{
    pid_t  pid;

    pid = fork();

    if (pid == -1) {
        world_fail("fork");
    }

    if (pid == 0) {
        alarm(120);         /* never outlive a test that hangs */
    }

    return pid;
}


#endif /* MAILBOX_WORLD_H */
