
/*
 * Counters: a set for each slot and application, written by the process that
 * holds the slot and read by all. The sum over all slots is the figure of an
 * application. Gauges: a row for each slot, which is valid while its process
 * lives.
 */

#ifndef _NGX_COMETA_STATS_H_INCLUDED_
#define _NGX_COMETA_STATS_H_INCLUDED_


#include "ngx_cometa_debug.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"
#include "cometa_histogram.h"


/* The set of this process for an application, by its index. */
ngx_cometa_counters_t *ngx_cometa_stats(uint32_t app);

/* Adds up an application's counters, or its gauges of all slots alive. */
void ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum);
void ngx_cometa_stats_gauges(uint32_t app, ngx_cometa_gauges_t *sum);

/*
 * A device that a slot counts was taken by another worker (1), or the process
 * of the slot has heard of that and counts it no more (-1). NGX_DECLINED: that
 * process has ended; or nobody has taken one.
 */
ngx_int_t ngx_cometa_stats_taken(uint32_t app, uint32_t slot, uint32_t epoch,
    int n);

/* Takes `apps_lock`, and mends what a dead holder left behind. */
void ngx_cometa_stats_lock(void);

/* Under that lock: sets the counters of an application to zero. */
void ngx_cometa_stats_reset(uint32_t app);

/* A call was answered by its device so many us after it had arrived. */
void ngx_cometa_stats_latency(uint32_t app, uint64_t us);

/*
 * Latencies of an application, us: n to counts are of the last complete
 * window, total_sum and bounds of all time.
 */

typedef struct {
    uint64_t  n;
    uint64_t  min;
    uint64_t  max;
    double    mean;
    double    deviation;
    uint64_t  counts[COMETA_HISTOGRAM_BUCKETS];

    uint64_t  total_sum;
    uint64_t  bounds[NGX_COMETA_BOUNDS];    /* not cumulated */
} ngx_cometa_latencies_t;

extern uint32_t  ngx_cometa_bounds[NGX_COMETA_BOUNDS];

void ngx_cometa_stats_latencies(uint32_t app, ngx_cometa_latencies_t *sum);

/* The workers by slot; pid 0: there is none. */

typedef struct {
    uint32_t  pid;
    uint64_t  devices;
} ngx_cometa_worker_t;

void ngx_cometa_stats_workers(ngx_cometa_worker_t *workers);

/* At the start of a worker. */
ngx_int_t ngx_cometa_stats_start(ngx_cycle_t *cycle, ngx_msec_t window);

/*
 * A gauge is written by the process of its slot alone, so an ordinary addition
 * and one store are enough.
 */

#define ngx_cometa_gauge_add(app, field, n)                                   \
    ngx_cometa_gauge_move(&ngx_cometa_gauges(ngx_cometa_zone.slot, app)       \
                          ->field, (uint64_t) (n))

static ngx_inline void
ngx_cometa_gauge_move(uint64_t *gauge, uint64_t n)
{
    ngx_cometa_expect((int64_t) n >= 0 || *gauge >= -n);

    __atomic_store_n(gauge, *gauge + n, __ATOMIC_RELEASE);
}


/*
 * Atomic, because workers share sets if the zone is too small for all of them.
 * With NGX_COMETA_NO_STATS nothing is counted, to measure what counting costs.
 */

#ifdef NGX_COMETA_NO_STATS

#define ngx_cometa_stats_add(app, field, n)  (void) (app), (void) (n)

#else

#define ngx_cometa_stats_add(app, field, n)                                   \
    (void) __atomic_fetch_add(&ngx_cometa_stats(app)->field, (uint64_t) (n),  \
                              __ATOMIC_RELAXED)

#endif


#endif /* _NGX_COMETA_STATS_H_INCLUDED_ */
