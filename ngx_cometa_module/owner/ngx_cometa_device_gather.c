
/*
 * Chunks of one turn of the event loop in one piece: one system call, one
 * packet, and one wake-up of the device. No state but that of the device.
 */

#include "ngx_cometa_device_gather.h"
#include "ngx_cometa.h"
#include "ngx_cometa_device_state.h"


#define NGX_COMETA_GATHER      16384    /* bytes; then no further chunk */
#define NGX_COMETA_GATHER_FEW  512      /* bytes that are made first */


static ngx_cometa_unsent_t *ngx_cometa_gather_room(ngx_cometa_device_t *dev,
    size_t len);


ngx_uint_t
ngx_cometa_device_gathers(ngx_cometa_device_t *dev)
{
    return dev->unsent == NULL
           || (dev->unsent->gathered && dev->unsent->len < NGX_COMETA_GATHER);
}


ngx_int_t
ngx_cometa_device_gather(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_cometa_unsent_t  *unsent;

    unsent = ngx_cometa_gather_room(dev, len);
    if (unsent == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(unsent->data + unsent->len, data, len);
    unsent->len += len;

    if (!dev->connection->write->posted) {
        ngx_post_event(dev->connection->write, &ngx_posted_events);
    }

    return NGX_OK;
}


static ngx_cometa_unsent_t *
ngx_cometa_gather_room(ngx_cometa_device_t *dev, size_t len)
{
    size_t                size;
    ngx_cometa_unsent_t  *unsent, *old;

    old = dev->unsent;

    if (old && old->len + len <= old->size) {
        return old;
    }

    size = old ? ngx_max(old->len + len, 2 * old->size)
               : ngx_max(len, NGX_COMETA_GATHER_FEW);

    unsent = ngx_alloc(sizeof(ngx_cometa_unsent_t) + size,
                       dev->connection->log);
    if (unsent == NULL) {
        return NULL;
    }

    unsent->pos = 0;
    unsent->len = 0;
    unsent->size = size;
    unsent->gathered = 1;

    if (old) {
        ngx_memcpy(unsent->data, old->data, old->len);
        unsent->len = old->len;
        ngx_free(old);
    }

    dev->unsent = unsent;

    return unsent;
}
