
/*
 * Devices that arrive. The record in the registry is what makes a device this
 * worker's: before it is written nothing is read or written, after it nothing
 * is given back. Lock: that of a shard, inside the registry.
 */

#include "ngx_cometa_arrive.h"
#include "ngx_cometa.h"
#include "ngx_cometa_compat.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_input.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_parcel.h"
#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_fdpass.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_slot.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


static ngx_int_t ngx_cometa_arrive_read(ngx_cometa_device_parcel_t *parcel,
    u_char *data, size_t len);
static ngx_cometa_device_conf_t *ngx_cometa_arrive_location(uint64_t id);
static ngx_uint_t ngx_cometa_arrive_take(ngx_connection_t *c,
    ngx_cometa_device_parcel_t *parcel, u_char *data,
    ngx_cometa_mail_arrived_t *answer);
static ngx_cometa_device_t *ngx_cometa_arrive_device(
    ngx_cometa_device_conf_t *conf, ngx_cometa_device_parcel_t *parcel,
    u_char *data);
static ngx_int_t ngx_cometa_arrive_bytes(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, u_char *p);
static ngx_int_t ngx_cometa_arrive_copy(u_char **to, u_char **from,
    size_t len);
static ngx_int_t ngx_cometa_arrive_enter(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, u_char *calls);
static void ngx_cometa_arrive_announce(ngx_cometa_device_t *dev);


static ngx_cometa_device_conf_t  **ngx_cometa_locations;
static ngx_uint_t                  ngx_cometa_locations_n;


void
ngx_cometa_arrive_start(ngx_cometa_device_conf_t **confs, ngx_uint_t n)
{
    ngx_cometa_locations = confs;
    ngx_cometa_locations_n = n;
}


ngx_int_t
ngx_cometa_arrive(ngx_connection_t *c, u_char *data, size_t len)
{
    ngx_cometa_device_t         *dev;
    ngx_cometa_mail_arrived_t    answer;
    ngx_cometa_device_parcel_t   parcel;

    /* not for us, but for who had this slot before: the sender knows */

    if (ngx_cometa_arrive_read(&parcel, data, len) != NGX_OK) {

        if (c) {
            ngx_cometa_fdpass_left(c);
        }

        return NGX_OK;
    }

    ngx_memzero(&answer, sizeof(ngx_cometa_mail_arrived_t));

    answer.head.app = parcel.state.app;
    answer.head.handle = parcel.handle;
    answer.head.session = parcel.state.session;
    answer.index = parcel.index;
    answer.slot = ngx_cometa_zone.slot;
    answer.epoch = ngx_cometa_zone.epoch;

    data += sizeof(ngx_cometa_device_parcel_t);
    answer.rc = ngx_cometa_arrive_take(c, &parcel, data, &answer);

    ngx_cometa_mail_arrived(parcel.from_slot, parcel.from_epoch,
                            NGX_COMETA_MAIL_ARRIVED, &answer);

    if (answer.rc != NGX_COMETA_ARRIVED) {

        if (c) {
            ngx_cometa_fdpass_left(c);
        }

        return NGX_OK;
    }

    dev = ngx_cometa_device_get(answer.handle, parcel.state.session);

    if (dev) {
        ngx_cometa_arrive_announce(dev);
        ngx_cometa_device_continue(dev);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_arrive_read(ngx_cometa_device_parcel_t *parcel, u_char *data,
    size_t len)
{
    size_t  size;

    size = sizeof(ngx_cometa_device_parcel_t);

    if (len < size) {
        return NGX_ERROR;
    }

    ngx_memcpy(parcel, data, size);

    if (parcel->epoch != ngx_cometa_zone.epoch
        || parcel->info > NGX_COMETA_INFO_MAX
        || parcel->queue.busy > NGX_COMETA_PIPELINE_MAX
        || size + parcel->info + (size_t) parcel->asked
           + ngx_cometa_queue_more(&parcel->queue) + parcel->unread
           + parcel->rest + parcel->unsent != len)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* As a rule the one that was asked for last. */

static ngx_cometa_device_conf_t *
ngx_cometa_arrive_location(uint64_t id)
{
    static ngx_uint_t  last;

    ngx_uint_t         i, n;

    for (i = 0; i < ngx_cometa_locations_n; i++) {
        n = (last + i) % ngx_cometa_locations_n;

        if (ngx_cometa_locations[n]->id == id) {
            last = n;
            return ngx_cometa_locations[n];
        }
    }

    return NULL;
}


/* With NGX_COMETA_ARRIVED the handle is set in the answer. */

static ngx_uint_t
ngx_cometa_arrive_take(ngx_connection_t *c, ngx_cometa_device_parcel_t *parcel,
    u_char *data, ngx_cometa_mail_arrived_t *answer)
{
    ngx_cometa_device_t       *dev;
    ngx_cometa_device_conf_t  *conf;

    if (c == NULL || ngx_exiting) {
        return NGX_COMETA_ARRIVE_LATER;
    }

    conf = ngx_cometa_arrive_location(parcel->location);
    if (conf == NULL) {
        return NGX_COMETA_ARRIVE_NEVER;
    }

    dev = ngx_cometa_arrive_device(conf, parcel, data);
    if (dev == NULL) {
        return NGX_COMETA_ARRIVE_LATER;
    }

    if (ngx_cometa_arrive_enter(dev, parcel,
                                data + parcel->info + parcel->asked)
        != NGX_OK)
    {
        ngx_cometa_device_forget(dev);
        return NGX_COMETA_ARRIVE_LATER;
    }

    dev->connection = c;
    answer->handle = dev->handle;

    return NGX_COMETA_ARRIVED;
}


static ngx_cometa_device_t *
ngx_cometa_arrive_device(ngx_cometa_device_conf_t *conf,
    ngx_cometa_device_parcel_t *parcel, u_char *data)
{
    ngx_str_t             info;
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_create(conf);
    if (dev == NULL) {
        return NULL;
    }

    dev->state = parcel->state;

    info.data = data;
    info.len = parcel->info;

    data += parcel->info;

    if (ngx_cometa_device_info(dev, &info) != NGX_OK
        || ngx_cometa_asked_unpack(dev, data, parcel->asked) != NGX_OK
        || ngx_cometa_arrive_bytes(dev, parcel, data + parcel->asked
                                   + ngx_cometa_queue_more(&parcel->queue))
           != NGX_OK)
    {
        ngx_cometa_device_forget(dev);
        return NULL;
    }

    return dev;
}


static ngx_int_t
ngx_cometa_arrive_bytes(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, u_char *p)
{
    ngx_cometa_unread_t  *unread;
    ngx_cometa_unsent_t  *unsent;

    if (parcel->begun || parcel->rest) {
        unread = ngx_calloc(sizeof(ngx_cometa_unread_t), ngx_cycle->log);
        if (unread == NULL) {
            return NGX_ERROR;
        }

        dev->unread = unread;

        unread->device = dev;
        unread->begun = parcel->begun;
        unread->since = parcel->since;
        unread->len = parcel->unread;
        unread->size = parcel->unread;
        unread->rest_len = parcel->rest;

        /* in a queue that is its own, until the device is open */

        ngx_queue_init(&unread->link);

        if (ngx_cometa_arrive_copy(&unread->data, &p, parcel->unread)
            != NGX_OK
            || ngx_cometa_arrive_copy(&unread->rest, &p, parcel->rest)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (parcel->unsent) {
        unsent = ngx_alloc(sizeof(ngx_cometa_unsent_t) + parcel->unsent,
                           ngx_cycle->log);
        if (unsent == NULL) {
            return NGX_ERROR;
        }

        dev->unsent = unsent;

        unsent->pos = 0;
        unsent->len = parcel->unsent;
        unsent->size = parcel->unsent;
        unsent->gathered = 0;
        ngx_memcpy(unsent->data, p, parcel->unsent);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_cometa_arrive_copy(u_char **to, u_char **from, size_t len)
{
    if (len == 0) {
        return NGX_OK;
    }

    *to = ngx_alloc(len, ngx_cycle->log);
    if (*to == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(*to, *from, len);
    *from += len;

    return NGX_OK;
}


/*
 * The place of the application is kept by a gauge of the old worker until that
 * is told; if it has died the place may be another one's.
 */

static ngx_int_t
ngx_cometa_arrive_enter(ngx_cometa_device_t *dev,
    ngx_cometa_device_parcel_t *parcel, u_char *calls)
{
    ngx_int_t  rc;

    rc = NGX_ERROR;

    ngx_cometa_gauge_add(dev->state.app, holds, 1);

    if (ngx_cometa_slot_alive(parcel->from_slot, parcel->from_epoch)
        && ngx_cometa_queue_arrive(dev, &parcel->queue, calls) == NGX_OK)
    {
        rc = ngx_cometa_registry_move(dev->state.record, dev->state.session,
                                      parcel->from_slot, parcel->from_epoch,
                                      dev->handle);
        if (rc != NGX_OK) {
            ngx_cometa_queue_drop(dev);
        }
    }

    ngx_cometa_gauge_add(dev->state.app, holds, -1);

    return rc;
}


/* Those who hold WebSockets to it say so to its new owner. */

static void
ngx_cometa_arrive_announce(ngx_cometa_device_t *dev)
{
    ngx_str_t               app, device;
    ngx_cometa_key_t        key;
    ngx_cometa_mail_head_t  from;

    ngx_cometa_device_log(dev);
    ngx_log_error(NGX_LOG_INFO, &dev->conf->log, 0,
                  "device has moved here from another worker process");

    if (!ngx_cometa_interest_any(dev->state.hash)) {
        return;
    }

    ngx_cometa_registry_name(dev->state.record, &app, &device);

    key.app = app;
    key.device = device;
    key.hash = dev->state.hash;

    ngx_cometa_owner_head(dev, &from);
    ngx_cometa_mail_online(&key, &from);
}
