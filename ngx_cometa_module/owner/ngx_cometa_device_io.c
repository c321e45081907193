
/*
 * Writes messages. State: a buffer of this process, and what is kept with each
 * device.
 */

#include "ngx_cometa_device_io.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_linger.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_gather.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_transport.h"
#include "ngx_cometa_zone.h"
#include "cometa_ring.h"


static ngx_int_t ngx_cometa_device_send(ngx_cometa_device_t *dev,
    u_char *data, size_t len);


/* One is enough: a worker writes to one device at a time. */

static u_char  *ngx_cometa_write_buffer;


ngx_int_t
ngx_cometa_device_io_start(ngx_cycle_t *cycle)
{
    size_t  max;

    /* workers of a newer configuration may send longer messages than ours */

    max = cometa_ring_max(ngx_cometa_zone.head->ring_size);

    max = ngx_max(max + NGX_COMETA_TRANSPORT_ROOM, NGX_COMETA_TRANSPORT_DUE);

    ngx_cometa_write_buffer = ngx_palloc(cycle->pool, max);

    return ngx_cometa_write_buffer ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_cometa_device_io_write(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    size_t   n;
    u_char  *p;

    /* head, data and end in one piece: one system call, one TLS record */

    p = ngx_cometa_write_buffer;
    n = ngx_cometa_transport(dev)->pack(dev, p, data, len);

    if (ngx_cometa_asked_pipeline(dev) > 1) {
        return ngx_cometa_device_gather(dev, p, n);
    }

    return ngx_cometa_device_send(dev, p, n);
}


ngx_int_t
ngx_cometa_device_io_answer(ngx_cometa_device_t *dev)
{
    size_t  n;

    while (dev->unsent == NULL) {

        n = ngx_cometa_transport(dev)->due(dev, ngx_cometa_write_buffer);

        if (n == 0) {
            return NGX_OK;
        }

        ngx_cometa_work += NGX_COMETA_WORK_WRITE;

        if (ngx_cometa_device_send(dev, ngx_cometa_write_buffer, n) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_device_send(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ssize_t               n;
    ngx_connection_t     *c;
    ngx_cometa_unsent_t  *unsent;

    c = dev->connection;

    do {
        n = ngx_cometa_connection_send(c, data, len);

        if (n == NGX_ERROR) {
            c->error = 1;
            return NGX_ERROR;
        }

        if (n > 0) {
            data += n;
            len -= n;
        }

    } while (len && n > 0 && c->write->ready);

    if (len == 0) {
        return NGX_OK;
    }

    unsent = ngx_alloc(sizeof(ngx_cometa_unsent_t) + len, c->log);
    if (unsent == NULL) {
        return NGX_ERROR;
    }

    unsent->pos = 0;
    unsent->len = len;
    unsent->size = len;
    unsent->gathered = 0;
    ngx_memcpy(unsent->data, data, len);

    dev->unsent = unsent;

    return ngx_handle_write_event(c->write, 0);
}


ngx_int_t
ngx_cometa_device_io_flush(ngx_cometa_device_t *dev)
{
    ssize_t               n;
    ngx_connection_t     *c;
    ngx_cometa_unsent_t  *unsent;

    c = dev->connection;
    unsent = dev->unsent;

    if (unsent) {
        unsent->gathered = 0;
    }

    while (unsent && unsent->pos < unsent->len) {

        n = ngx_cometa_connection_send(c, unsent->data + unsent->pos,
                                       unsent->len - unsent->pos);

        if (n == NGX_AGAIN) {
            return (ngx_handle_write_event(c->write, 0) == NGX_OK)
                   ? NGX_AGAIN : NGX_ERROR;
        }

        if (n == NGX_ERROR) {
            c->error = 1;
            return NGX_ERROR;
        }

        unsent->pos += n;
    }

    if (unsent) {
        dev->unsent = NULL;
        ngx_free(unsent);
    }

    return ngx_handle_write_event(c->write, 0);
}


void
ngx_cometa_device_io_close(ngx_cometa_device_t *dev, ngx_uint_t last)
{
    size_t             n;
    u_char             words[NGX_COMETA_TRANSPORT_ROOM];
    ngx_uint_t         quiet;
    ngx_connection_t  *c;

    c = dev->connection;

    /* nothing of it has left, and nobody waits for what it would lead to */

    if (dev->unsent && dev->unsent->gathered) {
        ngx_free(dev->unsent);
        dev->unsent = NULL;
    }

    n = last ? ngx_cometa_transport(dev)->last(dev, words) : 0;
    quiet = (dev->unsent != NULL || (last && n == 0));

    if (n && !quiet && !c->error) {
        quiet = (ngx_cometa_connection_send(c, words, n) != (ssize_t) n);

        /* what the device has sent meanwhile must not make a reset of it */

        if (dev->frames && !quiet && !dev->away
            && dev->reason != NGX_COMETA_DETACHED)
        {
            ngx_cometa_linger(c);
            return;
        }
    }

    /* another descriptor of it lies in a door until its worker looks there */

    if (dev->away) {
        (void) shutdown(c->fd, SHUT_WR);
    }

    ngx_cometa_connection_close(c, quiet);
}


void
ngx_cometa_device_io_free(ngx_cometa_device_t *dev)
{
    ngx_cometa_device_input_free(dev);

    if (dev->unsent) {
        ngx_free(dev->unsent);
        dev->unsent = NULL;
    }
}
