
/*
 * Reads chunks and passes their messages to the handler; writes chunks. State:
 * a buffer of this process, and what is kept with each device.
 */

#include "ngx_cometa_device_io.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_reader.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_gather.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_chunk.h"
#include "cometa_ring.h"


#define NGX_COMETA_READ_PORTION  16384  /* more than the begun chunk */


static size_t ngx_cometa_device_portion(ngx_connection_t *c);
static ngx_int_t ngx_cometa_device_take(ngx_connection_t *c, u_char *data,
    size_t len);
static void ngx_cometa_device_resume(ngx_cometa_device_t *dev);
static void ngx_cometa_device_decode(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_device_malformed(ngx_cometa_device_t *dev, int rc);
static ngx_cometa_unread_t *ngx_cometa_device_unread(
    ngx_cometa_device_t *dev);
static void ngx_cometa_device_put_off(ngx_cometa_device_t *dev,
    const u_char *data, size_t len);
static ngx_int_t ngx_cometa_device_begin(ngx_cometa_device_t *dev);
static ngx_int_t ngx_cometa_device_keep(ngx_cometa_device_t *dev,
    const u_char *data, size_t len);
static void ngx_cometa_device_complete(ngx_cometa_device_t *dev);
static void ngx_cometa_device_unread_free(ngx_cometa_device_t *dev);
static ngx_int_t ngx_cometa_device_send(ngx_cometa_device_t *dev,
    u_char *data, size_t len);


static const ngx_cometa_reader_t      ngx_cometa_device_reader = {
    ngx_cometa_device_portion,
    ngx_cometa_device_take
};

/* One is enough: a worker writes to one device at a time. */

static u_char                        *ngx_cometa_write_buffer;

static ngx_cometa_device_message_pt   ngx_cometa_device_message_handler;


ngx_int_t
ngx_cometa_device_io_start(ngx_cycle_t *cycle,
    ngx_cometa_device_message_pt message)
{
    size_t  max;

    ngx_cometa_device_message_handler = message;

    /* workers of a newer configuration may send longer messages than ours */

    max = cometa_ring_max(ngx_cometa_zone.head->ring_size);

    ngx_cometa_write_buffer = ngx_palloc(cycle->pool,
                                         max + COMETA_CHUNK_HEAD_MAX + 2);

    return ngx_cometa_write_buffer ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_cometa_device_io_read(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_int_t  rc;

    ngx_cometa_expect(dev->used && dev->connection);

    rc = ngx_cometa_reader_turn(dev->connection, &ngx_cometa_device_reader,
                                data, len);

    if (rc == NGX_ERROR) {
        ngx_cometa_device_mark(dev, NGX_COMETA_DISCONNECTED);
    }

    return rc;
}


/*
 * How much is read at once. Bytes that are not decoded when the turn is over
 * have to be kept, so it is not much; but a large message is read in one piece.
 */

static size_t
ngx_cometa_device_portion(ngx_connection_t *c)
{
    ngx_cometa_device_t  *dev;

    dev = c->data;

    return (size_t) dev->state.chunk.rest + NGX_COMETA_READ_PORTION;
}


static ngx_int_t
ngx_cometa_device_take(ngx_connection_t *c, u_char *data, size_t len)
{
    ngx_cometa_device_t  *dev;

    dev = c->data;

    if (len) {
        ngx_cometa_device_decode(dev, data, len);

    } else {
        ngx_cometa_device_resume(dev);
    }

    if (dev->closing) {
        return NGX_ERROR;
    }

    return (dev->unread && dev->unread->rest) ? NGX_AGAIN : NGX_OK;
}


/* Decodes what an earlier turn has left. */

static void
ngx_cometa_device_resume(ngx_cometa_device_t *dev)
{
    size_t                len;
    u_char               *rest;
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

    if (unread == NULL || unread->rest == NULL) {
        return;
    }

    rest = unread->rest;
    len = unread->rest_len;

    unread->rest = NULL;
    ngx_cometa_device_unread_free(dev);

    ngx_cometa_device_decode(dev, rest, len);

    ngx_free(rest);
}


static void
ngx_cometa_device_decode(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    int            rc;
    size_t         n;
    ngx_uint_t     begun;
    const u_char  *p, *end, *piece;

    p = data;
    end = data + len;

    while (!dev->closing) {

        if (p < end && ngx_cometa_turn_over()) {
            ngx_cometa_device_put_off(dev, p, end - p);
            return;
        }

        rc = cometa_chunk_parse(&dev->state.chunk, &p, end,
                                dev->conf->max_message, &piece, &n);

        if (rc == COMETA_CHUNK_AGAIN) {
            break;
        }

        if (rc < 0) {
            ngx_cometa_device_malformed(dev, rc);
            return;
        }

        begun = (dev->unread && dev->unread->begun);

        if (rc == COMETA_CHUNK_DONE && !begun) {
            ngx_cometa_device_message_handler(dev, (u_char *) piece, n);
            continue;
        }

        if (ngx_cometa_device_keep(dev, piece, n) != NGX_OK) {
            return;
        }

        if (rc == COMETA_CHUNK_DONE) {
            ngx_cometa_device_complete(dev);
        }
    }

    if (!dev->closing && cometa_chunk_begun(&dev->state.chunk)) {
        (void) ngx_cometa_device_begin(dev);
    }
}


static void
ngx_cometa_device_malformed(ngx_cometa_device_t *dev, int rc)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device sent a malformed chunk: %s", cometa_chunk_error(rc));

    ngx_cometa_stats_add(dev->state.app, errors, 1);
    ngx_cometa_device_mark(dev, NGX_COMETA_PROTOCOL_ERROR);
}


/* NULL: no memory, and the device is closing. */

static ngx_cometa_unread_t *
ngx_cometa_device_unread(ngx_cometa_device_t *dev)
{
    if (dev->unread) {
        return dev->unread;
    }

    dev->unread = ngx_calloc(sizeof(ngx_cometa_unread_t),
                             dev->connection->log);

    if (dev->unread == NULL) {
        ngx_cometa_device_mark(dev, NGX_COMETA_DISCONNECTED);
        return NULL;
    }

    dev->unread->device = dev;

    return dev->unread;
}


static void
ngx_cometa_device_put_off(ngx_cometa_device_t *dev, const u_char *data,
    size_t len)
{
    ngx_cometa_unread_t  *unread;

    unread = ngx_cometa_device_unread(dev);
    if (unread == NULL) {
        return;
    }

    unread->rest = ngx_alloc(len, dev->connection->log);

    if (unread->rest == NULL) {
        ngx_cometa_device_mark(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    unread->rest_len = len;
    ngx_memcpy(unread->rest, data, len);
}


/* A chunk has begun: its time to be complete begins. */

static ngx_int_t
ngx_cometa_device_begin(ngx_cometa_device_t *dev)
{
    ngx_cometa_unread_t  *unread;

    unread = ngx_cometa_device_unread(dev);
    if (unread == NULL) {
        return NGX_ERROR;
    }

    if (!unread->begun) {
        unread->begun = 1;
        unread->since = ngx_current_msec;
        ngx_queue_insert_tail(&dev->conf->partial, &unread->link);
    }

    return NGX_OK;
}


/* Memory grows with the bytes that have come, not with the announced size. */

static ngx_int_t
ngx_cometa_device_keep(ngx_cometa_device_t *dev, const u_char *data,
    size_t len)
{
    size_t                size;
    u_char               *p;
    ngx_cometa_unread_t  *unread;

    if (ngx_cometa_device_begin(dev) != NGX_OK) {
        return NGX_ERROR;
    }

    if (len == 0) {
        return NGX_OK;
    }

    unread = dev->unread;

    if (unread->len + len > unread->size) {
        size = ngx_max(unread->len + len,
                       ngx_min(2 * unread->size, dev->state.chunk.size));

        p = ngx_alloc(size, dev->connection->log);
        if (p == NULL) {
            ngx_cometa_device_mark(dev, NGX_COMETA_DISCONNECTED);
            return NGX_ERROR;
        }

        if (unread->data) {
            ngx_memcpy(p, unread->data, unread->len);
            ngx_free(unread->data);
        }

        unread->data = p;
        unread->size = size;
    }

    ngx_memcpy(unread->data + unread->len, data, len);
    unread->len += len;

    return NGX_OK;
}


static void
ngx_cometa_device_complete(ngx_cometa_device_t *dev)
{
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

    ngx_cometa_device_message_handler(dev, unread->data, unread->len);

    ngx_queue_remove(&unread->link);

    if (unread->data) {
        ngx_free(unread->data);
    }

    unread->begun = 0;
    unread->data = NULL;
    unread->len = 0;
    unread->size = 0;

    ngx_cometa_device_unread_free(dev);
}


/* Frees the struct if it is empty: an idle device has none. */

static void
ngx_cometa_device_unread_free(ngx_cometa_device_t *dev)
{
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

    if (!unread->begun && unread->rest == NULL) {
        dev->unread = NULL;
        ngx_free(unread);
    }
}


ngx_int_t
ngx_cometa_device_io_write(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    size_t   n;
    u_char  *p;

    /* head, data and end in one piece: one system call, one TLS record */

    p = ngx_cometa_write_buffer;
    n = cometa_chunk_head(p, len);

    ngx_memcpy(p + n, data, len);
    n += len;
    p[n++] = CR;
    p[n++] = LF;

    if (ngx_cometa_asked_pipeline(dev) > 1) {
        return ngx_cometa_device_gather(dev, p, n);
    }

    return ngx_cometa_device_send(dev, p, n);
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
    ngx_uint_t         quiet;
    ngx_connection_t  *c;

    c = dev->connection;

    /* nothing of it has left, and nobody waits for what it would lead to */

    if (dev->unsent && dev->unsent->gathered) {
        ngx_free(dev->unsent);
        dev->unsent = NULL;
    }

    quiet = (dev->unsent != NULL || dev->reason == NGX_COMETA_PROTOCOL_ERROR);

    if (last && !quiet && !c->error) {
        quiet = (ngx_cometa_connection_send(c, (u_char *) "0" CRLF CRLF, 5)
                 != 5);
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
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

    if (unread) {
        dev->unread = NULL;

        if (unread->begun) {
            ngx_queue_remove(&unread->link);
        }

        if (unread->data) {
            ngx_free(unread->data);
        }

        if (unread->rest) {
            ngx_free(unread->rest);
        }

        ngx_free(unread);
    }

    if (dev->unsent) {
        ngx_free(dev->unsent);
        dev->unsent = NULL;
    }
}
