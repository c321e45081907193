
/*
 * Two numbers of each slot and application, which only grow: `entered`, written
 * by the process of the slot alone, and `left`, written by whoever takes a
 * device away from it. A device that goes to another worker enters there before
 * it has left here, and who counts reads all `left` before all `entered`: so
 * nobody sees less devices than there are, whatever moves meanwhile.
 *
 * The numbers of a slot are void with its epoch. If a worker dies between the
 * two steps of a takeover, the worker that had the device counts it for as long
 * as it lives.
 */

#include "ngx_cometa_bound.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_BOUND_LOOKS  4       /* one may see a device twice */


static uint32_t ngx_cometa_bound_sum(uint32_t app, ngx_uint_t entered);


void
ngx_cometa_bound_enter(uint32_t app)
{
    ngx_cometa_gauge_add(app, entered, 1);
}


void
ngx_cometa_bound_leave(uint32_t app, uint32_t slot, uint32_t epoch)
{
    uint64_t  *left, old, word;

    left = &ngx_cometa_gauges(slot, app)->left;
    old = __atomic_load_n(left, __ATOMIC_ACQUIRE);

    do {
        if ((int32_t) (epoch - (uint32_t) (old >> 32)) < 0) {
            return;
        }

        word = (uint64_t) epoch << 32
               | (uint32_t) (((old >> 32 == epoch) ? old : 0) + 1);

    } while (!__atomic_compare_exchange_n(left, &old, word, 0,
                                          __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
}


ngx_int_t
ngx_cometa_bound_reserve(uint32_t app, ngx_uint_t max)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_DECLINED;

    ngx_cometa_stats_lock();

    for (i = 0; i < NGX_COMETA_BOUND_LOOKS; i++) {
        if (ngx_cometa_bound_count(app) < max) {
            ngx_cometa_bound_enter(app);
            rc = NGX_OK;
            break;
        }
    }

    ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);

    return rc;
}


/* Once more if a worker died, whose numbers may be in one sum only. */

uint32_t
ngx_cometa_bound_count(uint32_t app)
{
    uint32_t  deaths, left, entered, *total;

    total = &ngx_cometa_zone.head->deaths;

    do {
        deaths = __atomic_load_n(total, __ATOMIC_SEQ_CST);

        left = ngx_cometa_bound_sum(app, 0);
        entered = ngx_cometa_bound_sum(app, 1);

    } while (__atomic_load_n(total, __ATOMIC_SEQ_CST) != deaths);

    return entered - left;
}


static uint32_t
ngx_cometa_bound_sum(uint32_t app, ngx_uint_t entered)
{
    uint32_t              slot, sum, epoch;
    uint64_t              left;
    ngx_cometa_slot_t    *s;
    ngx_cometa_gauges_t  *g;

    sum = 0;

    for (slot = 0; slot < ngx_cometa_zone.head->slots; slot++) {
        s = &ngx_cometa_zone.slots[slot];
        epoch = __atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&s->pid, __ATOMIC_ACQUIRE) == 0
            || !ngx_cometa_slot_alive(slot, epoch))
        {
            continue;
        }

        g = ngx_cometa_gauges(slot, app);

        if (entered) {
            sum += (uint32_t) __atomic_load_n(&g->entered, __ATOMIC_ACQUIRE);
            continue;
        }

        left = __atomic_load_n(&g->left, __ATOMIC_ACQUIRE);

        if (left >> 32 == epoch) {
            sum += (uint32_t) left;
        }
    }

    return sum;
}
