
/*
 * The list of calls that wait in front of a device, and how many they are.
 */

#include "ngx_cometa_waiting.h"
#include "ngx_cometa.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_queue_state.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


/*
 * As a rule the order of arrival is the order of the mail, and the place is the
 * tail; calls that moved here stood before others.
 */

ngx_int_t
ngx_cometa_waiting_add(ngx_cometa_queue_t *queue, ngx_cometa_mail_call_t *mail,
    u_char *message, size_t len)
{
    ngx_queue_t           *q;
    ngx_cometa_waiting_t  *turn, *prev;

    turn = ngx_alloc(sizeof(ngx_cometa_waiting_t) + len, ngx_cycle->log);
    if (turn == NULL) {
        return NGX_ERROR;
    }

    ngx_cometa_pending_set(&turn->call, mail, len);
    ngx_memcpy(turn + 1, message, len);

    for (q = ngx_queue_last(&queue->waiting);
         q != ngx_queue_sentinel(&queue->waiting);
         q = ngx_queue_prev(q))
    {
        prev = ngx_queue_data(q, ngx_cometa_waiting_t, link);

        if (prev->call.time <= turn->call.time) {
            break;
        }
    }

    ngx_queue_insert_after(q, &turn->link);
    queue->state.waiting++;

    ngx_cometa_gauge_add(queue->device->state.app, queued, 1);

    return NGX_OK;
}


ngx_cometa_waiting_t *
ngx_cometa_waiting_first(ngx_cometa_queue_t *queue)
{
    return ngx_queue_data(ngx_queue_head(&queue->waiting),
                          ngx_cometa_waiting_t, link);
}


ngx_cometa_waiting_t *
ngx_cometa_waiting_find(ngx_cometa_queue_t *queue, ngx_cometa_ref_t *ref)
{
    ngx_queue_t           *q;
    ngx_cometa_waiting_t  *turn;

    for (q = ngx_queue_head(&queue->waiting);
         q != ngx_queue_sentinel(&queue->waiting);
         q = ngx_queue_next(q))
    {
        turn = ngx_queue_data(q, ngx_cometa_waiting_t, link);

        if (ngx_cometa_ref_same(&turn->call.ref, ref)) {
            return turn;
        }
    }

    return NULL;
}


void
ngx_cometa_waiting_leave(ngx_cometa_queue_t *queue, ngx_cometa_waiting_t *turn)
{
    ngx_queue_remove(&turn->link);
    queue->state.waiting--;

    ngx_cometa_gauge_add(queue->device->state.app, queued, -1);
}
