
/*
 * The owner's side of calls. All state is this process's own. A device that
 * is idle has no queue; a busy one has one from a free list.
 *
 *     idle --CALL--> busy --reply--> idle, or busy with the next one
 *                     |  \
 *                     |   `--CANCEL--> owing --reply (late)--> as above
 *                     |                  `---- silence ------> closed
 *                     `--closed--> the call fails, those that wait move
 *
 * A device that takes several calls at a time goes through this with each of
 * them, in their order: it owes the reply to the oldest one only, and for the
 * next one its time begins when that has come.
 */

#include "ngx_cometa_queue.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_queue_state.h"
#include "ngx_cometa_waiting.h"
#include "ngx_cometa_written.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_QUEUE_HOLD  20       /* ms, after a takeover */


static void ngx_cometa_queue_idle(ngx_cometa_queue_t *queue);
static ngx_uint_t ngx_cometa_queue_empty(ngx_cometa_queue_state_t *state);
static ngx_uint_t ngx_cometa_queue_takes(ngx_cometa_queue_t *queue);
static void ngx_cometa_queue_orphaned(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call);
static ngx_int_t ngx_cometa_queue_write(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call, u_char *message);
static ngx_uint_t ngx_cometa_queue_void(ngx_cometa_pending_t *call);
static void ngx_cometa_queue_abandon(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call);
static void ngx_cometa_queue_timer(ngx_event_t *ev);
static void ngx_cometa_queue_answered(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call);


static ngx_queue_t  ngx_cometa_queues;
static ngx_queue_t  ngx_cometa_queues_free;


void
ngx_cometa_queue_start(void)
{
    ngx_queue_init(&ngx_cometa_queues);
    ngx_queue_init(&ngx_cometa_queues_free);
}


void
ngx_cometa_queue_call(ngx_cometa_mail_call_t *mail, u_char *message,
    size_t len)
{
    ngx_uint_t             error;
    ngx_cometa_queue_t    *queue;
    ngx_cometa_device_t   *dev;
    ngx_cometa_pending_t   call;

    /* it has waited in our ring, and its caller waits no more */

    if (mail->deadline <= ngx_current_msec) {
        ngx_cometa_queue_trace(&mail->ref, mail->head.session,
                               "is ignored, it is past its deadline");
        return;
    }

    dev = ngx_cometa_device_get(mail->head.handle, mail->head.session);
    if (dev == NULL) {
        error = NGX_COMETA_MOVED;
        goto failed;
    }

    if (!ngx_cometa_asked_takes(dev, message, len)) {
        error = NGX_COMETA_TEXT_REQUIRED;
        goto failed;
    }

    queue = ngx_cometa_queue_get(dev);
    if (queue == NULL) {
        error = NGX_COMETA_OVERLOADED;
        goto failed;
    }

    if (queue->state.waiting == 0 && ngx_cometa_queue_takes(queue)) {
        ngx_cometa_pending_set(&call, mail, len);
        (void) ngx_cometa_queue_write(queue, &call, message);
        return;
    }

    /* of a worker that has died just now, perhaps nobody has said so yet */

    if (queue->state.busy) {
        ngx_cometa_queue_orphaned(queue, &queue->state.written);
    }

    if (queue->state.waiting >= mail->queue) {
        error = NGX_COMETA_DEVICE_BUSY;

    } else if (ngx_cometa_waiting_add(queue, mail, message, len) == NGX_OK) {
        ngx_cometa_queue_trace(&mail->ref, mail->head.session,
                               "waits for its turn");
        ngx_cometa_mail_queued(&mail->ref, &mail->head);
        return;

    } else {
        error = NGX_COMETA_OVERLOADED;
    }

    ngx_cometa_queue_idle(queue);

failed:

    ngx_cometa_queue_trace(&mail->ref, mail->head.session, "is not taken");

    ngx_cometa_mail_fail(&mail->ref, &mail->head, error);
}


void
ngx_cometa_queue_cancel(ngx_cometa_mail_cancel_t *mail)
{
    ngx_cometa_queue_t    *queue;
    ngx_cometa_device_t   *dev;
    ngx_cometa_pending_t  *call;
    ngx_cometa_waiting_t  *turn;

    dev = ngx_cometa_device_get(mail->head.handle, mail->head.session);

    if (dev == NULL || dev->queue == NULL) {
        return;
    }

    queue = dev->queue;

    call = ngx_cometa_written_find(queue, &mail->ref);

    if (call) {
        ngx_cometa_queue_abandon(queue, call);
        return;
    }

    turn = ngx_cometa_waiting_find(queue, &mail->ref);

    if (turn) {
        ngx_cometa_queue_trace(&mail->ref, dev->state.session,
                               "is withdrawn");
        ngx_cometa_waiting_leave(queue, turn);
        ngx_free(turn);
    }

    ngx_cometa_queue_idle(queue);
}


void
ngx_cometa_queue_hold(ngx_cometa_device_t *dev)
{
    ngx_cometa_queue_t  *queue;

    queue = ngx_cometa_queue_get(dev);

    if (queue) {
        queue->state.held = 1;
        ngx_cometa_queue_arm(queue, ngx_current_msec + NGX_COMETA_QUEUE_HOLD);
    }
}


ngx_cometa_queue_t *
ngx_cometa_queue_get(ngx_cometa_device_t *dev)
{
    ngx_queue_t        *q;
    ngx_cometa_queue_t  *queue;

    if (dev->queue) {
        return dev->queue;
    }

    if (!ngx_queue_empty(&ngx_cometa_queues_free)) {
        q = ngx_queue_head(&ngx_cometa_queues_free);
        ngx_queue_remove(q);
        queue = ngx_queue_data(q, ngx_cometa_queue_t, link);

    } else {
        queue = ngx_calloc(sizeof(ngx_cometa_queue_t), ngx_cycle->log);
        if (queue == NULL) {
            return NULL;
        }

        queue->timer.handler = ngx_cometa_queue_timer;
        queue->timer.data = queue;
        queue->timer.log = ngx_cycle->log;

        ngx_queue_init(&queue->waiting);
    }

    queue->device = dev;
    dev->queue = queue;

    ngx_queue_insert_tail(&ngx_cometa_queues, &queue->link);

    return queue;
}


void
ngx_cometa_queue_free(ngx_cometa_queue_t *queue)
{
    ngx_cometa_expect(ngx_queue_empty(&queue->waiting));

    if (queue->timer.timer_set) {
        ngx_del_timer(&queue->timer);
    }

    ngx_cometa_written_clear(queue);

    queue->state.held = 0;
    queue->state.due = 0;
    queue->state.owed = 0;

    queue->device->queue = NULL;
    queue->device = NULL;

    ngx_queue_remove(&queue->link);
    ngx_queue_insert_head(&ngx_cometa_queues_free, &queue->link);
}


static void
ngx_cometa_queue_idle(ngx_cometa_queue_t *queue)
{
    if (ngx_cometa_queue_empty(&queue->state)) {
        ngx_cometa_queue_free(queue);
    }
}


static ngx_uint_t
ngx_cometa_queue_empty(ngx_cometa_queue_state_t *state)
{
    return !state->busy && !state->held && state->waiting == 0;
}


/* One more call can be written now. */

static ngx_uint_t
ngx_cometa_queue_takes(ngx_cometa_queue_t *queue)
{
    return !queue->state.held
           && queue->state.busy < ngx_cometa_asked_pipeline(queue->device)
           && ngx_cometa_device_writable(queue->device)
           && ngx_cometa_written_room(queue) == NGX_OK;
}


/* The origin of a call that was written may have died. */

static void
ngx_cometa_queue_orphaned(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call)
{
    if (!call->abandoned
        && !ngx_cometa_slot_alive(call->ref.slot, call->ref.epoch))
    {
        ngx_cometa_queue_abandon(queue, call);
    }
}


/*
 * The queue can take it. The call is with the device before anything is
 * written: should the write fail, the device closes and the call ends like any
 * other that was written, because a part of it may have left. NGX_ERROR: the
 * queue may be gone with the device.
 */

static ngx_int_t
ngx_cometa_queue_write(ngx_cometa_queue_t *queue, ngx_cometa_pending_t *call,
    u_char *message)
{
    ngx_cometa_written_add(queue, call);

    ngx_cometa_queue_trace(&call->ref, queue->device->state.session,
                           "is written");

    return ngx_cometa_device_write(queue->device, message, call->len);
}


void
ngx_cometa_queue_next(ngx_cometa_device_t *dev)
{
    ngx_int_t                rc;
    ngx_cometa_queue_t      *queue;
    ngx_cometa_waiting_t    *turn;
    ngx_cometa_mail_head_t   from;

    queue = dev->queue;

    if (queue == NULL || dev->closing) {
        return;
    }

    while (queue->state.waiting && ngx_cometa_queue_takes(queue)) {

        turn = ngx_cometa_waiting_first(queue);

        if (ngx_cometa_queue_void(&turn->call)) {
            ngx_cometa_queue_trace(&turn->call.ref, dev->state.session,
                                   "is dropped, nobody waits for it");
            ngx_cometa_waiting_leave(queue, turn);
            ngx_free(turn);
            continue;
        }

        ngx_cometa_owner_head(dev, &from);

        /*
         * The origin must know that it was written before it is, so that
         * it never sends it again should this process die; if it cannot be
         * told now, the call is not written.
         */

        if (ngx_cometa_mail_written(&turn->call.ref, &from) != NGX_OK) {
            ngx_cometa_mail_fail(&turn->call.ref, &from,
                                 NGX_COMETA_OVERLOADED);
            ngx_cometa_waiting_leave(queue, turn);
            ngx_free(turn);
            continue;
        }

        ngx_cometa_waiting_leave(queue, turn);

        rc = ngx_cometa_queue_write(queue, &turn->call,
                                    (u_char *) (turn + 1));

        ngx_free(turn);

        if (rc == NGX_ERROR) {
            /* the queue may be gone with the device */
            return;
        }
    }

    ngx_cometa_queue_idle(queue);
}


/* Its origin has given up or is gone. */

static ngx_uint_t
ngx_cometa_queue_void(ngx_cometa_pending_t *call)
{
    return call->deadline <= ngx_current_msec
           || !ngx_cometa_slot_alive(call->ref.slot, call->ref.epoch);
}


/*
 * Its reply is dropped when its turn comes. It may come until the deadline, and
 * is owed for `timeout` more; but not before those to older calls.
 */

static void
ngx_cometa_queue_abandon(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call)
{
    if (call->abandoned) {
        return;
    }

    call->abandoned = 1;

    ngx_cometa_queue_trace(&call->ref, queue->device->state.session,
                           "is abandoned, its reply is still owed");

    if (call == &queue->state.written) {
        ngx_cometa_queue_owe(queue);
    }
}


void
ngx_cometa_queue_owe(ngx_cometa_queue_t *queue)
{
    ngx_cometa_pending_t  *call;

    call = &queue->state.written;

    queue->state.owed = call->timeout
                        + ngx_max(call->deadline, ngx_current_msec);

    if (!queue->state.held) {
        ngx_cometa_queue_arm(queue, queue->state.owed);
    }
}


void
ngx_cometa_queue_arm(ngx_cometa_queue_t *queue, uint64_t due)
{
    queue->state.due = due;

    /* while it is offered to another worker its time stands still here */

    if (queue->device->away) {
        return;
    }

    ngx_add_timer(&queue->timer, due - ngx_current_msec);
}


static void
ngx_cometa_queue_timer(ngx_event_t *ev)
{
    ngx_cometa_queue_t  *queue;

    queue = ev->data;

    ngx_cometa_expect(queue->device->used && queue->device->queue == queue);

    if (queue->state.held) {
        queue->state.held = 0;

        if (queue->state.owed) {
            ngx_cometa_queue_arm(queue, ngx_max(queue->state.owed,
                                                ngx_current_msec + 1));
        }

        ngx_cometa_queue_next(queue->device);
        return;
    }

    ngx_cometa_device_close(queue->device, NGX_COMETA_UNRESPONSIVE);
}


ngx_int_t
ngx_cometa_queue_reply(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    uint64_t                 latency;
    ngx_cometa_queue_t      *queue;
    ngx_cometa_pending_t     call;
    ngx_cometa_mail_head_t   from;

    queue = dev->queue;

    if (queue == NULL || !queue->state.busy) {
        return NGX_DECLINED;
    }

    ngx_cometa_queue_answered(queue, &call);

    latency = ngx_cometa_now() - call.time;

    dev->state.latency = ngx_min(latency, NGX_MAX_INT32_VALUE);

    /*
     * The next one is written when the device has been read to the end: what
     * else it has said already is no answer to that.
     */

    ngx_cometa_queue_trace(&call.ref, dev->state.session,
                           call.abandoned ? "is answered too late"
                                          : "is answered");

    if (call.abandoned) {
        ngx_cometa_stats_add(dev->state.app, late, 1);
        return NGX_OK;
    }

    ngx_cometa_owner_head(dev, &from);
    ngx_cometa_mail_reply(&call.ref, &from, latency, data, len);

    return NGX_OK;
}


/*
 * Takes out the call that is answered. If nobody waits for the one behind it,
 * or nobody may be able to say so, the device owes the reply to that from now
 * on.
 */

static void
ngx_cometa_queue_answered(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call)
{
    ngx_cometa_written_take(queue, call);

    queue->state.owed = 0;

    if (queue->timer.timer_set && !queue->state.held) {
        ngx_del_timer(&queue->timer);
    }

    if (queue->state.moved) {
        queue->state.moved--;
    }

    if (queue->state.busy
        && (queue->state.moved || queue->state.written.abandoned))
    {
        ngx_cometa_queue_owe(queue);
    }
}


ngx_uint_t
ngx_cometa_queue_outstanding(ngx_cometa_device_t *dev)
{
    return dev->queue && dev->queue->state.busy;
}


void
ngx_cometa_queue_deaths(void)
{
    ngx_uint_t           i;
    ngx_queue_t         *q;
    ngx_cometa_queue_t  *queue;

    for (q = ngx_queue_head(&ngx_cometa_queues);
         q != ngx_queue_sentinel(&ngx_cometa_queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_cometa_queue_t, link);

        /* those that wait are looked at when their turn comes */

        for (i = 0; i < queue->state.busy; i++) {
            ngx_cometa_queue_orphaned(queue,
                                      ngx_cometa_written_get(queue, i));
        }
    }
}
