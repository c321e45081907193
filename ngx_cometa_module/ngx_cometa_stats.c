
/*
 * Counters, and the names of applications that index them. A worker writes
 * the sets of its own slot and takes no lock; a new application is appended
 * under `apps_lock`, and never leaves while the zone lives.
 */

#include "ngx_cometa_stats.h"

#include <math.h>


/* From `devices` on; without the padding behind them. */

#define NGX_COMETA_GAUGES                                                     \
    ((offsetof(ngx_cometa_counters_t, webhook_queued)                         \
      - offsetof(ngx_cometa_counters_t, devices)) / sizeof(uint64_t) + 1)

#define NGX_COMETA_COUNTERS                                                   \
    ((offsetof(ngx_cometa_counters_t, devices)                                \
      - offsetof(ngx_cometa_counters_t, attached)) / sizeof(uint64_t))


/* The sets of one kind; they all begin with a ngx_cometa_set_t. */

typedef struct {
    u_char            *base;
    size_t             size;
    uint32_t           n;               /* there is room for */
    uint32_t          *carved;
    size_t             first;           /* offset in ngx_cometa_app_t */
    void             **own;             /* of this process, by application */
} ngx_cometa_sets_t;


static ngx_int_t ngx_cometa_sets_start(ngx_cometa_sets_t *sets,
    ngx_cycle_t *cycle);
static void *ngx_cometa_sets_own(ngx_cometa_sets_t *sets, uint32_t app);
static uint32_t ngx_cometa_sets_find(ngx_cometa_sets_t *sets, uint32_t app);
static uint32_t ngx_cometa_sets_carve(ngx_cometa_sets_t *sets, uint32_t app);
static ngx_cometa_set_t *ngx_cometa_sets_next(ngx_cometa_sets_t *sets,
    uint32_t app, ngx_cometa_set_t *prev);
static ngx_uint_t ngx_cometa_bound(uint64_t us);
static uint32_t ngx_cometa_app_find(ngx_str_t *name, uint32_t *seen);


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
    uint32_t                app, i;
    ngx_cometa_head_t      *head;
    ngx_cometa_counters_t  *c;

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

    /* the gauges of a dead process, whose counters this one goes on with */

    for (app = 0; app < head->napps; app++) {
        i = ngx_cometa_sets_find(&ngx_cometa_counters, app);

        if (i) {
            c = &ngx_cometa_zone.counters[i - 1];
            ngx_memzero(&c->devices, NGX_COMETA_GAUGES * sizeof(uint64_t));
        }
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
 * Where the zone has no room for a set, that of another slot is shared; every
 * application has one.
 */

static void *
ngx_cometa_sets_own(ngx_cometa_sets_t *sets, uint32_t app)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    if (sets->own[app]) {
        return sets->own[app];
    }

    head = ngx_cometa_zone.head;

    i = ngx_cometa_sets_find(sets, app);

    if (i == 0) {
        (void) ngx_cometa_lock(&head->apps_lock);
        i = ngx_cometa_sets_carve(sets, app);
        ngx_cometa_unlock(&head->apps_lock);
    }

    sets->own[app] = i ? (void *) (sets->base + (i - 1) * sets->size)
                       : (void *) ngx_cometa_sets_next(sets, app, NULL);

    return sets->own[app];
}


/* The set of this slot; 0: there is none yet. */

static uint32_t
ngx_cometa_sets_find(ngx_cometa_sets_t *sets, uint32_t app)
{
    ngx_cometa_set_t  *set;

    for (set = ngx_cometa_sets_next(sets, app, NULL);
         set;
         set = ngx_cometa_sets_next(sets, app, set))
    {
        if (set->slot == ngx_cometa_zone.slot) {
            return ((u_char *) set - sets->base) / sets->size + 1;
        }
    }

    return 0;
}


/*
 * Under apps_lock. A process that dies inside loses one set at most. 0: there
 * is no room.
 */

static uint32_t
ngx_cometa_sets_carve(ngx_cometa_sets_t *sets, uint32_t app)
{
    uint32_t           i, *first;
    ngx_cometa_set_t  *set;

    if (*sets->carved == sets->n) {
        return 0;
    }

    first = (uint32_t *) ((u_char *) &ngx_cometa_zone.apps[app]
                          + sets->first);
    i = ++*sets->carved;

    set = (ngx_cometa_set_t *) (sets->base + (i - 1) * sets->size);
    set->slot = ngx_cometa_zone.slot;
    set->next = *first;

    __atomic_store_n(first, i, __ATOMIC_RELEASE);

    return i;
}


/* All sets of an application, one after the other, from NULL to NULL. */

static ngx_cometa_set_t *
ngx_cometa_sets_next(ngx_cometa_sets_t *sets, uint32_t app,
    ngx_cometa_set_t *prev)
{
    uint32_t  i, *link;

    link = prev ? &prev->next
                : (uint32_t *) ((u_char *) &ngx_cometa_zone.apps[app]
                                + sets->first);

    i = __atomic_load_n(link, __ATOMIC_ACQUIRE);

    return i ? (ngx_cometa_set_t *) (sets->base + (i - 1) * sets->size)
             : NULL;
}


void
ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum)
{
    uint64_t               *to, *from;
    ngx_uint_t              i, n;
    ngx_cometa_set_t       *set;
    ngx_cometa_slot_t      *s;

    ngx_memzero(sum, sizeof(ngx_cometa_counters_t));

    to = &sum->attached;

    for (set = ngx_cometa_sets_next(&ngx_cometa_counters, app, NULL);
         set;
         set = ngx_cometa_sets_next(&ngx_cometa_counters, app, set))
    {
        s = &ngx_cometa_zone.slots[set->slot];
        n = NGX_COMETA_COUNTERS;

        if (s->pid && ngx_cometa_slot_alive(set->slot, s->epoch)) {
            n += NGX_COMETA_GAUGES;
        }

        from = &((ngx_cometa_counters_t *) set)->attached;

        for (i = 0; i < n; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
    }
}


void
ngx_cometa_stats_workers(ngx_cometa_worker_t *workers)
{
    uint32_t               app;
    ngx_uint_t             i;
    ngx_cometa_set_t      *set;
    ngx_cometa_slot_t     *s;
    ngx_cometa_counters_t *c;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        s = &ngx_cometa_zone.slots[i];

        workers[i].devices = 0;
        workers[i].pid = (s->pid && ngx_cometa_slot_alive(i, s->epoch))
                         ? s->pid : 0;
    }

    for (app = 0; app < ngx_cometa_zone.head->napps; app++) {

        for (set = ngx_cometa_sets_next(&ngx_cometa_counters, app, NULL);
             set;
             set = ngx_cometa_sets_next(&ngx_cometa_counters, app, set))
        {
            c = (ngx_cometa_counters_t *) set;

            if (workers[set->slot].pid) {
                workers[set->slot].devices
                                += __atomic_load_n(&c->devices,
                                                   __ATOMIC_RELAXED);
            }
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
        __atomic_store_n(&w->window, window, __ATOMIC_RELEASE);
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

    for (set = ngx_cometa_sets_next(&ngx_cometa_latencies, app, NULL);
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


uint32_t
ngx_cometa_app(ngx_str_t *name, ngx_uint_t create)
{
    uint32_t            n, app;
    ngx_cometa_app_t   *a;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    app = ngx_cometa_app_find(name, &n);

    if (app != NGX_COMETA_NONE || !create) {
        return app;
    }

    (void) ngx_cometa_lock(&head->apps_lock);

    app = ngx_cometa_app_find(name, &n);

    a = &ngx_cometa_zone.apps[n];

    if (app == NGX_COMETA_NONE
        && n < head->apps
        && (a->counters || ngx_cometa_sets_carve(&ngx_cometa_counters, n))
        && (a->latencies || ngx_cometa_sets_carve(&ngx_cometa_latencies, n)))
    {
        app = n;

        ngx_memcpy(a->name, name->data, name->len);
        a->len = name->len;

        /* published last: who dies before has appended nothing */
        __atomic_store_n(&head->napps, n + 1, __ATOMIC_RELEASE);
    }

    ngx_cometa_unlock(&head->apps_lock);

    return app;
}


/*
 * Looks in a table of this process: open addressing, index + 1 in a cell,
 * made when first needed and brought up to date with the zone at each look.
 */

static uint32_t
ngx_cometa_app_find(ngx_str_t *name, uint32_t *seen)
{
    static uint16_t    *cells;
    static uint32_t     mask, known;

    uint32_t            n;
    ngx_uint_t          h;
    ngx_cometa_app_t   *a;

    n = __atomic_load_n(&ngx_cometa_zone.head->napps, __ATOMIC_ACQUIRE);
    *seen = n;

    if (cells == NULL) {
        for (mask = 64; mask < 2 * ngx_cometa_zone.head->apps; mask *= 2) {
            /* void */
        }

        cells = ngx_calloc(mask * sizeof(uint16_t), ngx_cycle->log);
        if (cells == NULL) {
            return NGX_COMETA_NONE;
        }

        mask--;
    }

    while (known < n) {
        a = &ngx_cometa_zone.apps[known];

        for (h = ngx_hash_key(a->name, a->len); cells[h & mask]; h++) {
            /* void */
        }

        cells[h & mask] = ++known;
    }

    for (h = ngx_hash_key(name->data, name->len); cells[h & mask]; h++) {
        a = &ngx_cometa_zone.apps[cells[h & mask] - 1];

        if (a->len == name->len
            && ngx_memcmp(a->name, name->data, name->len) == 0)
        {
            return cells[h & mask] - 1;
        }
    }

    return NGX_COMETA_NONE;
}
