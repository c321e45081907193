
/*
 * Reads messages and passes them to the handler. State: what is kept with each
 * device.
 */

#include "ngx_cometa_device_input.h"
#include "ngx_cometa.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_reader.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_transport.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


#define NGX_COMETA_READ_PORTION  16384  /* more than the begun message */


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
static void ngx_cometa_device_unbegin(ngx_cometa_device_t *dev);
static void ngx_cometa_device_other(ngx_cometa_device_t *dev, int rc);
static void ngx_cometa_device_unread_free(ngx_cometa_device_t *dev);


static const ngx_cometa_reader_t      ngx_cometa_device_reader = {
    ngx_cometa_device_portion,
    ngx_cometa_device_take
};

static ngx_cometa_device_message_pt   ngx_cometa_device_message_handler;
static ngx_cometa_device_sign_pt      ngx_cometa_device_sign_handler;


void
ngx_cometa_device_input_start(ngx_cometa_device_message_pt message,
    ngx_cometa_device_sign_pt sign)
{
    ngx_cometa_device_message_handler = message;
    ngx_cometa_device_sign_handler = sign;
}


ngx_int_t
ngx_cometa_device_input(ngx_cometa_device_t *dev, u_char *data, size_t len)
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

    return ngx_cometa_transport(dev)->rest(dev) + NGX_COMETA_READ_PORTION;
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
    int                            rc;
    size_t                         n;
    u_char                        *p, *end, *piece;
    ngx_uint_t                     begun;
    const ngx_cometa_transport_t  *transport;

    p = data;
    end = data + len;
    transport = ngx_cometa_transport(dev);

    while (!dev->closing) {

        if (p < end && ngx_cometa_turn_over()) {
            ngx_cometa_device_put_off(dev, p, end - p);
            return;
        }

        rc = transport->parse(dev, &p, end, &piece, &n);

        if (rc == NGX_COMETA_PARSE_AGAIN) {
            break;
        }

        if (rc < 0) {
            ngx_cometa_device_malformed(dev, rc);
            return;
        }

        if (rc > NGX_COMETA_PARSE_DONE) {
            ngx_cometa_device_other(dev, rc);
            continue;
        }

        begun = (dev->unread && dev->unread->begun);

        if (rc == NGX_COMETA_PARSE_DONE && !begun) {
            ngx_cometa_device_message_handler(dev, piece, n);
            continue;
        }

        if (ngx_cometa_device_keep(dev, piece, n) != NGX_OK) {
            return;
        }

        if (rc == NGX_COMETA_PARSE_DONE) {
            ngx_cometa_device_complete(dev);
        }
    }

    if (dev->closing) {
        return;
    }

    if (transport->begun(dev)) {
        (void) ngx_cometa_device_begin(dev);

    } else if (dev->unread && dev->unread->begun) {
        ngx_cometa_device_unbegin(dev);
    }
}


/* An event of the transport that is no piece of a message. */

static void
ngx_cometa_device_other(ngx_cometa_device_t *dev, int rc)
{
    ngx_cometa_work += NGX_COMETA_WORK_MESSAGE;

    switch (rc) {

    case NGX_COMETA_PARSE_SIGN:
        ngx_cometa_device_sign_handler(dev);
        return;

    case NGX_COMETA_PARSE_LEAVES:
        ngx_cometa_device_mark(dev, NGX_COMETA_DETACHED);
        return;

    case NGX_COMETA_PARSE_MEMORY:
        ngx_cometa_device_mark(dev, NGX_COMETA_DISCONNECTED);
        return;

    default: /* NGX_COMETA_PARSE_NOTHING */
        return;
    }
}


static void
ngx_cometa_device_malformed(ngx_cometa_device_t *dev, int rc)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device sent a malformed %s: %s",
                  dev->frames ? "frame" : "chunk",
                  ngx_cometa_transport(dev)->error(rc));

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


/* A message has begun: its time to be complete begins. */

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
        ngx_queue_insert_tail(&ngx_cometa_device_life(dev)->partial,
                              &unread->link);
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
                       ngx_min((size_t) 2 * unread->size,
                               ngx_cometa_transport(dev)->size(dev)));

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

    ngx_cometa_device_unbegin(dev);
}


/* Nothing is begun any more. */

static void
ngx_cometa_device_unbegin(ngx_cometa_device_t *dev)
{
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

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


void
ngx_cometa_device_input_free(ngx_cometa_device_t *dev)
{
    ngx_cometa_unread_t  *unread;

    unread = dev->unread;

    if (unread == NULL) {
        return;
    }

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
