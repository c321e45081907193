
/*
 * What the error log says of the life of a device: one line when it has
 * attached, one when it has left, and one when others take it over. The log
 * of its connection adds the client, the name of the device and its session.
 */

#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_io.h"
#include "ngx_cometa_error.h"


void
ngx_cometa_device_log_attached(ngx_cometa_device_t *dev)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device attached%s, heartbeat: %M s",
                  dev->successor ? ", taken over from an earlier connection"
                                 : "",
                  dev->conf->heartbeat / 1000);
}


/* To be called before it leaves the registry, where its name stands. */

void
ngx_cometa_device_log_detached(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    ngx_log_error(NGX_LOG_INFO, dev->connection->log, 0,
                  "device detached, reason: %V, attached for %uD s, "
                  "sent: %uL messages of %uL bytes, "
                  "received: %uL messages of %uL bytes",
                  &ngx_cometa_reasons[reason],
                  (uint32_t) ngx_time() - dev->connected,
                  dev->messages_up, dev->bytes_up,
                  dev->messages_down, dev->bytes_down);
}


/* These two may come while it is opening, and has no connection yet. */

void
ngx_cometa_device_evict(ngx_cometa_device_t *dev, ngx_str_t *by)
{
    ngx_cometa_device_log(dev);

    ngx_log_error(NGX_LOG_INFO, &dev->conf->log, 0,
                  "device is taken over by client %V", by);

    ngx_cometa_device_close(dev, NGX_COMETA_TAKEN_OVER);
}


void
ngx_cometa_device_flaps(ngx_cometa_device_t *dev, ngx_str_t *by,
    ngx_uint_t wait)
{
    ngx_cometa_device_log(dev);

    ngx_log_error(NGX_LOG_NOTICE, &dev->conf->log, 0,
                  "device is taken over too often, two clients seem to have "
                  "the same device id: client %V is refused for %ui s",
                  by, wait);
}
