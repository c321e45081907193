
/*
 * Counters: one set for each slot and application, written only by the
 * process that holds the slot and read by all. Sums over all slots are the
 * figures of an application.
 */

#ifndef _NGX_COMETA_STATS_H_INCLUDED_
#define _NGX_COMETA_STATS_H_INCLUDED_


#include "ngx_cometa_zone.h"


/* All but the gauges only grow, also over the death of their process. */

struct ngx_cometa_counters_s {
    uint64_t  attached;
    uint64_t  detached[NGX_COMETA_REASONS];
    uint64_t  messages;             /* calls answered by their device */
    uint64_t  failed;               /* calls that ended in an error */
    uint64_t  errors;               /* strays and protocol errors of devices */
    uint64_t  late;
    uint64_t  timeouts;
    uint64_t  events;
    uint64_t  bytes_up;             /* device to server, payloads */
    uint64_t  bytes_down;

    /* gauges, void when the epoch of the slot changes */
    uint64_t  devices;
    uint64_t  calls;                /* begun here and not ended */
    uint64_t  queued;               /* wait for a device of this slot */
} __attribute__((aligned(64)));


/* Of this process, for an application by its index. */
ngx_cometa_counters_t *ngx_cometa_stats(uint32_t app);

/* Adds up an application's sets; gauges only of slots that are alive. */
void ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum);

/* A process has claimed the slot: its gauges start at zero. */
void ngx_cometa_stats_claim(uint32_t slot);

/*
 * The index of an application, whose name is kept from now on if `create`.
 * NGX_COMETA_NONE: not known, or no room.
 */
uint32_t ngx_cometa_app(ngx_str_t *name, ngx_uint_t create);


#define ngx_cometa_stats_add(app, field, n)                                   \
    __atomic_store_n(&ngx_cometa_stats(app)->field,                           \
                     ngx_cometa_stats(app)->field + (n), __ATOMIC_RELAXED)


#endif /* _NGX_COMETA_STATS_H_INCLUDED_ */
