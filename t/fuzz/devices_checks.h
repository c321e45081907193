/*
 * What must hold of the workers: of one between any two of its operations, of
 * all when everything has arrived, and when everything has ended.
 */

#ifndef DEVICES_CHECKS_H
#define DEVICES_CHECKS_H


#include "devices_worker.h"


/* What must hold between two operations, of one worker */

static ngx_uint_t
queue_is_right(ngx_cometa_device_t *dev)
{
    size_t               n;
    ngx_queue_t         *q;
    ngx_cometa_queue_t  *queue;

    queue = dev->queue;

    if (queue == NULL) {
        return 0;
    }

    n = 0;

    for (q = ngx_queue_head(&queue->waiting);
         q != ngx_queue_sentinel(&queue->waiting);
         q = ngx_queue_next(q))
    {
        n++;
    }

    check(queue->device == dev && n == queue->state.waiting);

    /* a written call that is held has come with its device, and has a time */

    check(!(queue->state.held && queue->state.busy) || queue->state.owed);

    check(queue->state.busy <= ngx_cometa_asked_pipeline(dev));
    check(queue->state.moved <= queue->state.busy);

    if (ngx_cometa_device_writable(dev)) {
        check(queue->state.busy || queue->state.held);
        check(queue->state.busy == ngx_cometa_asked_pipeline(dev)
              || queue->state.held || n == 0 || world_lacked);
        check(!queue->state.held || queue->timer.timer_set);
        check(!queue->state.busy
              || !(queue->state.written.abandoned || queue->state.moved)
              || queue->timer.timer_set);
    }

    return n;
}


static void
worker_is_right(void)
{
    int                   i;
    uint32_t              handle, devices, entered, queued, open;
    ngx_cometa_device_t  *dev;

    devices = 0;
    entered = 0;
    queued = 0;
    open = 0;

    for (handle = 0; handle < ngx_cometa_devices_chunks
                              * NGX_COMETA_DEVICE_CHUNK; handle++)
    {
        if (handle == 2 * CLIENTS) {
            break;
        }

        dev = &ngx_cometa_devices[0][handle];

        if (dev->used) {
            devices++;
            entered += (dev->state.session != 0);
            queued += queue_is_right(dev);
        }
    }

    for (i = 0; i < ncalls; i++) {
        open += calls[i].open && &workers[calls[i].origin] == self;
    }

    i = self - workers;

    check(devices == ngx_cometa_device_count());
    check(devices == world_slots[i].devices);
    check(world_gauges[i].devices == entered);
    check(world_gauges[i].queued == queued);
    check(world_gauges[i].calls == open);
}


/* When all letters have arrived, each device is where the registry says. */

static void
registry_is_right(void)
{
    int                   i, n, device, found;
    uint32_t              handle;
    ngx_cometa_key_t      key;
    ngx_cometa_place_t    place;
    ngx_cometa_device_t  *dev;

    if (self == NULL) {
        return;
    }

    for (device = 0; device < DEVICES; device++) {
        key_of(device, &key);
        n = 0;

        found = ngx_cometa_registry_find_in(0, &key, &place) == NGX_OK;

        for (i = 0; i < WORLD_SLOTS; i++) {
            if (!workers[i].alive) {
                continue;
            }

            world_enter(&workers[i]);

            for (handle = 0; handle < 2 * CLIENTS
                             && ngx_cometa_devices_chunks; handle++)
            {
                dev = &ngx_cometa_devices[0][handle];

                if (!dev->used || dev->closing || dev->state.session == 0
                    || dev->state.hash != key.hash)
                {
                    continue;
                }

                check(!dev->away);
                check(found && (int) place.slot == i
                      && place.handle == handle
                      && place.session == dev->state.session);
                n++;
            }
        }

        check(n == found);
    }
}


/* Of what it has of its own only tables and free lists. */

static void
worker_left_nothing(void)
{
    size_t        n;
    ngx_queue_t  *q;

    worker_is_right();

    check(ngx_cometa_device_count() == 0 && self->ndescriptors == 0);
    check(ngx_queue_empty(&ngx_cometa_queues));
    check(ngx_cometa_backlog_size() == 0);
    check(!ngx_cometa_call_held_any());

    n = self->pool + (ngx_cometa_parcel_buffer != NULL);

    n += ngx_cometa_devices_chunks + (ngx_cometa_devices != NULL);
    n += ngx_cometa_calls_chunks + (ngx_cometa_calls != NULL);

    for (q = ngx_queue_head(&ngx_cometa_queues_free);
         q != ngx_queue_sentinel(&ngx_cometa_queues_free);
         q = ngx_queue_next(q))
    {
        n++;
    }

    check(self->nblocks == n);
}


#endif /* DEVICES_CHECKS_H */
