
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


static uint32_t ngx_cometa_stats_find(uint32_t app);
static uint32_t ngx_cometa_stats_carve(ngx_cometa_app_t *a);
static uint32_t ngx_cometa_app_find(ngx_str_t *name, uint32_t *seen);


#define ngx_cometa_set(i)  (&ngx_cometa_zone.counters[(i) - 1])


/* The sets of this process, by application; NULL: not looked for yet. */

static ngx_cometa_counters_t  **ngx_cometa_sets;


ngx_int_t
ngx_cometa_stats_start(ngx_cycle_t *cycle)
{
    uint32_t                app, i;
    ngx_cometa_counters_t  *c;

    ngx_cometa_sets = ngx_pcalloc(cycle->pool, ngx_cometa_zone.head->apps
                                       * sizeof(ngx_cometa_counters_t *));
    if (ngx_cometa_sets == NULL) {
        return NGX_ERROR;
    }

    /* the gauges of a dead process, whose counters this one goes on with */

    for (app = 0; app < ngx_cometa_zone.head->napps; app++) {
        i = ngx_cometa_stats_find(app);

        if (i) {
            c = ngx_cometa_set(i);
            ngx_memzero(&c->devices, NGX_COMETA_GAUGES * sizeof(uint64_t));
        }
    }

    return NGX_OK;
}


ngx_cometa_counters_t *
ngx_cometa_stats(uint32_t app)
{
    uint32_t            i;
    ngx_cometa_head_t  *head;

    if (ngx_cometa_sets[app]) {
        return ngx_cometa_sets[app];
    }

    head = ngx_cometa_zone.head;

    i = ngx_cometa_stats_find(app);

    if (i == 0) {
        (void) ngx_cometa_lock(&head->apps_lock);
        i = ngx_cometa_stats_carve(&ngx_cometa_zone.apps[app]);
        ngx_cometa_unlock(&head->apps_lock);
    }

    if (i == 0) {

        /* no room: share another slot's, which every application has */

        i = __atomic_load_n(&ngx_cometa_zone.apps[app].counters,
                            __ATOMIC_ACQUIRE);
    }

    ngx_cometa_sets[app] = ngx_cometa_set(i);

    return ngx_cometa_sets[app];
}


/* The set of this slot; 0: there is none yet. */

static uint32_t
ngx_cometa_stats_find(uint32_t app)
{
    uint32_t  i;

    i = __atomic_load_n(&ngx_cometa_zone.apps[app].counters, __ATOMIC_ACQUIRE);

    while (i && ngx_cometa_set(i)->slot != ngx_cometa_zone.slot) {
        i = ngx_cometa_set(i)->next;
    }

    return i;
}


/*
 * Under apps_lock. A process that dies inside loses one set at most. 0: there
 * is no room.
 */

static uint32_t
ngx_cometa_stats_carve(ngx_cometa_app_t *a)
{
    uint32_t                i;
    ngx_cometa_head_t      *head;
    ngx_cometa_counters_t  *c;

    head = ngx_cometa_zone.head;

    if (head->sets_carved == head->sets) {
        return 0;
    }

    i = ++head->sets_carved;

    c = ngx_cometa_set(i);
    c->slot = ngx_cometa_zone.slot;
    c->next = a->counters;

    __atomic_store_n(&a->counters, i, __ATOMIC_RELEASE);

    return i;
}


void
ngx_cometa_stats_sum(uint32_t app, ngx_cometa_counters_t *sum)
{
    uint32_t                set;
    uint64_t               *to, *from;
    ngx_uint_t              i, n;
    ngx_cometa_slot_t      *s;
    ngx_cometa_counters_t  *c;

    ngx_memzero(sum, sizeof(ngx_cometa_counters_t));

    to = &sum->attached;

    for (set = __atomic_load_n(&ngx_cometa_zone.apps[app].counters,
                               __ATOMIC_ACQUIRE);
         set;
         set = c->next)
    {
        c = ngx_cometa_set(set);
        s = &ngx_cometa_zone.slots[c->slot];

        n = (offsetof(ngx_cometa_counters_t, devices)
             - offsetof(ngx_cometa_counters_t, attached)) / sizeof(uint64_t);

        if (s->pid && ngx_cometa_slot_alive(c->slot, s->epoch)) {
            n += NGX_COMETA_GAUGES;
        }

        from = &c->attached;

        for (i = 0; i < n; i++) {
            to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        }
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
        && (a->counters || ngx_cometa_stats_carve(a)))
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
