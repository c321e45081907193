
/*
 * How the queue of a device travels. All state is this process's own.
 */

#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_queue.h"
#include "ngx_cometa_queue_state.h"
#include "ngx_cometa_mail.h"


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
 * The origin of the written call learns where it is now, for the death of that
 * worker is to be noticed; one that was withdrawn meanwhile is withdrawn there.
 */

void
ngx_cometa_queue_left(ngx_cometa_device_t *dev, ngx_cometa_place_t *to)
{
    ngx_cometa_queue_t  *queue;

    queue = dev->queue;

    if (queue == NULL) {
        return;
    }

    if (queue->state.busy && queue->state.abandoned) {
        ngx_cometa_mail_cancel(to, &queue->state.written.ref);

    } else if (queue->state.busy) {
        ngx_cometa_mail_follow(&queue->state.written.ref, to);
    }

    ngx_cometa_queue_send_back(queue);
    ngx_cometa_queue_free(queue);
}


/*
 * The origin of the written call may not find the device in time to withdraw
 * the call; so it counts as withdrawn at its deadline in any case.
 */

ngx_int_t
ngx_cometa_queue_arrive(ngx_cometa_device_t *dev,
    ngx_cometa_queue_state_t *state)
{
    ngx_cometa_queue_t  *queue;

    queue = ngx_cometa_queue_get(dev);
    if (queue == NULL) {
        return NGX_ERROR;
    }

    queue->state = *state;

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
