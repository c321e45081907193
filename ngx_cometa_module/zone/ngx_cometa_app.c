
/*
 * Applications. Lock: `apps_lock` of the head, to give a place to a name. To
 * find a name no lock is needed: each process has a table of its own, which it
 * brings up to date from the log of names in the zone.
 *
 * A place is taken from its application like this, so that nobody goes on
 * with an index that has come to mean another name:
 *
 *     who gives it away                    who wants to keep it
 *     -----------------                    --------------------
 *     state: USED -> LEAVING               adds one to a gauge
 *     looks at all gauges: is any not 0?   looks: is it USED, by this name?
 *         yes: back to USED                    no: takes it off again
 *         no:  FREE, and another name
 *
 * Each writes before it looks, so one of the two sees the other.
 */

#include "ngx_cometa_app.h"
#include "ngx_cometa.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_APP_LOOK  256        /* places looked at for a free one */
#define NGX_COMETA_APP_IDLE  3600       /* s, an application keeps its counts */
#define NGX_COMETA_APP_TORN  64         /* comparisons that may be disturbed */


/*
 * The table of this process: chains by hash, index + 1, 0 ends. `known` is
 * the number of names that it has learnt of.
 */

typedef struct {
    uint16_t  *first;
    uint16_t  *next;
    uint32_t  *hash;
    uint32_t   mask;
    uint32_t   known;
} ngx_cometa_names_t;


static uint32_t ngx_cometa_app_find(ngx_str_t *name);
static void ngx_cometa_app_learn(void);
static void ngx_cometa_app_learn_all(void);
static void ngx_cometa_app_link(uint32_t app);
static ngx_uint_t ngx_cometa_app_is(uint32_t app, ngx_str_t *name);
static uint32_t ngx_cometa_app_state(uint32_t app);
static uint32_t ngx_cometa_app_take(ngx_str_t *name);
static uint32_t ngx_cometa_app_place(void);
static uint32_t ngx_cometa_app_reclaim(void);
static ngx_uint_t ngx_cometa_app_leave(uint32_t app);
static ngx_uint_t ngx_cometa_app_kept(uint32_t app);
static ngx_uint_t ngx_cometa_app_worth(uint32_t app);
static uint64_t *ngx_cometa_app_gauge(uint32_t app, size_t gauge);


static ngx_cometa_names_t  ngx_cometa_names;


ngx_int_t
ngx_cometa_app_start(ngx_cycle_t *cycle)
{
    uint32_t  n, mask;

    n = ngx_cometa_zone.head->apps;

    for (mask = 64; mask < 2 * n; mask *= 2) {
        /* void */
    }

    ngx_cometa_names.mask = mask - 1;
    ngx_cometa_names.known = 0;

    ngx_cometa_names.first = ngx_pcalloc(cycle->pool, mask * sizeof(uint16_t));
    ngx_cometa_names.next = ngx_pcalloc(cycle->pool, n * sizeof(uint16_t));
    ngx_cometa_names.hash = ngx_pcalloc(cycle->pool, n * sizeof(uint32_t));

    if (ngx_cometa_names.first == NULL
        || ngx_cometa_names.next == NULL
        || ngx_cometa_names.hash == NULL)
    {
        return NGX_ERROR;
    }

    ngx_cometa_app_learn_all();

    return NGX_OK;
}


uint32_t
ngx_cometa_app(ngx_str_t *name, ngx_uint_t create)
{
    uint32_t  app;

    app = ngx_cometa_app_find(name);

    if (app != NGX_COMETA_NONE || !create) {
        return app;
    }

    ngx_cometa_stats_lock();

    app = ngx_cometa_app_take(name);

    ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);

    return app;
}


uint32_t
ngx_cometa_app_keep(ngx_str_t *name, ngx_uint_t create, size_t gauge)
{
    uint32_t   app;
    uint64_t  *g;

    app = ngx_cometa_app_find(name);

    if (app == NGX_COMETA_NONE && !create) {
        return app;
    }

    if (app != NGX_COMETA_NONE) {
        g = ngx_cometa_app_gauge(app, gauge);
        (void) __atomic_add_fetch(g, 1, __ATOMIC_SEQ_CST);

        if (ngx_cometa_app_state(app) == NGX_COMETA_APP_USED
            && ngx_cometa_app_is(app, name))
        {
            goto found;
        }

        (void) __atomic_sub_fetch(g, 1, __ATOMIC_SEQ_CST);
    }

    /* under the lock no place is given away */

    ngx_cometa_stats_lock();

    app = create ? ngx_cometa_app_take(name) : ngx_cometa_app_find(name);

    if (app != NGX_COMETA_NONE) {
        g = ngx_cometa_app_gauge(app, gauge);
        (void) __atomic_add_fetch(g, 1, __ATOMIC_SEQ_CST);
    }

    ngx_cometa_unlock(&ngx_cometa_zone.head->apps_lock);

    if (app == NGX_COMETA_NONE) {
        return app;
    }

found:

    if (ngx_cometa_zone.apps[app].last != (uint32_t) ngx_time()) {
        ngx_cometa_zone.apps[app].last = ngx_time();
    }

    return app;
}


ngx_int_t
ngx_cometa_app_name(uint32_t app, ngx_str_t *name, u_char *buf)
{
    ngx_cometa_app_t  *a;

    a = &ngx_cometa_zone.apps[app];

    if (ngx_cometa_app_state(app) == NGX_COMETA_APP_FREE) {
        return NGX_DECLINED;
    }

    name->len = ngx_min(a->len, NGX_COMETA_ID_MAX);
    name->data = buf;
    ngx_memcpy(buf, a->name, name->len);

    return NGX_OK;
}


ngx_uint_t
ngx_cometa_app_count(void)
{
    uint32_t    app, n;
    ngx_uint_t  count;

    n = __atomic_load_n(&ngx_cometa_zone.head->napps, __ATOMIC_ACQUIRE);
    count = 0;

    for (app = 0; app < n; app++) {
        if (ngx_cometa_app_state(app) != NGX_COMETA_APP_FREE
            && (ngx_cometa_app_worth(app) || ngx_cometa_app_kept(app)))
        {
            count++;
        }
    }

    return count;
}


static uint32_t
ngx_cometa_app_find(ngx_str_t *name)
{
    uint32_t    i;
    ngx_uint_t  h;

    ngx_cometa_app_learn();

    h = ngx_hash_key(name->data, name->len);

    for (i = ngx_cometa_names.first[h & ngx_cometa_names.mask];
         i;
         i = ngx_cometa_names.next[i - 1])
    {
        if (ngx_cometa_app_is(i - 1, name)) {
            return i - 1;
        }
    }

    return NGX_COMETA_NONE;
}


/*
 * If a name changes while it is read here, the log has another cell for that
 * place further on. The cell of a name is written before the name is counted.
 */

static void
ngx_cometa_app_learn(void)
{
    uint32_t            n, app;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;
    n = __atomic_load_n(&head->named, __ATOMIC_ACQUIRE);

    while (ngx_cometa_names.known != n) {

        app = __atomic_load_n(&ngx_cometa_zone.apps[ngx_cometa_names.known
                                                    % head->apps].log,
                              __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&head->named, __ATOMIC_ACQUIRE)
            - ngx_cometa_names.known >= head->apps)
        {
            ngx_cometa_app_learn_all();
            return;
        }

        ngx_cometa_app_link(app);
        ngx_cometa_names.known++;
    }
}


static void
ngx_cometa_app_learn_all(void)
{
    uint32_t  n, i;

    ngx_cometa_names.known = __atomic_load_n(&ngx_cometa_zone.head->named,
                                             __ATOMIC_ACQUIRE);

    n = __atomic_load_n(&ngx_cometa_zone.head->napps, __ATOMIC_ACQUIRE);

    for (i = 0; i < n; i++) {
        ngx_cometa_app_link(i);
    }
}


/*
 * Takes a place out of the chain of its old name, adds it to that of its new.
 */

static void
ngx_cometa_app_link(uint32_t app)
{
    uint16_t            *link;
    ngx_cometa_app_t    *a;
    ngx_cometa_names_t  *names;

    names = &ngx_cometa_names;
    a = &ngx_cometa_zone.apps[app];

    for (link = &names->first[names->hash[app] & names->mask];
         *link;
         link = &names->next[*link - 1])
    {
        if (*link == app + 1) {
            *link = names->next[app];
            break;
        }
    }

    names->hash[app] = ngx_hash_key(a->name,
                                    ngx_min(a->len, NGX_COMETA_ID_MAX));

    link = &names->first[names->hash[app] & names->mask];

    names->next[app] = *link;
    *link = app + 1;
}


/*
 * Whoever gives the place to another name makes it FREE first, and counts the
 * name before the place is USED. If that happens during a comparison, the
 * comparison is repeated: it may have seen bytes of both names.
 */

static ngx_uint_t
ngx_cometa_app_is(uint32_t app, ngx_str_t *name)
{
    uint32_t            named;
    ngx_uint_t          n, same;
    ngx_cometa_app_t   *a;
    ngx_cometa_head_t  *head;

    a = &ngx_cometa_zone.apps[app];
    head = ngx_cometa_zone.head;

    for (n = 0; n < NGX_COMETA_APP_TORN; n++) {
        named = __atomic_load_n(&head->named, __ATOMIC_ACQUIRE);

        same = ngx_cometa_app_state(app) != NGX_COMETA_APP_FREE
               && a->len == name->len
               && ngx_memcmp(a->name, name->data, name->len) == 0;

        __atomic_thread_fence(__ATOMIC_SEQ_CST);

        if (!same || ngx_cometa_app_state(app) == NGX_COMETA_APP_FREE) {
            return 0;
        }

        if (__atomic_load_n(&head->named, __ATOMIC_ACQUIRE) == named) {
            return 1;
        }
    }

    return 0;
}


static uint32_t
ngx_cometa_app_state(uint32_t app)
{
    return __atomic_load_n(&ngx_cometa_zone.apps[app].state,
                           __ATOMIC_SEQ_CST);
}


/* Under the lock: the place of this name; if it has none it gets one. */

static uint32_t
ngx_cometa_app_take(ngx_str_t *name)
{
    uint32_t            app, n;
    ngx_cometa_app_t   *a;
    ngx_cometa_head_t  *head;

    app = ngx_cometa_app_find(name);
    if (app != NGX_COMETA_NONE) {
        return app;
    }

    app = ngx_cometa_app_place();
    if (app == NGX_COMETA_NONE) {
        return app;
    }

    head = ngx_cometa_zone.head;
    a = &ngx_cometa_zone.apps[app];

    /* here, because a process may die between giving up and naming it */

    if (app < head->napps) {
        ngx_cometa_stats_reset(app);
        ngx_cometa_zone.otk_apps[app].dropped = 0;
    }

    ngx_memcpy(a->name, name->data, name->len);
    a->len = name->len;
    a->last = ngx_time();

    if (app == head->napps) {
        ngx_cometa_step(&head->napps, app + 1);
    }

    /* first the cell, then the count, then USED, when all can learn of it */

    n = head->named;

    ngx_cometa_step(&ngx_cometa_zone.apps[n % head->apps].log, app);
    ngx_cometa_step(&head->named, n + 1);
    ngx_cometa_step(&a->state, NGX_COMETA_APP_USED);

    return app;
}


/* A place that has never been used, or was given away. */

static uint32_t
ngx_cometa_app_place(void)
{
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;

    return (head->napps < head->apps) ? head->napps
                                      : ngx_cometa_app_reclaim();
}


/*
 * The next place whose application has nothing worth keeping. If there is none
 * among those looked at, the one that was not used for longest, but for an hour
 * at least.
 */

static uint32_t
ngx_cometa_app_reclaim(void)
{
    uint32_t            i, n, app, oldest;
    ngx_cometa_app_t   *apps;
    ngx_cometa_head_t  *head;

    head = ngx_cometa_zone.head;
    apps = ngx_cometa_zone.apps;
    oldest = NGX_COMETA_NONE;

    /* the gauges of dead workers are void when their death was noticed */

    for (i = 0; i < head->slots; i++) {
        (void) ngx_cometa_slot_alive(i, ngx_cometa_zone.slots[i].epoch);
    }

    n = ngx_min(head->apps, NGX_COMETA_APP_LOOK);

    for (i = 0; i < n; i++) {
        app = head->hand;
        head->hand = (app + 1) % head->apps;

        if (ngx_cometa_app_state(app) == NGX_COMETA_APP_FREE) {
            return app;
        }

        if (ngx_cometa_app_kept(app)) {
            continue;
        }

        if (!ngx_cometa_app_worth(app)) {
            if (ngx_cometa_app_leave(app)) {
                return app;
            }

            continue;
        }

        if ((uint32_t) ngx_time() - apps[app].last >= NGX_COMETA_APP_IDLE
            && (oldest == NGX_COMETA_NONE
                || apps[app].last < apps[oldest].last))
        {
            oldest = app;
        }
    }

    if (oldest != NGX_COMETA_NONE && ngx_cometa_app_leave(oldest)) {
        return oldest;
    }

    return NGX_COMETA_NONE;
}


/* Takes its place away; 0: somebody has begun to use it meanwhile. */

static ngx_uint_t
ngx_cometa_app_leave(uint32_t app)
{
    ngx_cometa_app_t  *a;

    a = &ngx_cometa_zone.apps[app];

    (void) __atomic_exchange_n(&a->state, NGX_COMETA_APP_LEAVING,
                               __ATOMIC_SEQ_CST);

    if (ngx_cometa_app_kept(app)) {
        __atomic_store_n(&a->state, NGX_COMETA_APP_USED, __ATOMIC_SEQ_CST);
        return 0;
    }

    __atomic_store_n(&a->state, NGX_COMETA_APP_FREE, __ATOMIC_SEQ_CST);

    return 1;
}


/* Whether anything refers to the place: a gauge of any worker, or a key. */

static ngx_uint_t
ngx_cometa_app_kept(uint32_t app)
{
    uint64_t               all;
    ngx_uint_t             i;
    ngx_cometa_gauges_t   *g;
    ngx_cometa_otk_app_t  *keys;

    keys = &ngx_cometa_zone.otk_apps[app];

    if (__atomic_load_n(&keys->n, __ATOMIC_SEQ_CST)
        && __atomic_load_n(&keys->expires, __ATOMIC_SEQ_CST)
           > ngx_cometa_now())
    {
        return 1;
    }

    for (i = 0; i < ngx_cometa_zone.head->slots; i++) {

        if (__atomic_load_n(&ngx_cometa_zone.slots[i].pid, __ATOMIC_ACQUIRE)
            == 0)
        {
            continue;
        }

        g = ngx_cometa_gauges(i, app);

        all = __atomic_load_n(&g->holds, __ATOMIC_SEQ_CST)
              | __atomic_load_n(&g->devices, __ATOMIC_SEQ_CST)
              | __atomic_load_n(&g->calls, __ATOMIC_SEQ_CST)
              | __atomic_load_n(&g->websockets, __ATOMIC_SEQ_CST)
              | __atomic_load_n(&g->webhook_queued, __ATOMIC_SEQ_CST);

        if (all) {
            return 1;
        }
    }

    return 0;
}


/* Whether it has counted an answered call or an event; attaches are none. */

static ngx_uint_t
ngx_cometa_app_worth(uint32_t app)
{
    ngx_cometa_counters_t  sum;

    ngx_cometa_stats_sum(app, &sum);

    return sum.messages || sum.events;
}


static uint64_t *
ngx_cometa_app_gauge(uint32_t app, size_t gauge)
{
    return (uint64_t *) ((u_char *) ngx_cometa_gauges(ngx_cometa_zone.slot,
                                                      app)
                         + gauge);
}
