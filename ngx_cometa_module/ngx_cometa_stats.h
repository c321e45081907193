
/*
 * Counters: a set for each slot and application, written by the process that
 * holds the slot and read by all. Sums over all slots are the figures of an
 * application.
 */

#ifndef _NGX_COMETA_STATS_H_INCLUDED_
#define _NGX_COMETA_STATS_H_INCLUDED_


#include "ngx_cometa_slot.h"


/* Of this process, for an application by its index. */
ngx_cometa_counters_t *ngx_cometa_stats(uint32_t app);

/* Adds up an application's sets; gauges only of slots that are alive. */
void ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum);

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

/* At the start of a worker: its gauges start at zero. */
ngx_int_t ngx_cometa_stats_start(ngx_cycle_t *cycle, ngx_msec_t window);

/*
 * The index of an application, whose name is kept from now on if `create`.
 * NGX_COMETA_NONE: not known, or no room.
 */
uint32_t ngx_cometa_app(ngx_str_t *name, ngx_uint_t create);


/*
 * Atomic, for where the zone is too small for all sets some are shared. The
 * other form is there to measure what counting costs.
 */

#ifdef NGX_COMETA_NO_STATS

#define ngx_cometa_stats_add(app, field, n)  (void) (app), (void) (n)

#else

#define ngx_cometa_stats_add(app, field, n)                                   \
    (void) __atomic_fetch_add(&ngx_cometa_stats(app)->field, (uint64_t) (n),  \
                              __ATOMIC_RELAXED)

#endif


#endif /* _NGX_COMETA_STATS_H_INCLUDED_ */
