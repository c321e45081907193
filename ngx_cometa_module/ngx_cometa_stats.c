
/*
 * Counters, and the names of applications that index them. A worker writes
 * the sets of its own slot and takes no lock; a new application is appended
 * under `apps_lock`, and never leaves while the zone lives.
 */

#include "ngx_cometa_stats.h"


/* From `devices` on; without the padding behind them. */

#define NGX_COMETA_GAUGES                                                     \
    ((offsetof(ngx_cometa_counters_t, webhook_queued)                         \
      - offsetof(ngx_cometa_counters_t, devices)) / sizeof(uint64_t) + 1)


static uint32_t ngx_cometa_app_find(ngx_str_t *name, uint32_t *seen);


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    return &ngx_cometa_zone.counters[(size_t) ngx_cometa_zone.slot
                                     * ngx_cometa_zone.head->apps + app];
}


void
ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum)
{
    uint64_t               *to, *from;
    uint32_t                slot;
    ngx_uint_t              i, n;
    ngx_cometa_slot_t      *s;
    ngx_cometa_counters_t  *c;

    ngx_memzero(sum, sizeof(ngx_cometa_counters_t));

    to = (uint64_t *) sum;

    for (slot = 0; slot < ngx_cometa_zone.head->slots; slot++) {
        s = &ngx_cometa_zone.slots[slot];
        c = &ngx_cometa_zone.counters[(size_t) slot
                                      * ngx_cometa_zone.head->apps + app];

        n = offsetof(ngx_cometa_counters_t, devices) / sizeof(uint64_t);

        if (s->pid && ngx_cometa_slot_alive(slot, s->epoch)) {
            n += NGX_COMETA_GAUGES;
        }

        from = (uint64_t *) c;

        for (i = 0; i < n; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
    }
}


void
ngx_cometa_stats_start(void)
{
    uint32_t                i;
    ngx_cometa_counters_t  *c;

    for (i = 0; i < ngx_cometa_zone.head->napps; i++) {
        c = ngx_cometa_stats(i);
        c->devices = 0;
        c->calls = 0;
        c->queued = 0;
        c->websockets = 0;
        c->webhook_queued = 0;
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

    if (app == NGX_COMETA_NONE && n < head->apps) {
        app = n;
        a = &ngx_cometa_zone.apps[app];

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
