
/*
 * The list of calls that are with a device.
 */

#include "ngx_cometa_written.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_queue_state.h"


#define NGX_COMETA_WRITTEN_FEW  4       /* places that are made first */


ngx_int_t
ngx_cometa_written_room(ngx_cometa_queue_t *queue)
{
    ngx_uint_t          i, size;
    ngx_cometa_pipe_t  *pipe;

    size = queue->pipe ? queue->pipe->size : 0;

    if (queue->state.busy <= size) {
        return NGX_OK;
    }

    size = size ? 2 * size : NGX_COMETA_WRITTEN_FEW;

    pipe = ngx_alloc(offsetof(ngx_cometa_pipe_t, calls)
                     + size * sizeof(ngx_cometa_pending_t), ngx_cycle->log);
    if (pipe == NULL) {
        return NGX_ERROR;
    }

    pipe->size = size;
    pipe->first = 0;

    if (queue->pipe) {

        for (i = 1; i < queue->state.busy; i++) {
            pipe->calls[i - 1] = *ngx_cometa_written_get(queue, i);
        }

        ngx_free(queue->pipe);
    }

    queue->pipe = pipe;

    return NGX_OK;
}


void
ngx_cometa_written_add(ngx_cometa_queue_t *queue, ngx_cometa_pending_t *call)
{
    ngx_cometa_expect(queue->state.busy < NGX_COMETA_PIPELINE_MAX);

    queue->state.busy++;

    *ngx_cometa_written_get(queue, queue->state.busy - 1) = *call;
}


void
ngx_cometa_written_take(ngx_cometa_queue_t *queue, ngx_cometa_pending_t *call)
{
    ngx_cometa_pipe_t  *pipe;

    ngx_cometa_expect(queue->state.busy);

    *call = queue->state.written;

    if (--queue->state.busy) {
        pipe = queue->pipe;

        queue->state.written = pipe->calls[pipe->first];
        pipe->first = (pipe->first + 1) & (pipe->size - 1);
    }
}


ngx_cometa_pending_t *
ngx_cometa_written_get(ngx_cometa_queue_t *queue, ngx_uint_t n)
{
    ngx_cometa_pipe_t  *pipe;

    ngx_cometa_expect(n < queue->state.busy);

    if (n == 0) {
        return &queue->state.written;
    }

    pipe = queue->pipe;

    return &pipe->calls[(pipe->first + n - 1) & (pipe->size - 1)];
}


ngx_cometa_pending_t *
ngx_cometa_written_find(ngx_cometa_queue_t *queue, ngx_cometa_ref_t *ref)
{
    ngx_uint_t             i;
    ngx_cometa_pending_t  *call;

    for (i = 0; i < queue->state.busy; i++) {
        call = ngx_cometa_written_get(queue, i);

        if (ngx_cometa_ref_same(&call->ref, ref)) {
            return call;
        }
    }

    return NULL;
}


void
ngx_cometa_written_clear(ngx_cometa_queue_t *queue)
{
    queue->state.busy = 0;
    queue->state.moved = 0;

    if (queue->pipe) {
        ngx_free(queue->pipe);
        queue->pipe = NULL;
    }
}
