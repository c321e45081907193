
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
 * its owner said MOVED, or died before it took the letter from its ring.
 */

#include "ngx_cometa_call.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa.h"
#include "ngx_cometa_probe.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_call_end.h"
#include "ngx_cometa_call_table.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_CALL_TRIES  16       /* places tried for one call */


static void ngx_cometa_call_ref(ngx_cometa_call_t *call,
    ngx_cometa_ref_t *ref);
static ngx_int_t ngx_cometa_call_post(ngx_cometa_call_t *call,
    ngx_cometa_place_t *to);
static ngx_int_t ngx_cometa_call_send(ngx_cometa_call_t *call);
static void ngx_cometa_call_offline(ngx_cometa_call_t *call);
static void ngx_cometa_call_timer(ngx_event_t *ev);
static void ngx_cometa_call_withdraw(ngx_cometa_call_t *call);


ngx_cometa_call_t *
ngx_cometa_call_create(void)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_table_get();
    if (call == NULL) {
        return NULL;
    }

    call->state = NGX_COMETA_CALL_NEW;
    call->app = NGX_COMETA_NONE;

    call->timer.handler = ngx_cometa_call_timer;
    call->timer.data = call;
    call->timer.log = ngx_cycle->log;

    return call;
}


void
ngx_cometa_call_begin(ngx_cometa_call_t *call)
{
    call->time = ngx_cometa_now();
    call->deadline = ngx_current_msec + call->timeout;
    call->online = ngx_current_msec + ngx_min(call->wait, call->timeout);

    call->app = ngx_cometa_app_hold(&call->key.app, 0, calls);

    ngx_cometa_call_trace(call, "begins");
    ngx_cometa_probe_call_start(call->app, call->key.hash,
                                ngx_cometa_zone.slot, call->index);

    ngx_cometa_call_arm(call, call->deadline);
    ngx_cometa_call_route(call);
}


/* The call may have ended when this returns: callers must not use it then. */

void
ngx_cometa_call_route(ngx_cometa_call_t *call)
{
    ngx_int_t  rc;

    while (call->tries++ < NGX_COMETA_CALL_TRIES) {

        if (ngx_cometa_call_find(call, &call->place) != NGX_OK
            || (call->only && call->only != call->place.session))
        {
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

        /* its worker has just died: the device is offline, or elsewhere */
    }

    /* nothing was written: wherever the call came, the device had moved */

    ngx_cometa_call_end(call, NGX_COMETA_DEVICE_BUSY, NULL, 0);
}


ngx_int_t
ngx_cometa_call_find(ngx_cometa_call_t *call, ngx_cometa_place_t *place)
{
    if (call->app == NGX_COMETA_NONE) {
        call->app = ngx_cometa_app_hold(&call->key.app, 0, calls);
    }

    return (call->app == NGX_COMETA_NONE)
           ? NGX_DECLINED
           : ngx_cometa_registry_find_in(call->app, &call->key, place);
}


static ngx_int_t
ngx_cometa_call_send(ngx_cometa_call_t *call)
{
    ngx_int_t   rc;
    ngx_uint_t  remote;

    /* an answer to an earlier try does not find this one */

    call->generation++;

    remote = (call->place.slot != ngx_cometa_zone.slot);

    call->remote = remote;
    call->session = call->place.session;
    call->state = NGX_COMETA_CALL_SENT;

    ngx_cometa_call_trace(call, remote ? "is sent to another worker"
                                       : "is sent to this worker");

    rc = ngx_cometa_call_post(call, &call->place);

    /* delivered on the spot if not remote: the call may be gone */

    if (rc == NGX_OK && remote) {
        ngx_cometa_call_hold(call);
    }

    return rc;
}


static ngx_int_t
ngx_cometa_call_post(ngx_cometa_call_t *call, ngx_cometa_place_t *to)
{
    ngx_cometa_ref_t        ref;
    ngx_cometa_mail_call_t  mail;

    if (call->query) {
        ngx_cometa_call_ref(call, &ref);

        return ngx_cometa_mail_query(to, &ref, call->kick, &call->pos);
    }

    ngx_cometa_call_ref(call, &mail.ref);

    mail.deadline = call->deadline;
    mail.time = call->time;
    mail.timeout = call->owe;
    mail.queue = call->queue;

    return ngx_cometa_mail_call(to, &mail, &call->message, &call->pos);
}


/* By which name the owner of the device knows the call. */

static void
ngx_cometa_call_ref(ngx_cometa_call_t *call, ngx_cometa_ref_t *ref)
{
    ref->slot = ngx_cometa_zone.slot;
    ref->debug = call->debug;
    ref->epoch = ngx_cometa_zone.epoch;
    ref->index = call->index;
    ref->generation = call->generation;
}


/*
 * Adds an interest first and then looks the device up once more: a worker that
 * enters the device after that look sees the interest.
 */

static void
ngx_cometa_call_offline(ngx_cometa_call_t *call)
{
    ngx_cometa_place_t  place;

    if (call->online <= ngx_current_msec || call->query) {
        ngx_cometa_call_end(call, NGX_COMETA_DEVICE_OFFLINE, NULL, 0);
        return;
    }

    if (ngx_cometa_call_waiters_count(&call->key) >= call->queue) {
        ngx_cometa_call_end(call, NGX_COMETA_DEVICE_BUSY, NULL, 0);
        return;
    }

    call->state = NGX_COMETA_CALL_OFFLINE;
    ngx_cometa_call_trace(call, "waits for an attach");

    ngx_cometa_call_waiters_add(call);

    ngx_cometa_interest_add(call->key.hash);

    if (ngx_cometa_call_find(call, &place) == NGX_OK) {
        ngx_cometa_call_unlink(call);
        ngx_cometa_call_route(call);
        return;
    }

    ngx_cometa_call_arm(call, call->online);
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

    ngx_cometa_call_table_free(call);
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


/*
 * Tells the owner that nobody waits for the reply any more. The device may have
 * moved with the call.
 */

static void
ngx_cometa_call_withdraw(ngx_cometa_call_t *call)
{
    ngx_cometa_ref_t    ref;
    ngx_cometa_place_t  place;

    if (call->state != NGX_COMETA_CALL_SENT
        && call->state != NGX_COMETA_CALL_WAITS_TURN
        && call->state != NGX_COMETA_CALL_WRITTEN)
    {
        return;
    }

    ngx_cometa_call_trace(call, "is withdrawn");

    ngx_cometa_call_ref(call, &ref);

    if (ngx_cometa_call_find(call, &place) == NGX_OK
        && place.session == call->session)
    {
        ngx_cometa_mail_cancel(&place, &ref);
        return;
    }

    ngx_cometa_mail_cancel(&call->place, &ref);
}


void
ngx_cometa_call_reply(ngx_cometa_mail_reply_t *mail, u_char *data, size_t len)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_table_find(&mail->ref);

    if (call == NULL) {
        ngx_cometa_stats_add(mail->head.app, late, 1);
        return;
    }

    call->latency = mail->latency;

    ngx_cometa_call_end(call, NGX_COMETA_OK, data, len);
}


void
ngx_cometa_call_fail(ngx_cometa_mail_fail_t *mail)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_table_find(&mail->ref);

    if (call == NULL) {
        return;
    }

    if (mail->error == NGX_COMETA_MOVED) {
        ngx_cometa_call_trace(call, "looks for its device again");
        ngx_cometa_call_unlink(call);
        ngx_cometa_call_route(call);
        return;
    }

    ngx_cometa_call_end(call, mail->error, NULL, 0);
}


void
ngx_cometa_call_queued(ngx_cometa_mail_queued_t *mail)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_table_find(&mail->ref);

    if (call) {
        call->state = NGX_COMETA_CALL_WAITS_TURN;
        ngx_cometa_call_trace(call, "waits for its turn");
    }
}


void
ngx_cometa_call_written(ngx_cometa_mail_written_t *mail)
{
    ngx_cometa_call_t  *call;

    call = ngx_cometa_call_table_find(&mail->ref);

    if (call) {
        call->state = NGX_COMETA_CALL_WRITTEN;
        ngx_cometa_call_trace(call, "is written to the device");
    }
}


void
ngx_cometa_call_attached(ngx_cometa_key_t *key)
{
    ngx_queue_t         ready;
    ngx_cometa_call_t  *call;

    ngx_queue_init(&ready);
    ngx_cometa_call_waiters_move(key, &ready);

    /* routing may end a call, and its handler may cancel others of these */

    while (!ngx_queue_empty(&ready)) {
        call = ngx_queue_data(ngx_queue_head(&ready), ngx_cometa_call_t,
                              link);
        ngx_cometa_call_unlink(call);
        ngx_cometa_call_route(call);
    }
}


