
/*
 * The device connection. It belongs to this worker alone; the only things in
 * the zone that are touched here are the device's record and counters.
 */

#include "ngx_cometa_device.h"
#include "ngx_cometa_debug.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"
#include "cometa_ws.h"


#define NGX_COMETA_DEVICE_CHUNK  512    /* devices allocated at once */
#define NGX_COMETA_DEVICE_EXPIRE 200    /* closed in one go */
#define NGX_COMETA_DEVICE_LOOK   4096   /* looked at in one go, to release */
#define NGX_COMETA_DEVICE_SPARE  5000   /* ms, for outstanding calls */


/* Workers that hold WebSockets to a device. */

typedef struct {
    uint32_t                   slot;
    uint32_t                   epoch;
    ngx_uint_t                 n;
} ngx_cometa_watcher_t;


struct ngx_cometa_watchers_s {
    ngx_uint_t                 n;
    ngx_cometa_watcher_t       elts[1];
};


static ngx_int_t ngx_cometa_device_grow(void);
static void ngx_cometa_device_free(ngx_cometa_device_t *dev);
static void ngx_cometa_device_adopt(ngx_cometa_device_t *dev,
    ngx_connection_t *c);
static void ngx_cometa_device_timer(ngx_event_t *ev);
static u_char *ngx_cometa_device_log_error(ngx_log_t *log, u_char *buf,
    size_t len);
static ngx_uint_t ngx_cometa_device_watched(ngx_cometa_device_t *dev);
static u_char *ngx_cometa_json_text(u_char *dst, u_char *src, size_t len);


ngx_cometa_device_handlers_t  ngx_cometa_device_handlers;


/*
 * The table of devices. A handle is an index: chunks never move and are
 * never freed, so a stale handle finds a device that has another session.
 */

static ngx_cometa_device_t  **ngx_cometa_devices;
static ngx_uint_t             ngx_cometa_devices_chunks;
static ngx_uint_t             ngx_cometa_devices_used;
static ngx_queue_t           *ngx_cometa_devices_free;


ngx_cometa_device_t *
ngx_cometa_device_create(ngx_cometa_device_conf_t *conf)
{
    uint32_t              handle;
    ngx_cometa_device_t  *dev;

    if (ngx_cometa_devices_free == NULL && ngx_cometa_device_grow() != NGX_OK)
    {
        return NULL;
    }

    dev = ngx_queue_data(ngx_cometa_devices_free, ngx_cometa_device_t, life);
    ngx_cometa_devices_free = dev->life.next;
    ngx_cometa_devices_used++;

    handle = dev->handle;

    ngx_memzero(dev, sizeof(ngx_cometa_device_t));

    dev->handle = handle;
    dev->used = 1;
    dev->conf = conf;
    dev->connected = ngx_time();

    cometa_chunk_init(&dev->chunk);

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

    dev->record = place.record;
    dev->session = place.session;
    dev->app = place.app;
    dev->hash = (uint32_t) key->hash;
    dev->successor = (old->session != 0);

    ngx_cometa_stats_add(dev->app, attached, 1);

    return NGX_OK;
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

        if (n) {
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


static void
ngx_cometa_device_free(ngx_cometa_device_t *dev)
{
    ngx_cometa_expect(dev->used && ngx_cometa_devices_used > 0);

    if (dev->info) {
        ngx_free(dev->info);
    }

    if (dev->output) {
        ngx_free(dev->output);
    }

    if (dev->rest) {
        ngx_free(dev->rest);
    }

    if (dev->watchers) {
        ngx_free(dev->watchers);
    }

    ngx_cometa_device_drop_input(dev);

    /* whoever logs next by the log of the location is another one */

    if (dev->conf->log.data == dev) {
        dev->conf->log.data = NULL;
    }

    dev->connection = NULL;
    dev->used = 0;
    dev->session = 0;

    dev->life.next = ngx_cometa_devices_free;
    ngx_cometa_devices_free = &dev->life;
    ngx_cometa_devices_used--;
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

    if (!dev->used || dev->closing || dev->session != session) {
        return NULL;
    }

    return dev;
}


ngx_uint_t
ngx_cometa_device_count(void)
{
    return ngx_cometa_devices_used;
}


/*
 * Walks over the table of devices again and again. A device with an outstanding
 * call is passed over, until all others have gone and it has had some time more
 * to answer.
 */

ngx_uint_t
ngx_cometa_device_release(ngx_uint_t max)
{
    static ngx_uint_t     next, rounds;
    static ngx_msec_t     since;

    ngx_uint_t            n, spare;
    ngx_cometa_device_t  *dev;

    spare = (rounds == 0
             || ngx_current_msec - since < NGX_COMETA_DEVICE_SPARE);

    for (n = 0; n < NGX_COMETA_DEVICE_LOOK && max && ngx_cometa_devices_used;
         n++)
    {
        dev = &ngx_cometa_devices[next / NGX_COMETA_DEVICE_CHUNK]
                                 [next % NGX_COMETA_DEVICE_CHUNK];

        if (++next >= ngx_cometa_devices_chunks * NGX_COMETA_DEVICE_CHUNK) {
            next = 0;

            if (rounds++ == 0) {
                since = ngx_current_msec;
            }
        }

        if (!dev->used || dev->closing
            || (spare && ngx_cometa_device_handlers.outstanding(dev)))
        {
            continue;
        }

        ngx_cometa_device_close(dev, NGX_COMETA_DRAINED);
        max--;
    }

    return ngx_cometa_devices_used;
}


void
ngx_cometa_device_open(ngx_cometa_device_t *dev, ngx_connection_t *c,
    u_char *data, size_t len)
{
    ngx_cometa_device_adopt(dev, c);

    ngx_cometa_device_log(dev);

    if (dev->closing) {
        ngx_cometa_device_finish(dev);
        return;
    }

    dev->alive = ngx_current_msec;
    ngx_queue_insert_tail(&dev->conf->life, &dev->life);
    ngx_cometa_device_arm(dev->conf);

    ngx_cometa_device_log_attached(dev);
    ngx_cometa_device_handlers.opened(dev);

    /*
     * Edge-triggered: what came meanwhile makes no new event. After it, the
     * calls that have been waiting since it was entered in the registry.
     */

    ngx_cometa_device_read(dev, data, len);
}


static void
ngx_cometa_device_adopt(ngx_cometa_device_t *dev, ngx_connection_t *c)
{
    dev->connection = c;

    dev->addr_len = ngx_cometa_connection_detach(c, dev, dev->addr,
                                                 sizeof(dev->addr),
                                                 &dev->conf->log);

    c->read->handler = ngx_cometa_device_read_handler;
    c->write->handler = ngx_cometa_device_write_handler;
}


void
ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    if (dev->closing) {
        return;
    }

    dev->closing = 1;
    dev->reason = reason;

    /* one that is opening is finished by ngx_cometa_device_open() */

    if (!dev->reading && dev->connection) {
        ngx_cometa_device_finish(dev);
    }
}


void
ngx_cometa_device_discard(ngx_cometa_device_t *dev)
{
    dev->closing = 1;
    dev->reason = NGX_COMETA_DISCONNECTED;

    ngx_cometa_device_finish(dev);
}


void
ngx_cometa_device_finish(ngx_cometa_device_t *dev)
{
    ngx_uint_t         reason, quiet;
    ngx_connection_t  *c;

    ngx_cometa_expect(dev->used && dev->closing);

    c = dev->connection;
    reason = dev->reason;

    if (c && dev->life.prev) {
        ngx_cometa_device_log(dev);
        ngx_cometa_device_log_detached(dev, reason);
    }

    if (dev->session) {
        ngx_cometa_device_handlers.closed(dev, reason);

        ngx_cometa_stats_add(dev->app, detached[reason], 1);
        ngx_cometa_gauge_add(dev->app, devices, -1);
    }

    if (dev->life.prev) {
        ngx_queue_remove(&dev->life);

        if (ngx_queue_empty(&dev->conf->life) && dev->conf->timer.timer_set) {
            ngx_del_timer(&dev->conf->timer);
        }
    }

    if (c) {
        ngx_cometa_device_log(dev);

        quiet = (dev->output != NULL || reason == NGX_COMETA_PROTOCOL_ERROR);

        if (reason != NGX_COMETA_DISCONNECTED && !quiet && !c->error) {
            quiet = (ngx_cometa_connection_send(c, (u_char *) "0" CRLF CRLF, 5)
                     != 5);
        }

        ngx_cometa_connection_close(c, quiet);
    }

    ngx_cometa_device_free(dev);
}


void
ngx_cometa_device_touch(ngx_cometa_device_t *dev)
{
    dev->alive = ngx_current_msec;

    ngx_queue_remove(&dev->life);
    ngx_queue_insert_tail(&dev->conf->life, &dev->life);
}


/*
 * Not cancelable: as long as there are devices the timer keeps a worker that
 * is shutting down alive. Where there are none it is not set.
 */

void
ngx_cometa_device_arm(ngx_cometa_device_conf_t *conf)
{
    int32_t               left, wait;
    uint32_t              now;
    ngx_cometa_input_t   *in;
    ngx_cometa_device_t  *dev;

    if (ngx_queue_empty(&conf->life)) {
        return;
    }

    now = ngx_current_msec;

    dev = ngx_queue_data(ngx_queue_head(&conf->life), ngx_cometa_device_t,
                         life);
    wait = conf->timeout - (now - dev->alive);

    if (!ngx_queue_empty(&conf->partial)) {
        in = ngx_queue_data(ngx_queue_head(&conf->partial),
                            ngx_cometa_input_t, link);
        left = conf->body_timeout - (now - in->begun);
        wait = ngx_min(wait, left);
    }

    wait = ngx_max(wait, 1);

    if (conf->timer.timer_set
        && (ngx_msec_int_t) (conf->timer.timer.key - ngx_current_msec)
           <= wait)
    {
        return;
    }

    ngx_add_timer(&conf->timer, (ngx_msec_t) wait);
}


static void
ngx_cometa_device_timer(ngx_event_t *ev)
{
    uint32_t                   now;
    ngx_uint_t                 n;
    ngx_cometa_input_t        *in;
    ngx_cometa_device_t       *dev;
    ngx_cometa_device_conf_t  *conf;

    conf = ev->data;
    now = ngx_current_msec;

    for (n = 0; n < NGX_COMETA_DEVICE_EXPIRE; n++) {

        if (ngx_queue_empty(&conf->life)) {
            break;
        }

        dev = ngx_queue_data(ngx_queue_head(&conf->life),
                             ngx_cometa_device_t, life);

        if ((int32_t) (now - dev->alive) < (int32_t) conf->timeout) {
            break;
        }

        ngx_cometa_device_log(dev);
        ngx_log_error(NGX_LOG_INFO, dev->connection->log, NGX_ETIMEDOUT,
                      "no sign of life of the device");
        ngx_cometa_device_close(dev, NGX_COMETA_HEARTBEAT_TIMEOUT);
    }

    for ( /* void */ ; n < NGX_COMETA_DEVICE_EXPIRE; n++) {

        if (ngx_queue_empty(&conf->partial)) {
            break;
        }

        in = ngx_queue_data(ngx_queue_head(&conf->partial),
                            ngx_cometa_input_t, link);

        if ((int32_t) (now - in->begun) < (int32_t) conf->body_timeout) {
            break;
        }

        dev = in->device;

        ngx_cometa_device_log(dev);
        ngx_log_error(NGX_LOG_INFO, dev->connection->log, NGX_ETIMEDOUT,
                      "device began a chunk and did not complete it");
        ngx_cometa_stats_add(dev->app, errors, 1);
        ngx_cometa_device_close(dev, NGX_COMETA_PROTOCOL_ERROR);
    }

    ngx_cometa_device_arm(conf);
}


void
ngx_cometa_device_conf_init(ngx_cometa_device_conf_t *conf, ngx_log_t *log)
{
    ngx_queue_init(&conf->life);
    ngx_queue_init(&conf->partial);

    conf->error_log = log;

    conf->timer.handler = ngx_cometa_device_timer;
    conf->timer.data = conf;
    conf->timer.log = log;
}


void
ngx_cometa_device_log(ngx_cometa_device_t *dev)
{
    ngx_log_t  *log;

    log = &dev->conf->log;

    /* each time: where it leads is known only when all is configured */

    *log = *dev->conf->error_log;

    log->handler = ngx_cometa_device_log_error;
    log->data = dev;
    log->action = NULL;
    log->connection = dev->connection ? dev->connection->number : 0;
}


static u_char *
ngx_cometa_device_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    size_t                n;
    u_char                text[NGX_SOCKADDR_STRLEN];
    ngx_str_t             app, device;
    ngx_cometa_device_t  *dev;

    dev = log->data;

    if (dev == NULL || !dev->used || dev->session == 0) {
        return buf;
    }

    n = ngx_sock_ntop((struct sockaddr *) dev->addr, dev->addr_len, text,
                      NGX_SOCKADDR_STRLEN, 1);

    /* taken over and gone again: the record may be another device's */

    if (ngx_cometa_zone.records[dev->record].hash != dev->hash) {
        return ngx_snprintf(buf, len, ", client: %*s, session: %uL",
                            n, text, dev->session);
    }

    ngx_cometa_registry_name(dev->record, &app, &device);

    return ngx_snprintf(buf, len,
                        ", client: %*s, device: \"%V/%V\", session: %uL",
                        n, text, &app, &device, dev->session);
}


u_char *
ngx_cometa_device_json(ngx_cometa_device_t *dev, u_char *dst)
{
    size_t     n;
    u_char     text[NGX_SOCKADDR_STRLEN];
    ngx_str_t  app, device;

    n = ngx_sock_ntop((struct sockaddr *) dev->addr, dev->addr_len, text,
                      NGX_SOCKADDR_STRLEN, 1);

    ngx_cometa_registry_name(dev->record, &app, &device);

    dst = ngx_sprintf(dst, "{\"device_id\":\"%V\",\"ip_address\":\"%*s\","
                      "\"heartbeat\":\"%uD\",\"info\":\"",
                      &device, n, text, dev->heartbeat);

    if (dev->info) {
        dst = ngx_cometa_json_text(dst, dev->info + 2,
                                   dev->info[0] | dev->info[1] << 8);
    }

    return ngx_sprintf(dst, "\",\"connected_at\":\"%uD\","
                       "\"latency\":\"%uD\",\"websockets\":\"%ui\","
                       "\"net\":{\"received\":{\"bytes\":\"%uL\","
                       "\"messages\":\"%uL\"},\"sent\":{\"bytes\":\"%uL\","
                       "\"messages\":\"%uL\"}},\"session\":\"%uL\"}",
                       dev->connected, dev->latency / 1000,
                       ngx_cometa_device_watched(dev),
                       dev->bytes_down, dev->messages_down,
                       dev->bytes_up, dev->messages_up, dev->session);
}


void
ngx_cometa_device_watch(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch, ngx_uint_t n)
{
    ngx_uint_t              i, known;
    ngx_cometa_watchers_t  *w;

    known = dev->watchers ? dev->watchers->n : 0;

    for (i = 0; i < known; i++) {
        if (dev->watchers->elts[i].slot == slot) {
            dev->watchers->elts[i].epoch = epoch;
            dev->watchers->elts[i].n = n;
            return;
        }
    }

    if (n == 0) {
        return;
    }

    /* one more worker: there are no more of them than slots */

    w = ngx_alloc(sizeof(ngx_cometa_watchers_t)
                  + known * sizeof(ngx_cometa_watcher_t), ngx_cycle->log);
    if (w == NULL) {
        return;
    }

    if (known) {
        ngx_memcpy(w->elts, dev->watchers->elts,
                   known * sizeof(ngx_cometa_watcher_t));
        ngx_free(dev->watchers);
    }

    w->elts[known].slot = slot;
    w->elts[known].epoch = epoch;
    w->elts[known].n = n;
    w->n = known + 1;

    dev->watchers = w;
}


static ngx_uint_t
ngx_cometa_device_watched(ngx_cometa_device_t *dev)
{
    ngx_uint_t             i, n;
    ngx_cometa_watcher_t  *w;

    n = 0;

    for (i = 0; dev->watchers && i < dev->watchers->n; i++) {
        w = &dev->watchers->elts[i];

        if (ngx_cometa_slot_alive(w->slot, w->epoch)) {
            n += w->n;
        }
    }

    return n;
}


/* Bytes that are not UTF-8 are shown as the characters of these numbers. */

static u_char *
ngx_cometa_json_text(u_char *dst, u_char *src, size_t len)
{
    size_t   n;
    u_char  *end;

    for (end = src + len; src < end; src += n) {
        n = 1;

        if (*src == '"' || *src == '\\') {
            *dst++ = '\\';

        } else if (*src >= 0x80) {

            for (n = 2; n <= 4 && n <= (size_t) (end - src); n++) {
                if (cometa_utf8_valid(src, n)) {
                    break;
                }
            }

            n = (n > 4 || n > (size_t) (end - src)) ? 1 : n;
        }

        if (n == 1 && (*src < 0x20 || *src >= 0x7f)) {
            dst = ngx_sprintf(dst, "\\u%04xd", (int) *src);
            continue;
        }

        dst = ngx_cpymem(dst, src, n);
    }

    return dst;
}
