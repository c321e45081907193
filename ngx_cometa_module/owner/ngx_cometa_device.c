
/*
 * The life of a device. It belongs to this worker alone; the only things in
 * the zone that are touched here are its record and counters.
 */

#include "ngx_cometa_device.h"
#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa_reader.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_gather.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_device_time.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_chunk.h"


#define NGX_COMETA_DEVICE_TURNS   1024  /* then it is written to all the same */
#define NGX_COMETA_DEVICE_LOOK    4096  /* looked at in one go, to release */
#define NGX_COMETA_DEVICE_SPARE   5000  /* ms, for outstanding calls */


static void ngx_cometa_device_read_handler(ngx_event_t *rev);
static void ngx_cometa_device_write_handler(ngx_event_t *wev);
static void ngx_cometa_device_read(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_device_message(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_device_sign(ngx_cometa_device_t *dev);
static void ngx_cometa_device_ping(ngx_cometa_device_t *dev);
static void ngx_cometa_device_look(ngx_cometa_device_t *dev);
static void ngx_cometa_device_finish(ngx_cometa_device_t *dev);


/* A call that crosses workers touches the first cache line and the state. */

_Static_assert(offsetof(ngx_cometa_device_t, state) == 64, "a cache line");
_Static_assert(sizeof(ngx_cometa_device_t) == 192, "of an idle device");


ngx_cometa_device_handlers_t  ngx_cometa_device_handlers;


ngx_int_t
ngx_cometa_device_start(ngx_cycle_t *cycle)
{
    ngx_cometa_device_time_start(ngx_cometa_device_close,
                                 ngx_cometa_device_ping);

    ngx_cometa_device_input_start(ngx_cometa_device_message,
                                  ngx_cometa_device_sign);

    return ngx_cometa_device_io_start(cycle);
}


void
ngx_cometa_device_conf_init(ngx_cometa_device_conf_t *conf, ngx_log_t *log)
{
    conf->error_log = log;

    ngx_cometa_device_time_init(conf, log);
}


ngx_cometa_device_t *
ngx_cometa_device_create(ngx_cometa_device_conf_t *conf)
{
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_alloc();
    if (dev == NULL) {
        return NULL;
    }

    dev->conf = conf;
    dev->state.connected = ngx_time();

    cometa_chunk_init(&dev->state.chunk);

    return dev;
}


ngx_int_t
ngx_cometa_device_enter(ngx_cometa_device_t *dev, ngx_cometa_key_t *key,
    ngx_cometa_takeover_t *takeover, ngx_cometa_place_t *old)
{
    ngx_int_t           rc;
    ngx_cometa_place_t  place;

    rc = ngx_cometa_registry_attach(key, dev->handle, takeover, &place, old);

    if (rc != NGX_OK) {
        return rc;
    }

    dev->state.record = place.record;
    dev->state.session = place.session;
    dev->state.app = place.app;
    dev->state.hash = key->hash;
    dev->state.successor = (old->session != 0);

    ngx_cometa_stats_add(dev->state.app, attached, 1);

    return NGX_OK;
}


void
ngx_cometa_device_open(ngx_cometa_device_t *dev, ngx_connection_t *c,
    u_char *data, size_t len)
{
    dev->connection = c;

    ngx_cometa_address_set(&dev->state.address, c->sockaddr);
    ngx_cometa_connection_detach(c, dev, NULL, 0, &dev->conf->log);

    c->read->handler = ngx_cometa_device_read_handler;
    c->write->handler = ngx_cometa_device_write_handler;

    ngx_cometa_device_log(dev);

    if (dev->closing) {
        ngx_cometa_device_finish(dev);
        return;
    }

    ngx_cometa_device_time_enter(dev);

    ngx_cometa_device_log_attached(dev);
    ngx_cometa_device_handlers.opened(dev);

    /*
     * Edge-triggered: what came meanwhile makes no new event. After it, the
     * calls that have been waiting since it was entered in the registry.
     */

    ngx_cometa_device_read(dev, data, len);
}


void
ngx_cometa_device_continue(ngx_cometa_device_t *dev)
{
    ngx_connection_t  *c;

    c = dev->connection;

    ngx_cometa_connection_detach(c, dev, NULL, 0, &dev->conf->log);

    c->read->handler = ngx_cometa_device_read_handler;
    c->write->handler = ngx_cometa_device_write_handler;
    c->read->ready = 1;
    c->write->ready = 1;

    dev->away = 0;
    ngx_cometa_fdpass_back(c);

    ngx_cometa_device_log(dev);
    ngx_cometa_device_time_arrive(dev);

    if (dev->unread && dev->unread->begun) {
        ngx_queue_insert_tail(&ngx_cometa_device_life(dev)->partial,
                              &dev->unread->link);
    }

    if (dev->unsent && ngx_cometa_device_io_flush(dev) == NGX_ERROR) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    ngx_cometa_device_read(dev, NULL, 0);
}


void
ngx_cometa_device_forget(ngx_cometa_device_t *dev)
{
    ngx_cometa_device_time_leave(dev);
    ngx_cometa_device_io_free(dev);
    ngx_cometa_device_card_free(dev);
    ngx_cometa_asked_free(dev);
    ngx_cometa_device_log_leave(dev);
    ngx_cometa_device_free(dev);
}


static void
ngx_cometa_device_read_handler(ngx_event_t *rev)
{
    ngx_connection_t     *c;
    ngx_cometa_device_t  *dev;

    c = rev->data;
    dev = c->data;

    ngx_cometa_device_log(dev);

    if (ngx_cometa_reader_due(c)) {
        ngx_cometa_device_read(dev, NULL, 0);
    }
}


/* A turn: reads on behind these bytes, which came with the attach. */

static void
ngx_cometa_device_read(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_int_t  rc;

    dev->reading = 1;
    rc = ngx_cometa_device_input(dev, data, len);
    dev->reading = 0;

    if (rc == NGX_ERROR) {
        ngx_cometa_device_finish(dev);
        return;
    }

    if (dev->unread && dev->unread->begun) {
        ngx_cometa_device_time_arm(dev);
    }

    if (dev->asked && ngx_cometa_device_io_answer(dev) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_cometa_turn_again(dev->connection->read);

        /* one that never stops can be called nevertheless */

        if (++dev->turns < NGX_COMETA_DEVICE_TURNS) {
            return;
        }
    }

    dev->turns = 0;

    /* all that has come was read before something is written */

    if (dev->queue || (dev->asked && dev->asked->questions)) {
        ngx_cometa_device_handlers.ready(dev);
    }
}


static void
ngx_cometa_device_message(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_cometa_device_time_hear(dev);

    ngx_cometa_work += NGX_COMETA_WORK_MESSAGE;

    dev->state.bytes_up += len;
    dev->state.messages_up++;

    if (len == 1 && data[0] == NGX_COMETA_CHUNK_HEARTBEAT) {
        dev->state.heartbeat = ngx_time();
        ngx_cometa_asked_echo(dev);
        ngx_cometa_device_look(dev);
        return;
    }

    ngx_cometa_stats_add(dev->state.app, bytes_up, len);

    if (len && data[0] == NGX_COMETA_CHUNK_EVENT) {
        ngx_cometa_stats_add(dev->state.app, events, 1);
        ngx_cometa_device_handlers.event(dev, data + 1, len - 1);
        ngx_cometa_device_look(dev);
        return;
    }

    if (len && data[0] == NGX_COMETA_CHUNK_REQUEST
        && dev->asked && dev->asked->terms.requests)
    {
        ngx_cometa_device_handlers.request(dev, data + 1, len - 1);
        ngx_cometa_device_look(dev);
        return;
    }

    /* over a WebSocket nobody leaves by an empty message */

    if (len == 0
        && !dev->frames
        && !(dev->state.sdk && ngx_cometa_device_handlers.outstanding(dev)))
    {
        ngx_cometa_device_close(dev, NGX_COMETA_DETACHED);
        return;
    }

    if (ngx_cometa_device_handlers.reply(dev, data, len) == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                      "device sent %uz bytes that answer no call", len);
        ngx_cometa_stats_add(dev->state.app, errors, 1);
    }
}


/* A ping or a pong. */

static void
ngx_cometa_device_sign(ngx_cometa_device_t *dev)
{
    ngx_cometa_device_time_hear(dev);

    dev->state.heartbeat = ngx_time();

    ngx_cometa_device_look(dev);
}


/* It was silent for a while. */

static void
ngx_cometa_device_ping(ngx_cometa_device_t *dev)
{
    dev->asked->ping_due = 1;

    ngx_cometa_device_log(dev);

    if (ngx_cometa_device_io_answer(dev) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
    }
}


/*
 * A worker that has taken the device over and died before it could say so has
 * left this connection: no call would ever come to it again.
 */

static void
ngx_cometa_device_look(ngx_cometa_device_t *dev)
{
    if (!ngx_cometa_registry_here(dev->state.record, dev->state.session)) {
        ngx_cometa_device_close(dev, NGX_COMETA_TAKEN_OVER);
    }
}


static void
ngx_cometa_device_write_handler(ngx_event_t *wev)
{
    ngx_int_t             rc;
    ngx_connection_t     *c;
    ngx_cometa_device_t  *dev;

    c = wev->data;
    dev = c->data;

    if (dev->unsent == NULL) {
        (void) ngx_handle_write_event(wev, 0);
        return;
    }

    ngx_cometa_device_log(dev);

    rc = ngx_cometa_device_io_flush(dev);

    if (rc == NGX_ERROR) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return;
    }

    if (rc == NGX_OK && dev->asked) {
        rc = ngx_cometa_device_io_answer(dev);

        if (rc == NGX_ERROR) {
            ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
            return;
        }
    }

    if (rc == NGX_OK) {
        ngx_cometa_device_handlers.ready(dev);
    }
}


ngx_int_t
ngx_cometa_device_write(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    if (dev->closing) {
        return NGX_ERROR;
    }

    if (!ngx_cometa_device_writable(dev)) {
        return NGX_AGAIN;
    }

    ngx_cometa_device_log(dev);

    if (ngx_cometa_device_io_write(dev, data, len) != NGX_OK) {
        ngx_cometa_device_close(dev, NGX_COMETA_DISCONNECTED);
        return NGX_ERROR;
    }

    dev->state.bytes_down += len;
    dev->state.messages_down++;
    ngx_cometa_stats_add(dev->state.app, bytes_down, len);

    return NGX_OK;
}


ngx_uint_t
ngx_cometa_device_writable(ngx_cometa_device_t *dev)
{
    /* while it is read, the next bytes may be an answer that is too many */

    return dev->connection && ngx_cometa_device_gathers(dev)
           && !dev->reading && !dev->closing && !dev->away && dev->turns == 0;
}


void
ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    if (dev->closing) {
        return;
    }

    ngx_cometa_device_mark(dev, reason);

    /* one that is opening is finished by ngx_cometa_device_open() */

    if (!dev->reading && dev->connection) {
        ngx_cometa_device_finish(dev);
    }
}


void
ngx_cometa_device_evict(ngx_cometa_device_t *dev, ngx_str_t *by)
{
    ngx_cometa_device_log_taken_over(dev, by);
    ngx_cometa_device_close(dev, NGX_COMETA_TAKEN_OVER);
}


void
ngx_cometa_device_discard(ngx_cometa_device_t *dev)
{
    dev->closing = 1;
    dev->reason = NGX_COMETA_DISCONNECTED;

    ngx_cometa_device_finish(dev);
}


static void
ngx_cometa_device_finish(ngx_cometa_device_t *dev)
{
    ngx_uint_t  reason;

    ngx_cometa_expect(dev->used && dev->closing);

    reason = dev->reason;

    if (dev->connection && dev->life.prev) {
        ngx_cometa_device_log(dev);
        ngx_cometa_device_log_detached(dev, reason);
    }

    if (dev->state.session) {
        ngx_cometa_device_handlers.closed(dev, reason);

        ngx_cometa_stats_add(dev->state.app, detached[reason], 1);
        ngx_cometa_gauge_add(dev->state.app, devices, -1);
    }

    ngx_cometa_device_time_leave(dev);

    if (dev->connection) {
        ngx_cometa_device_log(dev);
        ngx_cometa_device_io_close(dev, reason != NGX_COMETA_DISCONNECTED);
    }

    ngx_cometa_device_io_free(dev);
    ngx_cometa_device_card_free(dev);
    ngx_cometa_asked_free(dev);
    ngx_cometa_device_log_leave(dev);
    ngx_cometa_device_free(dev);
}


/*
 * Walks over the table of devices again and again. A device with an outstanding
 * call is passed over, until all others have gone and it has had some time more
 * to answer.
 */

ngx_uint_t
ngx_cometa_device_release(ngx_uint_t max)
{
    static ngx_uint_t     place, rounds;
    static ngx_msec_t     since;

    ngx_uint_t            n, spare;
    ngx_cometa_device_t  *dev;

    spare = (rounds == 0
             || ngx_current_msec - since < NGX_COMETA_DEVICE_SPARE);

    for (n = 0;
         n < NGX_COMETA_DEVICE_LOOK && max && ngx_cometa_device_count();
         n++)
    {
        dev = ngx_cometa_device_next(&place);

        if (place == 0 && rounds++ == 0) {
            since = ngx_current_msec;
        }

        if (!dev->used || dev->closing || dev->away
            || (spare && ngx_cometa_device_handlers.outstanding(dev)))
        {
            continue;
        }

        ngx_cometa_device_close(dev, NGX_COMETA_DRAINED);
        max--;
    }

    return ngx_cometa_device_count();
}
