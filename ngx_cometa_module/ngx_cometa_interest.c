
/*
 * Interests in the zone: a row for each hash, a bit in it for each slot. A
 * worker counts its own interests in its own memory, and sets and clears its
 * bits with atomic operations; there is no lock.
 */

#include "ngx_cometa_interest.h"


static uint64_t *ngx_cometa_interest_row(uint64_t hash);


static uint32_t  *ngx_cometa_interests;         /* by row, of this process */


ngx_int_t
ngx_cometa_interest_start(ngx_cycle_t *cycle)
{
    uint64_t    *row, bit;
    ngx_uint_t   i;

    ngx_cometa_interests = ngx_pcalloc(cycle->pool,
                                       NGX_COMETA_ROWS * sizeof(uint32_t));
    if (ngx_cometa_interests == NULL) {
        return NGX_ERROR;
    }

    /* what a dead process left in our slot */

    bit = (uint64_t) 1 << (ngx_cometa_zone.slot % 64);

    for (i = 0; i < NGX_COMETA_ROWS; i++) {
        row = ngx_cometa_interest_row(i) + ngx_cometa_zone.slot / 64;

        if (*row & bit) {
            __atomic_fetch_and(row, ~bit, __ATOMIC_SEQ_CST);
        }
    }

    return NGX_OK;
}


static uint64_t *
ngx_cometa_interest_row(uint64_t hash)
{
    return ngx_cometa_zone.interests
           + hash % NGX_COMETA_ROWS * ngx_cometa_zone.head->words;
}


void
ngx_cometa_interest_add(uint64_t hash)
{
    if (ngx_cometa_interests[hash % NGX_COMETA_ROWS]++ == 0) {
        __atomic_fetch_or(ngx_cometa_interest_row(hash)
                          + ngx_cometa_zone.slot / 64,
                          (uint64_t) 1 << (ngx_cometa_zone.slot % 64),
                          __ATOMIC_SEQ_CST);
    }

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}


void
ngx_cometa_interest_remove(uint64_t hash)
{
    if (--ngx_cometa_interests[hash % NGX_COMETA_ROWS] == 0) {
        __atomic_fetch_and(ngx_cometa_interest_row(hash)
                           + ngx_cometa_zone.slot / 64,
                           ~((uint64_t) 1 << (ngx_cometa_zone.slot % 64)),
                           __ATOMIC_SEQ_CST);
    }
}


ngx_uint_t
ngx_cometa_interest_any(uint64_t hash)
{
    uint64_t    *row;
    ngx_uint_t   i;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    row = ngx_cometa_interest_row(hash);

    for (i = 0; i < ngx_cometa_zone.head->words; i++) {
        if (__atomic_load_n(&row[i], __ATOMIC_SEQ_CST)) {
            return 1;
        }
    }

    return 0;
}


void
ngx_cometa_interest_tell(uint64_t hash, ngx_cometa_mail_t *mail,
    ngx_str_t *body)
{
    uint32_t    slot;
    uint64_t   *row, bits;
    ngx_uint_t  i;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);

    row = ngx_cometa_interest_row(hash);

    for (i = 0; i < ngx_cometa_zone.head->words; i++) {

        for (bits = __atomic_load_n(&row[i], __ATOMIC_SEQ_CST);
             bits;
             bits &= bits - 1)
        {
            slot = 64 * i + __builtin_ctzll(bits);

            ngx_cometa_mailbox_tell(slot, ngx_cometa_zone.slots[slot].epoch,
                                    mail, body);
        }
    }
}
