
/*
 * The lines of the error log for the life of a device: one when it has
 * attached, one when it has left, one when another client takes it over, and
 * one when it is taken over too often. State: the log that the devices of a
 * location share.
 */

#include "ngx_cometa_device_log.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_asked.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"


static u_char *ngx_cometa_device_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


void
ngx_cometa_device_log(ngx_cometa_device_t *dev)
{
    ngx_log_t  *log;

    log = &dev->conf->log;

    /* copied each time: its file is known only when all is configured */

    *log = *dev->conf->error_log;

    log->handler = ngx_cometa_device_log_error;
    log->data = dev;
    log->action = NULL;
    log->connection = dev->connection ? dev->connection->number : 0;
}


void
ngx_cometa_device_log_leave(ngx_cometa_device_t *dev)
{
    if (dev->conf->log.data == dev) {
        dev->conf->log.data = NULL;
    }
}


static u_char *
ngx_cometa_device_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    size_t                n;
    u_char                text[NGX_SOCKADDR_STRLEN];
    ngx_str_t             app, device;
    ngx_cometa_device_t  *dev;

    dev = log->data;

    if (dev == NULL || !dev->used || dev->state.session == 0) {
        return buf;
    }

    n = ngx_cometa_address_text(&dev->state.address, text, 1);

    /* the device was taken over, and its record may be another device's */

    if (!ngx_cometa_registry_named(dev->state.record, dev->state.hash)) {
        return ngx_snprintf(buf, len, ", client: %*s, session: %uL",
                            n, text, dev->state.session);
    }

    ngx_cometa_registry_name(dev->state.record, &app, &device);

    return ngx_snprintf(buf, len,
                        ", client: %*s, device: \"%V/%V\", session: %uL",
                        n, text, &app, &device, dev->state.session);
}


void
ngx_cometa_device_log_attached(ngx_cometa_device_t *dev)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device attached%s, heartbeat: %M s",
                  dev->state.successor
                  ? ", taken over from an earlier connection" : "",
                  ngx_cometa_device_life(dev)->heartbeat / 1000);
}


void
ngx_cometa_device_log_detached(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device detached, reason: %V, attached for %uD s, "
                  "sent: %uL messages of %uL bytes, "
                  "received: %uL messages of %uL bytes",
                  &ngx_cometa_reasons[reason],
                  (uint32_t) ngx_time() - dev->state.connected,
                  dev->state.messages_up, dev->state.bytes_up,
                  dev->state.messages_down, dev->state.bytes_down);
}


void
ngx_cometa_device_log_taken_over(ngx_cometa_device_t *dev, ngx_str_t *by)
{
    ngx_cometa_device_log(dev);

    ngx_log_error(NGX_LOG_INFO, &dev->conf->log, 0,
                  "device is taken over by client %V", by);
}


void
ngx_cometa_device_log_flaps(ngx_cometa_device_t *dev, ngx_str_t *by,
    ngx_uint_t wait)
{
    ngx_cometa_device_log(dev);

    ngx_log_error(NGX_LOG_NOTICE, &dev->conf->log, 0,
                  "device is taken over too often, two clients seem to have "
                  "the same device id: client %V is refused for %ui s",
                  by, wait);
}
