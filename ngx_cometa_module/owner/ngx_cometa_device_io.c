
/*
 * The connection of a device: reads chunks and hands messages up, writes
 * chunks and keeps what the socket does not take.
 */

#include "ngx_cometa_device_io.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_drain.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_chunk.h"
#include "cometa_ring.h"


#define NGX_COMETA_READ_SIZE     65536
#define NGX_COMETA_READ_PORTION  16384  /* beyond a chunk that is begun */
#define NGX_COMETA_DEVICE_TURNS  1024   /* then it is spoken to all the same */


static size_t ngx_cometa_device_portion(ngx_cometa_device_t *dev);
static void ngx_cometa_device_resume(ngx_cometa_device_t *dev);
static void ngx_cometa_device_parse(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_device_put_off(ngx_cometa_device_t *dev,
    const u_char *data, size_t len);
static ngx_int_t ngx_cometa_device_keep(ngx_cometa_device_t *dev,
    const u_char *data, size_t len);
static void ngx_cometa_device_message(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static ngx_int_t ngx_cometa_device_send(ngx_cometa_device_t *dev,
    u_char *data, size_t len);


/* One of each is enough: a worker reads or writes one device at a time. */

static u_char                *ngx_cometa_read_buffer;
static u_char                *ngx_cometa_write_buffer;


ngx_int_t
ngx_cometa_device_start(ngx_cycle_t *cycle)
{
    size_t  max;

    /* workers of a newer configuration may send longer messages than ours */

    max = cometa_ring_max(ngx_cometa_zone.head->ring_size);

    ngx_cometa_read_buffer = ngx_palloc(cycle->pool, NGX_COMETA_READ_SIZE);

    ngx_cometa_write_buffer = ngx_palloc(cycle->pool,
                                         max + COMETA_CHUNK_HEAD_MAX + 2);

    if (ngx_cometa_read_buffer == NULL || ngx_cometa_write_buffer == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_cometa_device_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cometa_device_t  *dev;

    c = rev->data;
    dev = c->data;

    ngx_cometa_expect(dev->used && dev->connection == c);

    ngx_cometa_device_log(dev);

    if (c->close) {
        /* worker_shutdown_timeout: it goes when its turn comes */
        c->close = 0;
        c->error = 0;
        ngx_cometa_drain_overdue();
        return;
    }

    if (rev->posted) {
        /* it stands in line for its next turn */
        return;
    }

    ngx_cometa_device_read(dev, NULL, 0);
}


void
ngx_cometa_device_read(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ssize_t            n;
    ngx_uint_t         more;
    ngx_connection_t  *c;

    c = dev->connection;
    more = 1;

    ngx_cometa_turn_begin();

    dev->reading = 1;

    if (len) {
        ngx_cometa_device_parse(dev, data, len);

    } else {
        ngx_cometa_device_resume(dev);
    }

    while (more && !dev->closing && !ngx_cometa_turn_over()) {

        n = ngx_cometa_connection_recv(c, ngx_cometa_read_buffer,
                                       ngx_cometa_device_portion(dev));
        if (n == NGX_AGAIN) {
            more = 0;
            break;
        }

        if (n == 0 || n == NGX_ERROR) {
            c->error = (n == NGX_ERROR);
            ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
            break;
        }

        ngx_cometa_device_parse(dev, ngx_cometa_read_buffer, n);
        ngx_cometa_work += ngx_cometa_work_bytes(n);

        more = (c->read->ready || dev->rest);
    }

    dev->reading = 0;

    if (!dev->closing && ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    if (dev->closing) {
        ngx_cometa_device_finish(dev);
        return;
    }

    if (more) {
        ngx_cometa_turn_again(c->read);

        /* one that never stops can be called nevertheless */

        if (++dev->turns < NGX_COMETA_DEVICE_TURNS) {
            return;
        }
    }

    dev->turns = 0;

    /* all that has come was read before something is written */

    if (dev->queue) {
        ngx_cometa_device_handlers.ready(dev);
    }
}


/*
 * What is read and not parsed when the turn is over has to be kept, so it is
 * not much: but a large message is read in one piece.
 */

static size_t
ngx_cometa_device_portion(ngx_cometa_device_t *dev)
{
    return ngx_min((size_t) dev->chunk.rest + NGX_COMETA_READ_PORTION,
                   NGX_COMETA_READ_SIZE);
}


/* What an earlier turn has left. */

static void
ngx_cometa_device_resume(ngx_cometa_device_t *dev)
{
    ngx_cometa_output_t  *rest;

    rest = dev->rest;

    if (rest == NULL) {
        return;
    }

    dev->rest = NULL;

    ngx_cometa_device_parse(dev, rest->data, rest->len);

    ngx_free(rest);
}


static void
ngx_cometa_device_put_off(ngx_cometa_device_t *dev, const u_char *data,
    size_t len)
{
    ngx_cometa_output_t  *rest;

    rest = ngx_alloc(sizeof(ngx_cometa_output_t) + len, dev->connection->log);
    if (rest == NULL) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    rest->pos = 0;
    rest->len = len;
    ngx_memcpy(rest->data, data, len);

    dev->rest = rest;
}


void
ngx_cometa_device_write_handler(ngx_event_t *wev)
{
    ssize_t               n;
    ngx_connection_t     *c;
    ngx_cometa_device_t  *dev;
    ngx_cometa_output_t  *out;

    c = wev->data;
    dev = c->data;
    out = dev->output;

    if (out == NULL) {
        (void) ngx_handle_write_event(wev, 0);
        return;
    }

    ngx_cometa_device_log(dev);

    while (out->pos < out->len) {

        n = ngx_cometa_connection_send(c, out->data + out->pos,
                                       out->len - out->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(wev, 0) != NGX_OK) {
                ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
            }

            return;
        }

        if (n == NGX_ERROR) {
            c->error = 1;
            ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
            return;
        }

        out->pos += n;
    }

    dev->output = NULL;
    ngx_free(out);

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    ngx_cometa_device_handlers.ready(dev);
}


static void
ngx_cometa_device_parse(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    int                  rc;
    size_t               n;
    const u_char        *p, *end, *piece;
    ngx_cometa_input_t  *in;

    p = data;
    end = data + len;

    while (!dev->closing) {

        if (p < end && ngx_cometa_turn_over()) {
            ngx_cometa_device_put_off(dev, p, end - p);
            return;
        }

        rc = cometa_chunk_parse(&dev->chunk, &p, end, dev->conf->max_message,
                                &piece, &n);

        if (rc == COMETA_CHUNK_AGAIN) {
            break;
        }

        if (rc < 0) {
            ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                          "device sent a malformed chunk: %s",
                          cometa_chunk_error(rc));
            ngx_cometa_stats_add(dev->app, errors, 1);
            ngx_cometa_device_close(dev, NGX_COMETA_PROTOCOL_ERROR);
            return;
        }

        if (rc == COMETA_CHUNK_DONE && dev->input == NULL) {
            ngx_cometa_device_message(dev, (u_char *) piece, n);
            continue;
        }

        if (ngx_cometa_device_keep(dev, piece, n) != NGX_OK) {
            return;
        }

        if (rc == COMETA_CHUNK_DONE) {
            in = dev->input;
            ngx_cometa_device_message(dev, in->data, in->len);
            ngx_cometa_device_drop_input(dev);
        }
    }

    if (!dev->closing
        && dev->input == NULL
        && cometa_chunk_begun(&dev->chunk))
    {
        (void) ngx_cometa_device_keep(dev, NULL, 0);
    }
}


/* Memory grows with what has arrived, not with what was announced. */

static ngx_int_t
ngx_cometa_device_keep(ngx_cometa_device_t *dev, const u_char *data,
    size_t len)
{
    size_t               size;
    u_char              *p;
    ngx_cometa_input_t  *in;

    in = dev->input;

    if (in == NULL) {
        in = ngx_calloc(sizeof(ngx_cometa_input_t), dev->connection->log);
        if (in == NULL) {
            goto failed;
        }

        in->device = dev;
        in->begun = ngx_current_msec;
        dev->input = in;

        ngx_queue_insert_tail(&dev->conf->partial, &in->link);
        ngx_cometa_device_arm(dev->conf);
    }

    if (len == 0) {
        return NGX_OK;
    }

    if (in->len + len > in->size) {
        size = ngx_max(in->len + len, ngx_min(2 * in->size, dev->chunk.size));

        p = ngx_alloc(size, dev->connection->log);
        if (p == NULL) {
            goto failed;
        }

        if (in->data) {
            ngx_memcpy(p, in->data, in->len);
            ngx_free(in->data);
        }

        in->data = p;
        in->size = size;
    }

    ngx_memcpy(in->data + in->len, data, len);
    in->len += len;

    return NGX_OK;

failed:

    ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);

    return NGX_ERROR;
}


void
ngx_cometa_device_drop_input(ngx_cometa_device_t *dev)
{
    ngx_cometa_input_t  *in;

    in = dev->input;

    if (in == NULL) {
        return;
    }

    dev->input = NULL;

    ngx_queue_remove(&in->link);

    if (in->data) {
        ngx_free(in->data);
    }

    ngx_free(in);
}


static void
ngx_cometa_device_message(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_cometa_device_touch(dev);

    ngx_cometa_work += NGX_COMETA_WORK_MESSAGE;

    dev->bytes_up += len;
    dev->messages_up++;

    if (len == 1 && data[0] == NGX_COMETA_CHUNK_HEARTBEAT) {
        dev->heartbeat = ngx_time();
        return;
    }

    ngx_cometa_stats_add(dev->app, bytes_up, len);

    if (len && data[0] == NGX_COMETA_CHUNK_EVENT) {
        ngx_cometa_stats_add(dev->app, events, 1);
        ngx_cometa_device_handlers.event(dev, data + 1, len - 1);
        return;
    }

    if (len == 0
        && !(dev->sdk && ngx_cometa_device_handlers.outstanding(dev)))
    {
        ngx_cometa_device_close(dev, NGX_COMETA_DETACHED);
        return;
    }

    if (ngx_cometa_device_handlers.reply(dev, data, len) == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                      "device sent %uz bytes that answer no call", len);
        ngx_cometa_stats_add(dev->app, errors, 1);
    }
}


ngx_int_t
ngx_cometa_device_write(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    size_t   n;
    u_char  *p;

    if (dev->closing) {
        return NGX_ERROR;
    }

    if (!ngx_cometa_device_writable(dev)) {
        return NGX_AGAIN;
    }

    ngx_cometa_device_log(dev);

    /* head, data and end in one piece: one system call, one TLS record */

    p = ngx_cometa_write_buffer;
    n = cometa_chunk_head(p, len);

    ngx_memcpy(p + n, data, len);
    n += len;
    p[n++] = CR;
    p[n++] = LF;

    if (ngx_cometa_device_send(dev, p, n) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return NGX_ERROR;
    }

    dev->bytes_down += len;
    dev->messages_down++;
    ngx_cometa_stats_add(dev->app, bytes_down, len);

    return NGX_OK;
}


ngx_uint_t
ngx_cometa_device_writable(ngx_cometa_device_t *dev)
{
    /* while it is read, the next bytes may be an answer that is too many */

    return dev->connection && dev->output == NULL && !dev->reading
           && !dev->closing && dev->turns == 0;
}


/* What the socket does not take is kept; then no further write is taken. */

static ngx_int_t
ngx_cometa_device_send(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ssize_t               n;
    ngx_connection_t     *c;
    ngx_cometa_output_t  *out;

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

    out = ngx_alloc(sizeof(ngx_cometa_output_t) + len, c->log);
    if (out == NULL) {
        return NGX_ERROR;
    }

    out->pos = 0;
    out->len = len;
    ngx_memcpy(out->data, data, len);

    dev->output = out;

    return ngx_handle_write_event(c->write, 0);
}
