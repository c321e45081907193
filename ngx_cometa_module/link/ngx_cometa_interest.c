
/*
 * Interests in the zone: a row for each hash, and one for each application, a
 * bit in it for each slot. A worker counts its own interests in its own memory,
 * and sets and clears its bits with atomic operations; there is no lock. The
 * bits of a process that has gone are cleared by whoever vacates its slot.
 */

#include "ngx_cometa_interest.h"
#include "ngx_cometa_zone.h"


static void ngx_cometa_interest_set(uint32_t *count, uint64_t *row);
static void ngx_cometa_interest_clear(uint32_t *count, uint64_t *row);
static uint64_t *ngx_cometa_interest_row(uint64_t hash);
static uint64_t *ngx_cometa_interest_app(uint32_t app);
static uint32_t ngx_cometa_interest_slot(uint64_t *row, uint64_t *other,
    uint32_t slot);


/* Of this process: by row, and by application. */

static uint32_t  *ngx_cometa_interests;
static uint32_t  *ngx_cometa_hears;


ngx_int_t
ngx_cometa_interest_start(ngx_cycle_t *cycle)
{
    ngx_cometa_interests = ngx_pcalloc(cycle->pool,
                                       NGX_COMETA_ROWS * sizeof(uint32_t));
    ngx_cometa_hears = ngx_pcalloc(cycle->pool, ngx_cometa_zone.head->apps
                                                * sizeof(uint32_t));

    return (ngx_cometa_interests && ngx_cometa_hears) ? NGX_OK : NGX_ERROR;
}


static uint64_t *
ngx_cometa_interest_row(uint64_t hash)
{
    return ngx_cometa_zone.interests
           + hash % NGX_COMETA_ROWS * ngx_cometa_zone.head->words;
}


static uint64_t *
ngx_cometa_interest_app(uint32_t app)
{
    return ngx_cometa_zone.hearers
           + (size_t) app * ngx_cometa_zone.head->words;
}


void
ngx_cometa_interest_add(uint64_t hash)
{
    ngx_cometa_interest_set(&ngx_cometa_interests[hash % NGX_COMETA_ROWS],
                            ngx_cometa_interest_row(hash));
}


void
ngx_cometa_interest_remove(uint64_t hash)
{
    ngx_cometa_interest_clear(&ngx_cometa_interests[hash % NGX_COMETA_ROWS],
                              ngx_cometa_interest_row(hash));
}


void
ngx_cometa_interest_hear(uint32_t app)
{
    ngx_cometa_interest_set(&ngx_cometa_hears[app],
                            ngx_cometa_interest_app(app));
}


void
ngx_cometa_interest_hear_no_more(uint32_t app)
{
    ngx_cometa_interest_clear(&ngx_cometa_hears[app],
                              ngx_cometa_interest_app(app));
}


static void
ngx_cometa_interest_set(uint32_t *count, uint64_t *row)
{
    if ((*count)++ == 0) {
        __atomic_fetch_or(row + ngx_cometa_zone.slot / 64,
                          (uint64_t) 1 << (ngx_cometa_zone.slot % 64),
                          __ATOMIC_SEQ_CST);
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}


static void
ngx_cometa_interest_clear(uint32_t *count, uint64_t *row)
{
    if (--*count == 0) {
        __atomic_fetch_and(row + ngx_cometa_zone.slot / 64,
                           ~((uint64_t) 1 << (ngx_cometa_zone.slot % 64)),
                           __ATOMIC_SEQ_CST);
    }
}


ngx_uint_t
ngx_cometa_interest_any(uint64_t hash)
{
    return ngx_cometa_interest_next(hash, 0) != NGX_COMETA_NONE;
}


uint32_t
ngx_cometa_interest_next(uint64_t hash, uint32_t slot)
{
    uint64_t  *row;

    row = ngx_cometa_interest_row(hash);

    return ngx_cometa_interest_slot(row, row, slot);
}


uint32_t
ngx_cometa_interest_hears(uint64_t hash, uint32_t app, uint32_t slot)
{
    return ngx_cometa_interest_slot(ngx_cometa_interest_row(hash),
                                    ngx_cometa_interest_app(app), slot);
}


/* The first slot from this one on that is in any of the two rows. */

static uint32_t
ngx_cometa_interest_slot(uint64_t *row, uint64_t *other, uint32_t slot)
{
    uint64_t    bits;
    ngx_uint_t  i;

    if (slot == 0) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }

    for (i = slot / 64; i < ngx_cometa_zone.head->words; i++) {
        bits = __atomic_load_n(&row[i], __ATOMIC_SEQ_CST)
               | __atomic_load_n(&other[i], __ATOMIC_SEQ_CST);

        if (i == slot / 64) {
            bits &= ~(uint64_t) 0 << (slot % 64);
        }

        if (bits) {
            return 64 * i + __builtin_ctzll(bits);
        }
    }

    return NGX_COMETA_NONE;
}
