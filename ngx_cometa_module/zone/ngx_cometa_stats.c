
/*
 * Counters, latencies and gauges. A worker writes the sets of its own slot and
 * takes no lock; further sets are made under `apps_lock`.
 *
 * A latency is noted by the origin of a call and was measured by the owner of
 * the device: both read the same monotonic clock. A window of latencies is
 * numbered by that clock, so all workers change to the next one at the same
 * time and tell each other nothing. Even and odd windows take turns: while one
 * is written, the last complete one is read. Merging sets is adding.
 *
 * If workers share a set, counters and totals stay exact, because additions are
 * atomic; a window may lose a latency that two workers note at once.
 */

#include "ngx_cometa_stats.h"
#include "ngx_cometa.h"
#include "ngx_cometa_zone.h"
#include "cometa_histogram.h"

#include <math.h>


/* Their number: from `attached` on, with the padding after them, which is 0. */

#define NGX_COMETA_COUNTERS                                                   \
    ((sizeof(ngx_cometa_counters_t)                                           \
      - offsetof(ngx_cometa_counters_t, attached)) / sizeof(uint64_t))

#define NGX_COMETA_GAUGES                                                     \
    (offsetof(ngx_cometa_gauges_t, taken) / sizeof(uint64_t))


/* The sets of one kind; each begins with a ngx_cometa_set_t. */

typedef struct {
    u_char            *base;
    size_t             size;
    uint32_t           n;               /* there is room for */
    uint32_t          *carved;          /* beside the first ones */
    size_t             first;           /* offset in ngx_cometa_app_t */
    void             **own;             /* of this process, by application */
} ngx_cometa_sets_t;


static ngx_int_t ngx_cometa_sets_start(ngx_cometa_sets_t *sets,
    ngx_cycle_t *cycle);
static void *ngx_cometa_sets_own(ngx_cometa_sets_t *sets, uint32_t app);
static ngx_cometa_set_t *ngx_cometa_sets_find(ngx_cometa_sets_t *sets,
    uint32_t app);
static ngx_cometa_set_t *ngx_cometa_sets_carve(ngx_cometa_sets_t *sets,
    uint32_t app);
static void ngx_cometa_sets_mend(ngx_cometa_sets_t *sets);
static void ngx_cometa_sets_reset(ngx_cometa_sets_t *sets, uint32_t app);
static uint32_t *ngx_cometa_sets_first(ngx_cometa_sets_t *sets, uint32_t app);
static ngx_cometa_set_t *ngx_cometa_sets_next(ngx_cometa_sets_t *sets,
    uint32_t app, ngx_cometa_set_t *prev);
static ngx_cometa_set_t *ngx_cometa_sets_at(ngx_cometa_sets_t *sets,
    uint32_t i);
static ngx_uint_t ngx_cometa_bound(uint64_t us);


uint32_t  ngx_cometa_bounds[NGX_COMETA_BOUNDS] = {
    500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 2500000, 5000000, 10000000, 30000000, 0xffffffff
};


static ngx_cometa_sets_t  ngx_cometa_counters;
static ngx_cometa_sets_t  ngx_cometa_latencies;
static uint64_t           ngx_cometa_window;            /* us */


ngx_int_t
ngx_cometa_stats_start(ngx_cycle_t *cycle, ngx_msec_t window)
{
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    ngx_cometa_window = (uint64_t) window * 1000;

    ngx_cometa_counters.base = (u_char *) ngx_cometa_zone.counters;
    ngx_cometa_counters.size = sizeof(ngx_cometa_counters_t);
    ngx_cometa_counters.n = head->sets;
    ngx_cometa_counters.carved = &head->sets_carved;
    ngx_cometa_counters.first = offsetof(ngx_cometa_app_t, counters);

    ngx_cometa_latencies.base = (u_char *) ngx_cometa_zone.latencies;
    ngx_cometa_latencies.size = sizeof(ngx_cometa_latency_t);
    ngx_cometa_latencies.n = head->latencies;
    ngx_cometa_latencies.carved = &head->latencies_carved;
    ngx_cometa_latencies.first = offsetof(ngx_cometa_app_t, latencies);

    if (ngx_cometa_sets_start(&ngx_cometa_counters, cycle) != NGX_OK
        || ngx_cometa_sets_start(&ngx_cometa_latencies, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_sets_start(ngx_cometa_sets_t *sets, ngx_cycle_t *cycle)
{
    sets->own = ngx_pcalloc(cycle->pool,
                            ngx_cometa_zone.head->apps * sizeof(void *));

    return sets->own ? NGX_OK : NGX_ERROR;
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    return ngx_cometa_sets_own(&ngx_cometa_counters, app);
}


/*
 * Where the zone has no room for a set of this slot, the first set of the
 * application is shared with another one.
 */

static void *
ngx_cometa_sets_own(ngx_cometa_sets_t *sets, uint32_t app)
{
    uint32_t           nobody;
    ngx_cometa_set_t  *set;

    if (sets->own[app]) {
        return sets->own[app];
    }

    set = ngx_cometa_sets_find(sets, app);

    if (set == NULL) {
        set = ngx_cometa_sets_at(sets, app);
        nobody = 0;

        if (!__atomic_compare_exchange_n(&set->owner, &nobody,
                                         ngx_cometa_zone.slot + 1, 0,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        {
            ngx_cometa_stats_lock();
            set = ngx_cometa_sets_carve(sets, app);
            ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);
        }
    }

    sets->own[app] = set ? set : ngx_cometa_sets_at(sets, app);

    return sets->own[app];
}


/* The set of this slot. */

static ngx_cometa_set_t *
ngx_cometa_sets_find(ngx_cometa_sets_t *sets, uint32_t app)
{
    ngx_cometa_set_t  *set;

    for (set = ngx_cometa_sets_at(sets, app);
         set;
         set = ngx_cometa_sets_next(sets, app, set))
    {
        if (set->owner == ngx_cometa_zone.slot + 1) {
            return set;
        }
    }

    return NULL;
}


/*
 * Under apps_lock. The set is in its chain before it is counted as carved; if
 * the process dies in between, the next holder mends that. NULL: there is no
 * room.
 */

static ngx_cometa_set_t *
ngx_cometa_sets_carve(ngx_cometa_sets_t *sets, uint32_t app)
{
    uint32_t           i, *first;
    ngx_cometa_set_t  *set;

    i = ngx_cometa_zone.head->apps + *sets->carved;

    if (i >= sets->n) {
        return NULL;
    }

    first = ngx_cometa_sets_first(sets, app);

    set = ngx_cometa_sets_at(sets, i);
    set->owner = ngx_cometa_zone.slot + 1;
    set->next = *first;

    ngx_cometa_step(first, i + 1);
    ngx_cometa_step(sets->carved, *sets->carved + 1);

    return set;
}


/*
 * If a process died that held the lock, it may have been about to take the
 * place of an application away: the application keeps it. Or it was about to
 * give a place a name, which nobody has seen yet: that place stays free.
 */

void
ngx_cometa_stats_lock(void)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    if (ngx_cometa_lock(&head->apps_lock) == NGX_OK) {
        return;
    }

    ngx_cometa_sets_mend(&ngx_cometa_counters);
    ngx_cometa_sets_mend(&ngx_cometa_latencies);

    for (i = 0; i < head->napps; i++) {
        if (ngx_cometa_zone.apps[i].state == NGX_COMETA_APP_LEAVING) {
            ngx_cometa_step(&ngx_cometa_zone.apps[i].state,
                             NGX_COMETA_APP_USED);
        }
    }
}


/* Counts the sets in the chains: the last one may not have been counted. */

static void
ngx_cometa_sets_mend(ngx_cometa_sets_t *sets)
{
    uint32_t  app, i, carved;

    carved = 0;

    for (app = 0; app < ngx_cometa_zone.head->apps; app++) {

        /* the youngest stands first, and has the highest index */

        i = *ngx_cometa_sets_first(sets, app);

        if (i) {
            carved = ngx_max(carved, i - ngx_cometa_zone.head->apps);
        }
    }

    *sets->carved = carved;
}


void
ngx_cometa_stats_reset(uint32_t app)
{
    ngx_cometa_sets_reset(&ngx_cometa_counters, app);
    ngx_cometa_sets_reset(&ngx_cometa_latencies, app);
}


/* The sets stay in their chains, and keep their slots. */

static void
ngx_cometa_sets_reset(ngx_cometa_sets_t *sets, uint32_t app)
{
    ngx_cometa_set_t  *set;

    for (set = ngx_cometa_sets_at(sets, app);
         set;
         set = ngx_cometa_sets_next(sets, app, set))
    {
        ngx_memzero(set + 1, sets->size - sizeof(ngx_cometa_set_t));
    }
}


/* All sets of an application, one after the other, to NULL. */

static ngx_cometa_set_t *
ngx_cometa_sets_next(ngx_cometa_sets_t *sets, uint32_t app,
    ngx_cometa_set_t *prev)
{
    uint32_t  i, *link;

    link = (prev == ngx_cometa_sets_at(sets, app))
           ? ngx_cometa_sets_first(sets, app) : &prev->next;

    i = __atomic_load_n(link, __ATOMIC_ACQUIRE);

    return i ? ngx_cometa_sets_at(sets, i - 1) : NULL;
}


static uint32_t *
ngx_cometa_sets_first(ngx_cometa_sets_t *sets, uint32_t app)
{
    return (uint32_t *) ((u_char *) &ngx_cometa_zone.apps[app]
                         + sets->first);
}


static ngx_cometa_set_t *
ngx_cometa_sets_at(ngx_cometa_sets_t *sets, uint32_t i)
{
    return (ngx_cometa_set_t *) (sets->base + i * sets->size);
}


void
ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum)
{
    uint64_t          *to, *from;
    ngx_uint_t         i;
    ngx_cometa_set_t  *set;

    ngx_memzero(sum, sizeof(ngx_cometa_counters_t));

    to = &sum->attached;

    for (set = ngx_cometa_sets_at(&ngx_cometa_counters, app);
         set;
         set = ngx_cometa_sets_next(&ngx_cometa_counters, app, set))
    {
        from = &((ngx_cometa_counters_t *) set)->attached;

        for (i = 0; i < NGX_COMETA_COUNTERS; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
    }
}


void
ngx_cometa_stats_gauges(uint32_t app, ngx_cometa_gauges_t *sum)
{
    uint64_t           *to, *from;
    uint32_t            slot;
    ngx_uint_t          i;
    ngx_cometa_slot_t  *s;

    ngx_memzero(sum, sizeof(ngx_cometa_gauges_t));

    to = &sum->devices;

    for (slot = 0; slot < ngx_cometa_zone.head->slots; slot++) {
        s = &ngx_cometa_zone.slots[slot];

        if (s->pid == 0 || !ngx_cometa_slot_alive(slot, s->epoch)) {
            continue;
        }

        from = &ngx_cometa_gauges(slot, app)->devices;

        to[0] += ngx_cometa_slot_devices_of(slot, app);

        for (i = 1; i < NGX_COMETA_GAUGES; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
    }
}


/* If the slot is another process's by now, what that one has stays as it is. */

ngx_int_t
ngx_cometa_stats_taken(uint32_t app, uint32_t slot, uint32_t epoch, int n)
{
    uint32_t   devices;
    uint64_t  *taken, old, word;

    taken = &ngx_cometa_gauges(slot, app)->taken;
    old = __atomic_load_n(taken, __ATOMIC_ACQUIRE);

    do {
        if ((int32_t) (epoch - (uint32_t) (old >> 32)) < 0) {
            return NGX_DECLINED;
        }

        devices = (old >> 32 == epoch) ? (uint32_t) old : 0;

        if (n < 0 && devices == 0) {
            return NGX_DECLINED;
        }

        word = (uint64_t) epoch << 32 | (devices + n);

    } while (!__atomic_compare_exchange_n(taken, &old, word, 0,
                                          __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));

    return NGX_OK;
}


void
ngx_cometa_stats_workers(ngx_cometa_worker_t *workers)
{
    uint32_t            i, app, napps;
    ngx_cometa_slot_t  *s;

    napps = __atomic_load_n(&ngx_cometa_zone.head->napps, __ATOMIC_ACQUIRE);

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        workers[i].devices = 0;
        workers[i].pid = (s->pid && ngx_cometa_slot_alive(i, s->epoch))
                         ? s->pid : 0;

        for (app = 0; workers[i].pid && app < napps; app++) {
            workers[i].devices += ngx_cometa_slot_devices_of(i, app);
        }
    }
}


void
ngx_cometa_stats_latency(uint32_t app, uint64_t us)
{
    uint64_t               window;
    ngx_cometa_window_t   *w;
    ngx_cometa_latency_t  *l;

#ifdef NGX_COMETA_NO_STATS
    return;
#endif

    l = ngx_cometa_sets_own(&ngx_cometa_latencies, app);

    __atomic_fetch_add(&l->sum, us, __ATOMIC_RELAXED);
    __atomic_fetch_add(&l->counts[ngx_cometa_bound(us)], 1, __ATOMIC_RELAXED);

    window = ngx_cometa_now() / ngx_cometa_window;
    w = &l->windows[window & 1];

    if (w->window != window) {
        ngx_memzero(w, sizeof(ngx_cometa_window_t));
        w->min = us;
        ngx_cometa_step(&w->window, window);
    }

    w->sum += us;
    w->squares += (double) us * us;
    w->min = ngx_min(w->min, us);
    w->max = ngx_max(w->max, us);
    w->counts[cometa_histogram_bucket(us)]++;
    w->n++;
}


static ngx_uint_t
ngx_cometa_bound(uint64_t us)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_BOUNDS - 1; i++) {
        if (us <= ngx_cometa_bounds[i]) {
            break;
        }
    }

    return i;
}


void
ngx_cometa_stats_latencies(uint32_t app, ngx_cometa_latencies_t *sum)
{
    double                 squares, mean;
    uint64_t               window;
    ngx_uint_t             i;
    ngx_cometa_set_t      *set;
    ngx_cometa_window_t   *w;
    ngx_cometa_latency_t  *l;

    ngx_memzero(sum, sizeof(ngx_cometa_latencies_t));

    window = ngx_cometa_now() / ngx_cometa_window - 1;
    squares = 0;

    for (set = ngx_cometa_sets_at(&ngx_cometa_latencies, app);
         set;
         set = ngx_cometa_sets_next(&ngx_cometa_latencies, app, set))
    {
        l = (ngx_cometa_latency_t *) set;

        sum->total_sum += l->sum;

        for (i = 0; i < NGX_COMETA_BOUNDS; i++) {
            sum->bounds[i] += l->counts[i];
        }

        w = &l->windows[window & 1];

        if (__atomic_load_n(&w->window, __ATOMIC_ACQUIRE) != window
            || w->n == 0)
        {
            continue;
        }

        sum->min = sum->n ? ngx_min(sum->min, w->min) : w->min;
        sum->max = ngx_max(sum->max, w->max);
        sum->n += w->n;
        sum->mean += w->sum;
        squares += w->squares;

        for (i = 0; i < COMETA_HISTOGRAM_BUCKETS; i++) {
            sum->counts[i] += w->counts[i];
        }
    }

    if (sum->n) {
        mean = sum->mean / sum->n;
        squares = squares / sum->n - mean * mean;

        sum->mean = mean;
        sum->deviation = (squares > 0) ? sqrt(squares) : 0;
    }
}
