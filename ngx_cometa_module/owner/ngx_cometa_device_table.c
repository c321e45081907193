
/*
 * The table of devices, and the list of those that are free. All of it is this
 * process's own.
 */

#include "ngx_cometa_device_table.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_DEVICE_CHUNK  512    /* devices allocated at once */


static ngx_int_t ngx_cometa_device_grow(void);
static void ngx_cometa_device_counted(ngx_int_t n);


static ngx_cometa_device_t  **ngx_cometa_devices;
static ngx_uint_t             ngx_cometa_devices_chunks;
static ngx_uint_t             ngx_cometa_devices_used;
static ngx_queue_t           *ngx_cometa_devices_free;


ngx_cometa_device_t *
ngx_cometa_device_alloc(void)
{
    uint32_t              handle;
    ngx_cometa_device_t  *dev;

    if (ngx_cometa_devices_free == NULL && ngx_cometa_device_grow() != NGX_OK)
    {
        return NULL;
    }

    dev = ngx_queue_data(ngx_cometa_devices_free, ngx_cometa_device_t, life);
    ngx_cometa_devices_free = dev->life.next;
    ngx_cometa_device_counted(1);

    handle = dev->handle;

    ngx_memzero(dev, sizeof(ngx_cometa_device_t));

    dev->handle = handle;
    dev->used = 1;

    return dev;
}


static ngx_int_t
ngx_cometa_device_grow(void)
{
    ngx_uint_t            i, n;
    ngx_cometa_device_t  *chunk, **table;

    n = ngx_cometa_devices_chunks;

    /* the table doubles whenever it is full: at a power of two */

    if ((n & (n - 1)) == 0) {
        table = ngx_alloc((n ? 2 * n : 1) * sizeof(ngx_cometa_device_t *),
                          ngx_cycle->log);
        if (table == NULL) {
            return NGX_ERROR;
        }

        /* there is one without chunks if there was no memory for the first */

        if (ngx_cometa_devices) {
            ngx_memcpy(table, ngx_cometa_devices,
                       n * sizeof(ngx_cometa_device_t *));
            ngx_free(ngx_cometa_devices);
        }

        ngx_cometa_devices = table;
    }

    chunk = ngx_calloc(NGX_COMETA_DEVICE_CHUNK * sizeof(ngx_cometa_device_t),
                       ngx_cycle->log);
    if (chunk == NULL) {
        return NGX_ERROR;
    }

    for (i = NGX_COMETA_DEVICE_CHUNK; i-- > 0; /* void */) {
        chunk[i].handle = n * NGX_COMETA_DEVICE_CHUNK + i;
        chunk[i].life.next = ngx_cometa_devices_free;
        ngx_cometa_devices_free = &chunk[i].life;
    }

    ngx_cometa_devices[n] = chunk;
    ngx_cometa_devices_chunks++;

    return NGX_OK;
}


void
ngx_cometa_device_free(ngx_cometa_device_t *dev)
{
    ngx_cometa_expect(dev->used && ngx_cometa_devices_used > 0);

    dev->connection = NULL;
    dev->used = 0;
    dev->state.session = 0;

    dev->life.next = ngx_cometa_devices_free;
    ngx_cometa_devices_free = &dev->life;
    ngx_cometa_device_counted(-1);
}


/* Workers that leave hand over to those that hold the fewest. */

static void
ngx_cometa_device_counted(ngx_int_t n)
{
    ngx_cometa_devices_used += n;

    ngx_cometa_zone.slots[ngx_cometa_zone.slot].devices
        = ngx_cometa_devices_used;
}


ngx_cometa_device_t *
ngx_cometa_device_get(uint32_t handle, uint64_t session)
{
    ngx_uint_t            n;
    ngx_cometa_device_t  *dev;

    n = handle / NGX_COMETA_DEVICE_CHUNK;

    if (n >= ngx_cometa_devices_chunks) {
        return NULL;
    }

    dev = &ngx_cometa_devices[n][handle % NGX_COMETA_DEVICE_CHUNK];

    if (!dev->used || dev->closing || dev->state.session != session) {
        return NULL;
    }

    return dev;
}


ngx_uint_t
ngx_cometa_device_count(void)
{
    return ngx_cometa_devices_used;
}


ngx_cometa_device_t *
ngx_cometa_device_next(ngx_uint_t *place)
{
    ngx_uint_t            n;
    ngx_cometa_device_t  *dev;

    n = *place;
    dev = &ngx_cometa_devices[n / NGX_COMETA_DEVICE_CHUNK]
                             [n % NGX_COMETA_DEVICE_CHUNK];

    *place = (n + 1) % (ngx_cometa_devices_chunks * NGX_COMETA_DEVICE_CHUNK);

    return dev;
}
