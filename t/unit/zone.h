/*
 * For unit tests of what lives in the zone: the real files of the module on
 * stubs of nginx, and processes that die at each store that they make there.
 *
 * The shared memory of such a process is read-only. A store faults; the
 * handler lets it pass, for a single step, or kills the process before it.
 */

#ifndef ZONE_H
#define ZONE_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "tap.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Time stands still unless a test moves it. */

static uint64_t  test_us = 1000000000;

static int
test_clock(clockid_t id, struct timespec *ts)
{
    ts->tv_sec = test_us / 1000000;
    ts->tv_nsec = test_us % 1000000 * 1000;

    return 0;
}

#define clock_gettime  test_clock

#include "ngx_cometa_zone.c"
#include "ngx_cometa_annex.c"
#include "ngx_cometa_slot.c"
#include "ngx_cometa_stats.c"
#include "ngx_cometa_app.c"

#undef clock_gettime


/* What nginx has. */

static ngx_time_t    test_time = { 1700000000, 0, 0 };
static ngx_cycle_t   test_cycle;

volatile ngx_time_t    *ngx_cached_time = &test_time;
volatile ngx_cycle_t   *ngx_cycle = &test_cycle;
volatile ngx_msec_t     ngx_current_msec;
ngx_uint_t              ngx_pagesize;
ngx_pid_t               ngx_pid;
ngx_atomic_t            test_active;
ngx_atomic_t           *ngx_stat_active = &test_active;


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    /* void */
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    return malloc(size);
}


/* A pool is never destroyed, but for what is cleaned up with the zone. */

void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    static u_char  memory[16 * 1024 * 1024];
    static size_t  used;

    size = ngx_align(size, 16);

    if (size > sizeof(memory) - used) {
        return NULL;
    }

    used += size;

    return memory + used - size;
}


static ngx_pool_cleanup_t  test_cleanup;

ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *p, size_t size)
{
    return &test_cleanup;
}


ngx_uint_t
ngx_hash_key(u_char *data, size_t len)
{
    ngx_uint_t  i, key;

    key = 0;

    for (i = 0; i < len; i++) {
        key = key * 31 + data[i];
    }

    return key;
}


void *
ngx_slab_alloc(ngx_slab_pool_t *pool, size_t size)
{
    return (u_char *) pool + ngx_pagesize;
}


/* The zone, and processes in it. */

static ngx_log_t       test_log;
static uint32_t        test_offline = NGX_COMETA_NONE;
static ngx_shm_zone_t  test_shm;


static void *
share(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        printf("Bail out! mmap\n");
        exit(1);
    }

    return p;
}


/* In a process that begins: a slot, and what the files keep of their own. */

static void
zone_join(void)
{
    ngx_pid = getpid();
    test_cycle.log = &test_log;

    if (ngx_cometa_slot_claim(test_shm.data, &test_log) != NGX_OK
        || ngx_cometa_stats_start(&test_cycle, 15000) != NGX_OK
        || ngx_cometa_app_start(&test_cycle) != NGX_OK)
    {
        printf("Bail out! no slot\n");
        exit(1);
    }
}


static void
zone_make(size_t size, ngx_uint_t workers)
{
    ngx_shm_zone_t    old;
    ngx_slab_pool_t  *pool;

    old = test_shm;
    ngx_pagesize = getpagesize();

    pool = share(size);
    pool->pfree = size / ngx_pagesize - 1;

    memset(&test_shm, 0, sizeof(test_shm));
    test_shm.shm.addr = (u_char *) pool;
    test_shm.shm.size = size;
    test_shm.shm.log = &test_log;
    ngx_str_set(&test_shm.shm.name, "test");

    ngx_cometa_slot_release();

    /* whoever is left in the old zone does not prevent a new one */

    if (test_cleanup.handler) {
        test_cleanup.handler(test_cleanup.data);
    }

    if (ngx_cometa_zone_init(&test_shm, 65536, workers, test_offline, NULL)
        != NGX_OK
        || ngx_cometa_annex_make(test_shm.data, NULL, &test_log) != NGX_OK)
    {
        printf("Bail out! no zone\n");
        exit(1);
    }

    /* the same chains in each zone, so that each store is made in each */

    ((ngx_cometa_head_t *) test_shm.data)->key[0] = 1;
    ((ngx_cometa_head_t *) test_shm.data)->key[1] = 2;

    if (old.shm.addr) {
        (void) munmap(old.shm.addr, old.shm.size);
    }

    zone_join();
}


/* After a change to the sizes in the head: parts lie elsewhere then. */

__attribute__((unused))
static void
zone_again(void)
{
    ngx_cometa_zone_t  old;

    old = ngx_cometa_zone;

    ngx_cometa_zone_view(old.head, &ngx_cometa_zone);

    ngx_cometa_zone.rings = old.rings;
    ngx_cometa_zone.gauges = old.gauges;
    ngx_cometa_zone.slot = old.slot;
    ngx_cometa_zone.epoch = old.epoch;
    ngx_cometa_zone.claimed = 1;
}


/* Death at store number `fatal`, of those counted. */

static volatile int  stores, fatal;
static greg_t        storing;       /* the instruction */


static void
zone_protect(int how)
{
    (void) mprotect(test_shm.shm.addr, test_shm.shm.size, how);
    (void) mprotect(ngx_cometa_zone.rings, ngx_cometa_annexes->size, how);
}


static void
on_store(int sig, siginfo_t *si, void *data)
{
    u_char      *p;
    ucontext_t  *uc;

    uc = data;
    p = si->si_addr;

    if (!((p >= test_shm.shm.addr && p < test_shm.shm.addr + test_shm.shm.size)
          || (p >= ngx_cometa_zone.rings
              && p < ngx_cometa_zone.rings + ngx_cometa_annexes->size)))
    {
        _exit(3);
    }

    /* the kernel writes to its robust mutexes: not while they are read-only */

    zone_protect(PROT_READ|PROT_WRITE);

    if (++stores == fatal) {
        (void) kill(getpid(), SIGKILL);
    }

    storing = uc->uc_mcontext.gregs[REG_RIP];
    uc->uc_mcontext.gregs[REG_EFL] |= 0x100;
}


static void
on_step(int sig, siginfo_t *si, void *data)
{
    ucontext_t  *uc;

    uc = data;

    /* one that repeats itself is one store */

    if (uc->uc_mcontext.gregs[REG_RIP] == storing) {
        return;
    }

    uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;

    zone_protect(PROT_READ);
}


/*
 * A process that prepares, and then dies before the given store of an
 * operation. Returns whether it did: 0 if the operation has fewer of them.
 */

__attribute__((unused))
static int
dies_at(int store, void (*prepare)(void), void (*operation)(void))
{
    int               status;
    pid_t             pid;
    struct sigaction  sa;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        zone_join();
        prepare();

        memset(&sa, 0, sizeof(sa));
        sa.sa_flags = SA_SIGINFO;
        sa.sa_sigaction = on_store;
        (void) sigaction(SIGSEGV, &sa, NULL);
        sa.sa_sigaction = on_step;
        (void) sigaction(SIGTRAP, &sa, NULL);

        stores = 0;
        fatal = store;

        zone_protect(PROT_READ);
        operation();
        zone_protect(PROT_READ|PROT_WRITE);

        _exit(0);
    }

    (void) waitpid(pid, &status, 0);

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        return 1;
    }

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("Bail out! a process has ended with status %x\n", status);
        exit(1);
    }

    return 0;
}


#endif /* ZONE_H */
