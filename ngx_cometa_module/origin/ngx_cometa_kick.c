
/*
 * Devices that their application ends by the thousand. All state is this
 * process's own. One timer serves all of them in turn; it is not cancelable, so
 * a worker that leaves finishes what it has begun. Each device is ended by a
 * call to its owner, wherever it has moved meanwhile; the ids of the calls
 * under way stay in `ids` until the last of them has ended.
 */

#include "ngx_cometa_kick.h"
#include "ngx_cometa.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_call.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_KICK_MAX      64     /* of this worker */
#define NGX_COMETA_KICK_APP      4      /* of an application, here */
#define NGX_COMETA_KICK_SLICES   32     /* of the registry, in one turn */
#define NGX_COMETA_KICK_ROUNDS   100    /* tries for those that move */
#define NGX_COMETA_KICK_TIMEOUT  5000   /* ms, for the answer of an owner */


struct ngx_cometa_kick_s {
    ngx_queue_t       link;
    uint32_t          app;              /* held, or NGX_COMETA_NONE */
    uint32_t          cursor;
    uint64_t          newest;           /* session that is meant */
    ngx_uint_t        total;
    ngx_uint_t        ended;
    ngx_uint_t        given_up;

    ngx_str_t         name;             /* of the application */
    ngx_str_t         prefix;
    u_char            text[2 * NGX_COMETA_ID_MAX];

    ngx_uint_t        n;                /* of ids */
    ngx_uint_t        next;
    ngx_uint_t        out;              /* calls under way */
    ngx_uint_t        rounds;
    unsigned          started:1;
    ngx_cometa_id_t   ids[NGX_COMETA_WALK_MAX];     /* len 0: it is done */
};


static void ngx_cometa_kick_fill(ngx_cometa_kick_t *kick);
static ngx_uint_t ngx_cometa_kick_meant(ngx_cometa_kick_t *kick,
    ngx_cometa_id_t *id);
static void ngx_cometa_kick_step(ngx_event_t *ev);
static ngx_int_t ngx_cometa_kick_turn(ngx_cometa_kick_t *kick,
    ngx_uint_t *slices);
static void ngx_cometa_kick_again(ngx_cometa_kick_t *kick);
static ngx_int_t ngx_cometa_kick_one(ngx_cometa_kick_t *kick);
static void ngx_cometa_kick_ended(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static void ngx_cometa_kick_done(ngx_cometa_kick_t *kick);


static ngx_queue_t        ngx_cometa_kicks;     /* those that count as well */
static ngx_uint_t         ngx_cometa_kicks_n;
static ngx_event_t        ngx_cometa_kick_event;
static ngx_cometa_pace_t  ngx_cometa_kick_pace;


void
ngx_cometa_kick_init(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_kicks);

    ngx_cometa_kick_event.handler = ngx_cometa_kick_step;
    ngx_cometa_kick_event.data = &ngx_cometa_kick_event;
    ngx_cometa_kick_event.log = cycle->log;
}


ngx_cometa_kick_t *
ngx_cometa_kick_create(ngx_str_t *app, ngx_str_t *prefix)
{
    ngx_uint_t          n;
    ngx_queue_t        *q;
    ngx_cometa_kick_t  *kick;

    n = 0;

    for (q = ngx_queue_head(&ngx_cometa_kicks);
         q != ngx_queue_sentinel(&ngx_cometa_kicks);
         q = ngx_queue_next(q))
    {
        kick = ngx_queue_data(q, ngx_cometa_kick_t, link);

        n += (kick->name.len == app->len
              && ngx_memcmp(kick->name.data, app->data, app->len) == 0);
    }

    if (n >= NGX_COMETA_KICK_APP
        || ngx_cometa_kicks_n >= NGX_COMETA_KICK_MAX)
    {
        return NULL;
    }

    kick = ngx_calloc(sizeof(ngx_cometa_kick_t), ngx_cycle->log);
    if (kick == NULL) {
        return NULL;
    }

    kick->name.data = kick->text;
    kick->name.len = app->len;
    ngx_memcpy(kick->name.data, app->data, app->len);

    kick->prefix.data = kick->text + app->len;
    kick->prefix.len = prefix->len;
    ngx_memcpy(kick->prefix.data, prefix->data, prefix->len);

    kick->newest = ngx_cometa_registry_newest();
    kick->app = ngx_cometa_app_hold(&kick->name, 0, holds);

    if (kick->app == NGX_COMETA_NONE) {
        kick->cursor = NGX_COMETA_NONE;
    }

    ngx_queue_insert_tail(&ngx_cometa_kicks, &kick->link);
    ngx_cometa_kicks_n++;

    return kick;
}


void
ngx_cometa_kick_free(ngx_cometa_kick_t *kick)
{
    if (kick->app != NGX_COMETA_NONE) {
        ngx_cometa_gauge_add(kick->app, holds, -1);
    }

    ngx_queue_remove(&kick->link);
    ngx_cometa_kicks_n--;

    ngx_free(kick);
}


ngx_int_t
ngx_cometa_kick_count(ngx_cometa_kick_t *kick, ngx_uint_t *total)
{
    ngx_cometa_kick_fill(kick);

    kick->total += kick->n;

    if (kick->cursor != NGX_COMETA_NONE) {
        return NGX_AGAIN;
    }

    *total = kick->total;

    return NGX_OK;
}


void
ngx_cometa_kick_start(ngx_cometa_kick_t *kick)
{
    if (kick->total == 0) {
        ngx_cometa_kick_free(kick);
        return;
    }

    kick->started = 1;
    kick->cursor = 0;
    kick->n = 0;

    if (!ngx_cometa_kick_event.timer_set) {
        ngx_add_timer(&ngx_cometa_kick_event, 0);
    }
}


/* Reads the next slice of the registry, of which no id is used any more. */

static void
ngx_cometa_kick_fill(ngx_cometa_kick_t *kick)
{
    ngx_uint_t  i, n;

    n = 0;
    kick->n = 0;
    kick->next = 0;
    kick->rounds = 0;

    if (kick->cursor != NGX_COMETA_NONE) {
        n = ngx_cometa_registry_walk(kick->app, &kick->cursor, kick->ids);
    }

    for (i = 0; i < n; i++) {
        if (ngx_cometa_kick_meant(kick, &kick->ids[i])) {
            kick->ids[kick->n++] = kick->ids[i];
        }
    }
}


static ngx_uint_t
ngx_cometa_kick_meant(ngx_cometa_kick_t *kick, ngx_cometa_id_t *id)
{
    return id->session <= kick->newest
           && id->len >= kick->prefix.len
           && ngx_memcmp(id->data, kick->prefix.data, kick->prefix.len) == 0;
}


/*
 * Ends as many as the rate allows now, one of each application in turn, and
 * does no more than a bounded walk.
 */

static void
ngx_cometa_kick_step(ngx_event_t *ev)
{
    ngx_int_t           rc;
    ngx_uint_t          n, idle, slices;
    ngx_queue_t        *q;
    ngx_cometa_kick_t  *kick;

    n = ngx_cometa_drain_pace(&ngx_cometa_kick_pace);
    slices = NGX_COMETA_KICK_SLICES;

    for (idle = 0; n && idle < ngx_cometa_kicks_n; /* void */) {
        q = ngx_queue_head(&ngx_cometa_kicks);
        kick = ngx_queue_data(q, ngx_cometa_kick_t, link);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_cometa_kicks, q);

        rc = ngx_cometa_kick_turn(kick, &slices);

        if (rc == NGX_DONE) {
            ngx_cometa_kick_done(kick);
            idle = 0;

        } else if (rc == NGX_OK) {
            n--;
            idle = 0;

        } else {
            idle++;
        }
    }

    if (ngx_cometa_kicks_n) {
        ngx_add_timer(ev, ngx_cometa_drain_pause());
    }
}


/* NGX_OK: it has ended one. NGX_AGAIN: not now. NGX_DONE: there is none. */

static ngx_int_t
ngx_cometa_kick_turn(ngx_cometa_kick_t *kick, ngx_uint_t *slices)
{
    if (!kick->started) {
        return NGX_AGAIN;
    }

    while (kick->next == kick->n) {

        if (kick->out) {
            return NGX_AGAIN;
        }

        ngx_cometa_kick_again(kick);

        if (kick->n) {
            /* those that were on their way are tried in another turn */
            return NGX_AGAIN;
        }

        if (kick->cursor == NGX_COMETA_NONE) {
            return NGX_DONE;
        }

        if (*slices == 0) {
            return NGX_AGAIN;
        }

        (*slices)--;

        ngx_cometa_kick_fill(kick);
    }

    return ngx_cometa_kick_one(kick);
}


/* What is left of the ids: devices that were moving, or gave no answer. */

static void
ngx_cometa_kick_again(ngx_cometa_kick_t *kick)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < kick->n; i++) {
        if (kick->ids[i].len) {
            kick->ids[n++] = kick->ids[i];
        }
    }

    kick->n = n;
    kick->next = 0;

    if (n && ++kick->rounds >= NGX_COMETA_KICK_ROUNDS) {
        kick->given_up += n;
        kick->n = 0;
    }
}


static ngx_int_t
ngx_cometa_kick_one(ngx_cometa_kick_t *kick)
{
    ngx_cometa_id_t    *id;
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_create();
    if (call == NULL) {
        return NGX_AGAIN;
    }

    id = &kick->ids[kick->next++];

    call->key.app = kick->name;
    call->key.device.data = id->data;
    call->key.device.len = id->len;
    ngx_cometa_key_init(&call->key);

    call->timeout = NGX_COMETA_KICK_TIMEOUT;
    call->query = 1;
    call->kick = 1;
    call->only = id->session;
    call->handler = ngx_cometa_kick_ended;
    call->data = kick;

    kick->out++;

    ngx_cometa_call_begin(call);

    return NGX_OK;
}


static void
ngx_cometa_kick_ended(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_cometa_id_t    *id;
    ngx_cometa_kick_t  *kick;

    kick = call->data;
    kick->out--;

    if (error != NGX_COMETA_OK && error != NGX_COMETA_DEVICE_OFFLINE) {
        return;
    }

    id = (ngx_cometa_id_t *) (call->key.device.data
                              - offsetof(ngx_cometa_id_t, data));
    id->len = 0;

    kick->ended += (error == NGX_COMETA_OK);
}


static void
ngx_cometa_kick_done(ngx_cometa_kick_t *kick)
{
    ngx_uint_t  level;

    level = kick->given_up ? NGX_LOG_WARN : NGX_LOG_INFO;

    ngx_log_error(level, ngx_cycle->log, 0,
                  "%ui of %ui devices were ended for their application, %ui "
                  "did not answer, devices: \"%V/%V*\"", kick->ended,
                  kick->total, kick->given_up, &kick->name, &kick->prefix);

    ngx_cometa_kick_free(kick);
}
