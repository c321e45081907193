
/*
 * The table of calls, and the lists. All state is this process's own. The
 * memory of calls is taken in chunks that never move and are never freed: the
 * name of a call that has ended leads to a call of another generation, and is
 * refused.
 */

#include "ngx_cometa_call_table.h"
#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_CALL_CHUNK  64
#define NGX_COMETA_WAITERS     256      /* queues of calls for an attach */


/* Our calls to devices of another worker, by its slot. */

typedef struct {
    ngx_queue_t           calls;
    uint32_t              epoch;        /* when it was last looked at */
} ngx_cometa_owner_t;


static ngx_int_t ngx_cometa_call_table_grow(void);
static ngx_queue_t *ngx_cometa_call_waiters(ngx_cometa_key_t *key);
static ngx_uint_t ngx_cometa_call_same(ngx_cometa_call_t *call,
    ngx_cometa_key_t *key);


static ngx_cometa_call_t  **ngx_cometa_calls;
static ngx_uint_t           ngx_cometa_calls_chunks;
static ngx_queue_t          ngx_cometa_calls_free;

static ngx_cometa_owner_t  *ngx_cometa_owners;
static ngx_uint_t           ngx_cometa_owned;       /* calls in all of them */

static ngx_queue_t          ngx_cometa_waiters[NGX_COMETA_WAITERS];


ngx_int_t
ngx_cometa_call_table_start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i, n;

    n = ngx_cometa_zone.head->slots;

    ngx_cometa_owners = ngx_pcalloc(cycle->pool,
                                    n * sizeof(ngx_cometa_owner_t));
    if (ngx_cometa_owners == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_init(&ngx_cometa_owners[i].calls);
    }

    for (i = 0; i < NGX_COMETA_WAITERS; i++) {
        ngx_queue_init(&ngx_cometa_waiters[i]);
    }

    ngx_queue_init(&ngx_cometa_calls_free);

    return NGX_OK;
}


ngx_cometa_call_t *
ngx_cometa_call_table_get(void)
{
    uint32_t            index, generation;
    ngx_queue_t        *q;
    ngx_cometa_call_t  *call;

    if (ngx_queue_empty(&ngx_cometa_calls_free)
        && ngx_cometa_call_table_grow() != NGX_OK)
    {
        return NULL;
    }

    q = ngx_queue_head(&ngx_cometa_calls_free);
    ngx_queue_remove(q);

    call = ngx_queue_data(q, ngx_cometa_call_t, link);

    index = call->index;
    generation = call->generation;

    ngx_memzero(call, sizeof(ngx_cometa_call_t));

    call->index = index;
    call->generation = generation;

    return call;
}


static ngx_int_t
ngx_cometa_call_table_grow(void)
{
    ngx_uint_t           i, n;
    ngx_cometa_call_t   *chunk, **table;

    n = ngx_cometa_calls_chunks;

    table = ngx_alloc((n + 1) * sizeof(ngx_cometa_call_t *), ngx_cycle->log);
    if (table == NULL) {
        return NGX_ERROR;
    }

    chunk = ngx_calloc(NGX_COMETA_CALL_CHUNK * sizeof(ngx_cometa_call_t),
                       ngx_cycle->log);
    if (chunk == NULL) {
        ngx_free(table);
        return NGX_ERROR;
    }

    if (n) {
        ngx_memcpy(table, ngx_cometa_calls, n * sizeof(ngx_cometa_call_t *));
        ngx_free(ngx_cometa_calls);
    }

    table[n] = chunk;

    ngx_cometa_calls = table;
    ngx_cometa_calls_chunks++;

    for (i = 0; i < NGX_COMETA_CALL_CHUNK; i++) {
        chunk[i].index = n * NGX_COMETA_CALL_CHUNK + i;
        ngx_queue_insert_tail(&ngx_cometa_calls_free, &chunk[i].link);
    }

    return NGX_OK;
}


void
ngx_cometa_call_table_free(ngx_cometa_call_t *call)
{
    call->state = NGX_COMETA_CALL_FREE;
    call->generation++;

    ngx_queue_insert_head(&ngx_cometa_calls_free, &call->link);
}


ngx_cometa_call_t *
ngx_cometa_call_table_find(ngx_cometa_ref_t *ref)
{
    ngx_uint_t          n;
    ngx_cometa_call_t  *call;

    n = ref->index / NGX_COMETA_CALL_CHUNK;

    if (n >= ngx_cometa_calls_chunks) {
        return NULL;
    }

    call = &ngx_cometa_calls[n][ref->index % NGX_COMETA_CALL_CHUNK];

    if (call->generation != ref->generation) {
        return NULL;
    }

    /* a call that is OFFLINE or NEW is at no owner: the answer is old */

    return (call->state == NGX_COMETA_CALL_SENT
            || call->state == NGX_COMETA_CALL_WAITS_TURN
            || call->state == NGX_COMETA_CALL_WRITTEN)
           ? call : NULL;
}


void
ngx_cometa_call_held_add(ngx_cometa_call_t *call)
{
    ngx_queue_insert_tail(&ngx_cometa_owners[call->place.slot].calls,
                          &call->link);
    ngx_cometa_owned++;
}


void
ngx_cometa_call_held_remove(ngx_cometa_call_t *call)
{
    ngx_queue_remove(&call->link);
    ngx_cometa_owned--;
}


ngx_uint_t
ngx_cometa_call_held_any(void)
{
    return ngx_cometa_owned != 0;
}


void
ngx_cometa_call_held_lost(ngx_queue_t *lost)
{
    uint32_t             i, epoch;
    ngx_queue_t         *q, *next;
    ngx_cometa_call_t   *call;
    ngx_cometa_owner_t  *owner;

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {
        owner = &ngx_cometa_owners[i];

        if (ngx_queue_empty(&owner->calls)) {
            continue;
        }

        call = ngx_queue_data(ngx_queue_head(&owner->calls),
                              ngx_cometa_call_t, link);

        (void) ngx_cometa_slot_alive(i, call->place.epoch);

        epoch = __atomic_load_n(&ngx_cometa_zone.slots[i].epoch,
                                __ATOMIC_ACQUIRE);

        if (owner->epoch == epoch) {
            continue;
        }

        owner->epoch = epoch;

        for (q = ngx_queue_head(&owner->calls);
             q != ngx_queue_sentinel(&owner->calls);
             q = next)
        {
            next = ngx_queue_next(q);
            call = ngx_queue_data(q, ngx_cometa_call_t, link);

            if (call->place.epoch != epoch) {
                ngx_queue_remove(q);
                ngx_queue_insert_tail(lost, q);
            }
        }
    }
}


void
ngx_cometa_call_waiters_add(ngx_cometa_call_t *call)
{
    ngx_queue_insert_tail(ngx_cometa_call_waiters(&call->key), &call->link);
}


ngx_uint_t
ngx_cometa_call_waiters_count(ngx_cometa_key_t *key)
{
    ngx_uint_t    n;
    ngx_queue_t  *q, *waiters;

    waiters = ngx_cometa_call_waiters(key);
    n = 0;

    for (q = ngx_queue_head(waiters);
         q != ngx_queue_sentinel(waiters);
         q = ngx_queue_next(q))
    {
        n += ngx_cometa_call_same(ngx_queue_data(q, ngx_cometa_call_t, link),
                                  key);
    }

    return n;
}


void
ngx_cometa_call_waiters_move(ngx_cometa_key_t *key, ngx_queue_t *ready)
{
    ngx_queue_t  *q, *next, *waiters;

    waiters = ngx_cometa_call_waiters(key);

    for (q = ngx_queue_head(waiters);
         q != ngx_queue_sentinel(waiters);
         q = next)
    {
        next = ngx_queue_next(q);

        if (ngx_cometa_call_same(ngx_queue_data(q, ngx_cometa_call_t, link),
                                 key))
        {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(ready, q);
        }
    }
}


static ngx_queue_t *
ngx_cometa_call_waiters(ngx_cometa_key_t *key)
{
    return &ngx_cometa_waiters[key->hash % NGX_COMETA_WAITERS];
}


static ngx_uint_t
ngx_cometa_call_same(ngx_cometa_call_t *call, ngx_cometa_key_t *key)
{
    return call->key.hash == key->hash
           && call->key.app.len == key->app.len
           && call->key.device.len == key->device.len
           && ngx_memcmp(call->key.app.data, key->app.data, key->app.len)
              == 0
           && ngx_memcmp(call->key.device.data, key->device.data,
                         key->device.len) == 0;
}
