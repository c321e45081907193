
/*
 * How the queue of a device ends, and how it travels. All state is this
 * process's own.
 */

#include "ngx_cometa_queue_move.h"
#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_queue_state.h"
#include "ngx_cometa_written.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_waiting.h"
#include "ngx_cometa_mail.h"


static void ngx_cometa_queue_lose(ngx_cometa_queue_t *queue,
    ngx_cometa_pending_t *call, ngx_uint_t reason);
static void ngx_cometa_queue_send_back(ngx_cometa_queue_t *queue);


void
ngx_cometa_queue_pause(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state)
{
    ngx_cometa_queue_t  *queue;

    queue = dev->queue;

    if (queue == NULL) {
        ngx_memzero(state, sizeof(ngx_cometa_queue_state_t));
        return;
    }

    if (queue->timer.timer_set) {
        ngx_del_timer(&queue->timer);

    } else if (!dev->away) {
        queue->state.due = 0;
    }

    *state = queue->state;
    state->waiting = 0;
}


u_char *
ngx_cometa_queue_pack(ngx_cometa_device_t *dev, u_char *p)
{
    ngx_uint_t  i;

    for (i = 1; dev->queue && i < dev->queue->state.busy; i++) {
        p = ngx_cpymem(p, ngx_cometa_written_get(dev->queue, i),
                       sizeof(ngx_cometa_pending_t));
    }

    return p;
}


size_t
ngx_cometa_queue_more(ngx_cometa_queue_state_t *state)
{
    return state->busy ? (state->busy - 1) * sizeof(ngx_cometa_pending_t) : 0;
}


void
ngx_cometa_queue_resume(ngx_cometa_device_t *dev)
{
    ngx_cometa_queue_t  *queue;

    queue = dev->queue;

    /* it is here again */

    dev->away = 0;

    if (queue && queue->state.due) {
        ngx_cometa_queue_arm(queue, ngx_max(queue->state.due,
                                            ngx_current_msec + 1));
    }
}


/*
 * The origin of a written call learns where it is now, for the death of that
 * worker is to be noticed; one that was withdrawn meanwhile is withdrawn there.
 */

void
ngx_cometa_queue_left(ngx_cometa_device_t *dev, ngx_cometa_place_t *to)
{
    ngx_cometa_queue_t    *queue;
    ngx_cometa_pending_t   call;

    queue = dev->queue;

    if (queue == NULL) {
        return;
    }

    /* who is told may withdraw others: the queue must not be freed by that */

    queue->state.held = 1;

    while (queue->state.busy) {
        ngx_cometa_written_take(queue, &call);

        if (call.abandoned) {
            ngx_cometa_mail_cancel(to, &call.ref);

        } else {
            ngx_cometa_mail_follow(&call.ref, to);
        }
    }

    ngx_cometa_queue_send_back(queue);
    ngx_cometa_queue_free(queue);
}


/*
 * The origin of a written call may not find the device in time to withdraw
 * the call; so it counts as withdrawn at its deadline in any case.
 */

ngx_int_t
ngx_cometa_queue_arrive(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state, u_char *more)
{
    ngx_uint_t             i;
    ngx_cometa_queue_t    *queue;
    ngx_cometa_pending_t   call;

    queue = ngx_cometa_queue_get(dev);
    if (queue == NULL) {
        return NGX_ERROR;
    }

    queue->state = *state;
    queue->state.busy = ngx_min(state->busy, 1);
    queue->state.moved = state->busy;

    for (i = 1; i < state->busy; i++) {

        if (ngx_cometa_written_room(queue) != NGX_OK) {
            ngx_cometa_queue_free(queue);
            return NGX_ERROR;
        }

        ngx_memcpy(&call, more, sizeof(ngx_cometa_pending_t));
        more += sizeof(ngx_cometa_pending_t);

        ngx_cometa_written_add(queue, &call);
    }

    ngx_cometa_queue_hold(dev);

    if (state->busy && state->owed == 0) {
        ngx_cometa_queue_owe(queue);
    }

    return NGX_OK;
}


void
ngx_cometa_queue_drop(ngx_cometa_device_t *dev)
{
    if (dev->queue) {
        ngx_cometa_queue_free(dev->queue);
    }
}


void
ngx_cometa_queue_closed(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    ngx_cometa_queue_t    *queue;
    ngx_cometa_pending_t   call;

    queue = dev->queue;

    if (queue == NULL) {
        return;
    }

    /* who is told may withdraw others: the queue must not be freed by that */

    queue->state.held = 1;

    while (queue->state.busy) {
        ngx_cometa_written_take(queue, &call);

        if (!call.abandoned) {
            ngx_cometa_queue_lose(queue, &call, reason);
        }
    }

    ngx_cometa_queue_send_back(queue);
    ngx_cometa_queue_free(queue);
}


/* A call that was written ends with its device. */

static void
ngx_cometa_queue_lose(ngx_cometa_queue_t *queue, ngx_cometa_pending_t *call,
    ngx_uint_t reason)
{
    ngx_cometa_mail_head_t  from;

    ngx_cometa_owner_head(queue->device, &from);

    ngx_cometa_queue_trace(&call->ref, from.session,
                           "fails, the device has left");

    ngx_cometa_mail_fail(&call->ref, &from,
                         reason == NGX_COMETA_TAKEN_OVER
                         ? NGX_COMETA_DEVICE_TAKEN_OVER
                         : NGX_COMETA_DEVICE_DISCONNECTED);
}


/* Those that wait: their origins look for the device again. */

static void
ngx_cometa_queue_send_back(ngx_cometa_queue_t *queue)
{
    ngx_cometa_ref_t        *ref;
    ngx_cometa_waiting_t    *turn;
    ngx_cometa_mail_head_t   from;

    ngx_cometa_owner_head(queue->device, &from);

    while (!ngx_queue_empty(&queue->waiting)) {
        turn = ngx_cometa_waiting_first(queue);
        ref = &turn->call.ref;

        ngx_cometa_queue_trace(ref, from.session,
                               "moves, the device has left");
        ngx_cometa_mail_fail(ref, &from, NGX_COMETA_MOVED);
        ngx_cometa_waiting_leave(queue, turn);
        ngx_free(turn);
    }
}
