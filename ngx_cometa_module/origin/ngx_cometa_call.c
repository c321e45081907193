
/*
 * The origin's side of calls. All state is this process's own.
 *
 *     start --> SENT ----------------------------------> end
 *                |  \--QUEUED--> WAITS_TURN --WRITTEN--> WRITTEN --> end
 *                |                   |
 *                 `----- MOVED ------+--> start again, within the deadline
 *
 *     offline, and asked to wait: OFFLINE --ONLINE--> start again
 *
 * A call is sent again only if it is certain that nothing of it was written:
 * its owner said MOVED, or died before it took the mail from its ring.
 */

#include "ngx_cometa_call.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_CALL_CHUNK  64
#define NGX_COMETA_CALL_TRIES  16       /* places tried for one call */
#define NGX_COMETA_CALL_WATCH  50       /* ms, between looks for dead owners */
#define NGX_COMETA_WAITERS     256      /* queues of calls for an attach */


typedef enum {
    NGX_COMETA_CALL_FREE = 0,
    NGX_COMETA_CALL_NEW,
    NGX_COMETA_CALL_SENT,
    NGX_COMETA_CALL_WAITS_TURN,
    NGX_COMETA_CALL_WRITTEN,
    NGX_COMETA_CALL_OFFLINE
} ngx_cometa_call_state_e;


/* Calls that other workers hold for us, by the slot of the owner. */

typedef struct {
    ngx_queue_t           calls;
    uint32_t              epoch;        /* when it was last looked at */
} ngx_cometa_owner_t;


static ngx_int_t ngx_cometa_call_grow(void);
static void ngx_cometa_call_free(ngx_cometa_call_t *call);
static void ngx_cometa_call_end(ngx_cometa_call_t *call, ngx_uint_t error,
    u_char *data, size_t len);
static void ngx_cometa_call_count(ngx_cometa_call_t *call, ngx_uint_t error);
static void ngx_cometa_call_route(ngx_cometa_call_t *call);
static ngx_int_t ngx_cometa_call_send(ngx_cometa_call_t *call);
static void ngx_cometa_call_offline(ngx_cometa_call_t *call);
static void ngx_cometa_call_arm(ngx_cometa_call_t *call, uint64_t due);
static void ngx_cometa_call_unlink(ngx_cometa_call_t *call);
static void ngx_cometa_call_timer(ngx_event_t *ev);
static void ngx_cometa_call_withdraw(ngx_cometa_call_t *call);
static ngx_cometa_call_t *ngx_cometa_call_get(ngx_cometa_ref_t *ref);
static ngx_queue_t *ngx_cometa_call_waiters(ngx_cometa_key_t *key);
static ngx_uint_t ngx_cometa_call_same(ngx_cometa_call_t *call,
    ngx_cometa_key_t *key);
static void ngx_cometa_call_attached(u_char *body, size_t len);
static void ngx_cometa_call_watch(ngx_event_t *ev);
static void ngx_cometa_call_lost(ngx_cometa_call_t *call);


static ngx_cometa_call_t  **ngx_cometa_calls;
static ngx_uint_t           ngx_cometa_calls_chunks;
static ngx_queue_t          ngx_cometa_calls_free;

static ngx_cometa_owner_t  *ngx_cometa_owners;
static ngx_uint_t           ngx_cometa_owned;       /* calls in all of them */
static ngx_event_t          ngx_cometa_watch;

static ngx_queue_t          ngx_cometa_waiters[NGX_COMETA_WAITERS];


ngx_int_t
ngx_cometa_call_start(ngx_cycle_t *cycle)
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

    ngx_cometa_watch.handler = ngx_cometa_call_watch;
    ngx_cometa_watch.log = cycle->log;
    ngx_cometa_watch.data = ngx_cometa_owners;

    return NGX_OK;
}


ngx_cometa_call_t *
ngx_cometa_call_create(void)
{
    uint32_t            index, generation;
    ngx_queue_t        *q;
    ngx_cometa_call_t  *call;

    if (ngx_queue_empty(&ngx_cometa_calls_free)
        && ngx_cometa_call_grow() != NGX_OK)
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
    call->state = NGX_COMETA_CALL_NEW;
    call->app = NGX_COMETA_NONE;

    call->timer.handler = ngx_cometa_call_timer;
    call->timer.data = call;
    call->timer.log = ngx_cycle->log;

    return call;
}


static ngx_int_t
ngx_cometa_call_grow(void)
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


static void
ngx_cometa_call_free(ngx_cometa_call_t *call)
{
    ngx_cometa_expect(call->state != NGX_COMETA_CALL_FREE);

    call->state = NGX_COMETA_CALL_FREE;
    call->generation++;

    ngx_queue_insert_head(&ngx_cometa_calls_free, &call->link);
}


void
ngx_cometa_call_begin(ngx_cometa_call_t *call)
{
    call->time = ngx_cometa_now();
    call->deadline = ngx_current_msec + call->timeout;
    call->online = ngx_current_msec + ngx_min(call->wait, call->timeout);

    call->app = ngx_cometa_app_hold(&call->key.app, 0, calls);

    ngx_cometa_call_arm(call, call->deadline);
    ngx_cometa_call_route(call);
}


/* ngx_add_timer() alone leaves a timer that is set where it is, if near. */

static void
ngx_cometa_call_arm(ngx_cometa_call_t *call, uint64_t due)
{
    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    ngx_add_timer(&call->timer, due > ngx_current_msec
                                ? due - ngx_current_msec : 0);
}


/* The last thing that its callers do with the call: it may have ended. */

static void
ngx_cometa_call_route(ngx_cometa_call_t *call)
{
    ngx_int_t  rc;

    while (call->tries++ < NGX_COMETA_CALL_TRIES) {

        if (ngx_cometa_registry_find(&call->key, &call->place) != NGX_OK) {
            ngx_cometa_call_offline(call);
            return;
        }

        rc = ngx_cometa_call_send(call);

        if (rc == NGX_OK) {
            return;
        }

        if (rc == NGX_BUSY) {
            ngx_cometa_call_end(call, NGX_COMETA_OVERLOADED, NULL, 0);
            return;
        }

        /* its worker has just died: it is offline, or elsewhere already */
    }

    /* nothing was written: wherever it was looked for it had moved on */

    ngx_cometa_call_end(call, NGX_COMETA_DEVICE_BUSY, NULL, 0);
}


static ngx_int_t
ngx_cometa_call_send(ngx_cometa_call_t *call)
{
    ngx_int_t            rc;
    ngx_uint_t           remote;
    ngx_cometa_mail_t    mail;
    ngx_cometa_owner_t  *owner;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_t));

    mail.type = call->query ? NGX_COMETA_MAIL_QUERY : NGX_COMETA_MAIL_CALL;
    mail.queue = call->queue;
    mail.handle = call->place.handle;
    mail.timeout = call->owe;
    mail.session = call->place.session;
    mail.deadline = call->deadline;
    mail.time = call->time;

    mail.ref.slot = ngx_cometa_zone.slot;
    mail.ref.epoch = ngx_cometa_zone.epoch;
    mail.ref.index = call->index;
    /* what is said of an earlier try is not said of this one */
    mail.ref.generation = ++call->generation;

    remote = (call->place.slot != ngx_cometa_zone.slot);

    call->remote = remote;
    call->session = call->place.session;
    call->state = NGX_COMETA_CALL_SENT;

    rc = ngx_cometa_mailbox_ask(call->place.slot, call->place.epoch, &mail,
                                &call->message, &call->pos);

    /* delivered on the spot if not remote: the call may be gone */

    if (rc != NGX_OK || !remote) {
        return rc;
    }

    owner = &ngx_cometa_owners[call->place.slot];

    ngx_queue_insert_tail(&owner->calls, &call->link);
    ngx_cometa_owned++;

    if (!ngx_cometa_watch.timer_set) {
        ngx_add_timer(&ngx_cometa_watch, NGX_COMETA_CALL_WATCH);
    }

    return NGX_OK;
}


/*
 * Announces the wait first and looks up the device once more then: whoever
 * enters it after that look sees the announcement.
 */

static void
ngx_cometa_call_offline(ngx_cometa_call_t *call)
{
    ngx_uint_t          n;
    ngx_queue_t        *q, *waiters;
    ngx_cometa_place_t  place;

    if (call->online <= ngx_current_msec || call->query) {
        ngx_cometa_call_end(call, NGX_COMETA_DEVICE_OFFLINE, NULL, 0);
        return;
    }

    waiters = ngx_cometa_call_waiters(&call->key);
    n = 0;

    for (q = ngx_queue_head(waiters);
         q != ngx_queue_sentinel(waiters);
         q = ngx_queue_next(q))
    {
        n += ngx_cometa_call_same(ngx_queue_data(q, ngx_cometa_call_t, link),
                                  &call->key);
    }

    if (n >= call->queue) {
        ngx_cometa_call_end(call, NGX_COMETA_DEVICE_BUSY, NULL, 0);
        return;
    }

    call->state = NGX_COMETA_CALL_OFFLINE;
    ngx_queue_insert_tail(waiters, &call->link);

    ngx_cometa_interest_add(call->key.hash);

    if (ngx_cometa_registry_find(&call->key, &place) == NGX_OK) {
        ngx_cometa_call_unlink(call);
        ngx_cometa_call_route(call);
        return;
    }

    ngx_cometa_call_arm(call, call->online);
}


/* Takes it out of whatever list its state says it is in. */

static void
ngx_cometa_call_unlink(ngx_cometa_call_t *call)
{
    switch (call->state) {

    case NGX_COMETA_CALL_OFFLINE:
        ngx_queue_remove(&call->link);

        ngx_cometa_interest_remove(call->key.hash);

        /* from the wait for an attach back to the deadline */
        ngx_cometa_call_arm(call, call->deadline);

        break;

    case NGX_COMETA_CALL_SENT:
    case NGX_COMETA_CALL_WAITS_TURN:
    case NGX_COMETA_CALL_WRITTEN:

        if (call->link.next) {
            ngx_queue_remove(&call->link);
            ngx_cometa_owned--;
        }

        break;
    }

    call->link.next = NULL;
    call->state = NGX_COMETA_CALL_NEW;
}


static void
ngx_cometa_call_end(ngx_cometa_call_t *call, ngx_uint_t error, u_char *data,
    size_t len)
{
    ngx_cometa_call_unlink(call);

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    ngx_cometa_call_count(call, error);

    call->handler(call, error, data, len);

    ngx_cometa_call_free(call);
}


static void
ngx_cometa_call_count(ngx_cometa_call_t *call, ngx_uint_t error)
{
    /* the application may have become known while the call waited */

    if (call->app == NGX_COMETA_NONE) {
        call->app = ngx_cometa_app_hold(&call->key.app, 0, calls);
    }

    if (call->app == NGX_COMETA_NONE) {
        return;
    }

    if (call->query) {
        /* void */

    } else if (error == NGX_COMETA_OK) {
        ngx_cometa_stats_add(call->app, messages, 1);
        ngx_cometa_stats_latency(call->app, call->latency);

    } else {
        ngx_cometa_stats_add(call->app, failed[error], 1);
    }

    /* last, for it keeps the place of the application */

    ngx_cometa_gauge_add(call->app, calls, -1);
}


void
ngx_cometa_call_cancel(ngx_cometa_call_t *call)
{
    ngx_cometa_call_withdraw(call);
    ngx_cometa_call_unlink(call);

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    if (call->app != NGX_COMETA_NONE) {
        ngx_cometa_gauge_add(call->app, calls, -1);
    }

    ngx_cometa_call_free(call);
}


static void
ngx_cometa_call_timer(ngx_event_t *ev)
{
    ngx_cometa_call_t  *call;

    call = ev->data;

    ngx_cometa_expect(call->state != NGX_COMETA_CALL_FREE);

    if (call->state == NGX_COMETA_CALL_OFFLINE
        && call->deadline > ngx_current_msec)
    {
        ngx_cometa_call_end(call, NGX_COMETA_DEVICE_OFFLINE, NULL, 0);
        return;
    }

    ngx_cometa_call_withdraw(call);
    ngx_cometa_call_end(call, NGX_COMETA_DEVICE_TIMEOUT, NULL, 0);
}


/* Tells the owner that nobody waits for the reply any more. */

static void
ngx_cometa_call_withdraw(ngx_cometa_call_t *call)
{
    ngx_str_t          body;
    ngx_cometa_mail_t  mail;

    if (call->state != NGX_COMETA_CALL_SENT
        && call->state != NGX_COMETA_CALL_WAITS_TURN
        && call->state != NGX_COMETA_CALL_WRITTEN)
    {
        return;
    }

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_t));
    ngx_str_null(&body);

    mail.type = NGX_COMETA_MAIL_CANCEL;
    mail.app = call->place.app;
    mail.handle = call->place.handle;
    mail.session = call->place.session;

    mail.ref.slot = ngx_cometa_zone.slot;
    mail.ref.epoch = ngx_cometa_zone.epoch;
    mail.ref.index = call->index;
    mail.ref.generation = call->generation;

    ngx_cometa_mailbox_tell(call->place.slot, call->place.epoch, &mail,
                            &body);
}


static ngx_cometa_call_t *
ngx_cometa_call_get(ngx_cometa_ref_t *ref)
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

    /* OFFLINE and NEW are not at any owner: no answer is theirs */

    return (call->state == NGX_COMETA_CALL_SENT
            || call->state == NGX_COMETA_CALL_WAITS_TURN
            || call->state == NGX_COMETA_CALL_WRITTEN)
           ? call : NULL;
}


void
ngx_cometa_call_deliver(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    ngx_cometa_call_t  *call;

    if (mail->type == NGX_COMETA_MAIL_ONLINE) {
        ngx_cometa_call_attached(body, len);
        return;
    }

    call = ngx_cometa_call_get(&mail->ref);

    if (call == NULL) {

        if (mail->type == NGX_COMETA_MAIL_REPLY) {
            ngx_cometa_stats_add(mail->app, late, 1);
        }

        return;
    }

    switch (mail->type) {

    case NGX_COMETA_MAIL_REPLY:
        call->latency = mail->time;
        ngx_cometa_call_end(call, NGX_COMETA_OK, body, len);
        return;

    case NGX_COMETA_MAIL_QUEUED:
        call->state = NGX_COMETA_CALL_WAITS_TURN;
        return;

    case NGX_COMETA_MAIL_WRITTEN:
        call->state = NGX_COMETA_CALL_WRITTEN;
        return;

    case NGX_COMETA_MAIL_FAIL:

        if (mail->error == NGX_COMETA_MOVED) {
            ngx_cometa_call_unlink(call);
            ngx_cometa_call_route(call);
            return;
        }

        ngx_cometa_call_end(call, mail->error, NULL, 0);
        return;
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


void
ngx_cometa_call_online(ngx_cometa_key_t *key)
{
    u_char             *p, name[2 * NGX_COMETA_ID_MAX + 1];
    ngx_str_t           body;
    ngx_cometa_mail_t   mail;

    p = ngx_cpymem(name, key->app.data, key->app.len);
    *p++ = '\0';
    p = ngx_cpymem(p, key->device.data, key->device.len);

    body.data = name;
    body.len = p - name;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_t));
    mail.type = NGX_COMETA_MAIL_ONLINE;
    mail.app = ngx_cometa_app(&key->app, 0);

    ngx_cometa_interest_tell(key->hash, &mail, &body);
}


static void
ngx_cometa_call_attached(u_char *body, size_t len)
{
    u_char             *p;
    ngx_queue_t        *q, *next, *waiters, ready;
    ngx_cometa_key_t    key;
    ngx_cometa_call_t  *call;

    p = ngx_strlchr(body, body + len, '\0');
    if (p == NULL) {
        return;
    }

    key.app.data = body;
    key.app.len = p - body;
    key.device.data = p + 1;
    key.device.len = body + len - (p + 1);
    ngx_cometa_key_init(&key);

    waiters = ngx_cometa_call_waiters(&key);
    ngx_queue_init(&ready);

    for (q = ngx_queue_head(waiters);
         q != ngx_queue_sentinel(waiters);
         q = next)
    {
        next = ngx_queue_next(q);
        call = ngx_queue_data(q, ngx_cometa_call_t, link);

        if (ngx_cometa_call_same(call, &key)) {
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&ready, q);
        }
    }

    /* routing ends calls, and what that leads to may cancel others of them */

    while (!ngx_queue_empty(&ready)) {
        call = ngx_queue_data(ngx_queue_head(&ready), ngx_cometa_call_t,
                              link);
        ngx_cometa_call_unlink(call);
        ngx_cometa_call_route(call);
    }
}


/* Dead owners are noticed by their slots; see ngx_cometa_zone.h. */

static void
ngx_cometa_call_watch(ngx_event_t *ev)
{
    ngx_cometa_call_deaths();

    if (ngx_cometa_owned) {
        ngx_add_timer(ev, NGX_COMETA_CALL_WATCH);
    }
}


void
ngx_cometa_call_deaths(void)
{
    uint32_t             i, epoch;
    ngx_queue_t         *q, *next, lost;
    ngx_cometa_call_t   *call;
    ngx_cometa_owner_t  *owner;

    ngx_queue_init(&lost);

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
                ngx_queue_insert_tail(&lost, q);
            }
        }
    }

    if (ngx_queue_empty(&lost)) {
        return;
    }

    /* what their owners said last may still lie in the ring */

    ngx_cometa_mailbox_collect();

    while (!ngx_queue_empty(&lost)) {
        ngx_cometa_call_lost(ngx_queue_data(ngx_queue_head(&lost),
                                            ngx_cometa_call_t, link));
    }
}


static void
ngx_cometa_call_lost(ngx_cometa_call_t *call)
{
    ngx_uint_t          written;
    ngx_cometa_slot_t  *slot;

    slot = &ngx_cometa_zone.slots[call->place.slot];

    switch (call->state) {

    case NGX_COMETA_CALL_WAITS_TURN:
        written = 0;
        break;

    case NGX_COMETA_CALL_SENT:

        /* if its ring tells no more, it has to be taken for written */

        written = slot->last_epoch != call->place.epoch
                  || slot->last_begun > call->pos;
        break;

    default: /* NGX_COMETA_CALL_WRITTEN */
        written = 1;
    }

    if (written && !call->query) {
        ngx_cometa_call_end(call, NGX_COMETA_WORKER_LOST, NULL, 0);
        return;
    }

    ngx_cometa_call_unlink(call);
    ngx_cometa_call_route(call);
}
