
/*
 * What happens to devices. No state.
 */

#include "ngx_cometa_notify.h"
#include "ngx_cometa.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


static void ngx_cometa_notify_data(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_notify_attached(ngx_cometa_device_t *dev);
static void ngx_cometa_notify_closed(ngx_cometa_device_t *dev,
    ngx_uint_t reason);


void
ngx_cometa_notify_start(void)
{
    ngx_cometa_device_handlers.reply = ngx_cometa_queue_reply;
    ngx_cometa_device_handlers.outstanding = ngx_cometa_queue_outstanding;
    ngx_cometa_device_handlers.ready = ngx_cometa_queue_next;
    ngx_cometa_device_handlers.event = ngx_cometa_notify_data;
    ngx_cometa_device_handlers.opened = ngx_cometa_notify_attached;
    ngx_cometa_device_handlers.closed = ngx_cometa_notify_closed;
}


/*
 * To all WebSockets by way of the workers that hold them. The mail keeps the
 * device's order, for it all comes from here.
 */

static void
ngx_cometa_notify_data(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_str_t          body;
    ngx_cometa_key_t   key;
    ngx_cometa_mail_t  mail;

    ngx_cometa_registry_name(dev->record, &key.app, &key.device);
    ngx_cometa_key_init(&key);

    /* taken over, and its record is another device's by now */

    if ((uint32_t) key.hash != dev->hash) {

        if (dev->conf->webhook) {
            ngx_cometa_stats_add(dev->app, webhook_dropped, 1);
        }

        return;
    }

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_t));

    ngx_cometa_work += NGX_COMETA_WORK_EVENT;

    mail.type = NGX_COMETA_MAIL_EVENT;
    mail.app = dev->app;
    mail.session = dev->session;
    mail.time = key.hash;

    body.data = data;
    body.len = len;

    ngx_cometa_interest_tell(key.hash, &mail, &body);

    if (dev->conf->webhook) {
        ngx_cometa_webhook_push(dev->conf->webhook, dev,
                                NGX_COMETA_EVENT_DATA, NULL, data, len);
    }
}


static void
ngx_cometa_notify_attached(ngx_cometa_device_t *dev)
{
    static ngx_str_t  attached = ngx_string("attached");

    if (dev->conf->webhook) {
        ngx_cometa_webhook_push(dev->conf->webhook, dev,
                                NGX_COMETA_EVENT_ATTACH,
                                dev->successor
                                ? &ngx_cometa_reasons[NGX_COMETA_TAKEN_OVER]
                                : &attached,
                                NULL, 0);
    }
}


static void
ngx_cometa_notify_closed(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    /*
     * Only of what was announced as attached, and while its name stands in the
     * registry: the record may be another device's at once.
     */

    if (dev->conf->webhook && dev->life.prev) {
        ngx_cometa_webhook_push(dev->conf->webhook, dev,
                                NGX_COMETA_EVENT_DETACH,
                                &ngx_cometa_reasons[reason], NULL, 0);
    }

    /* those who look for it again, for the line sends them, do not find it */

    ngx_cometa_registry_detach(dev->record, dev->session);
    ngx_cometa_queue_closed(dev, reason);
}
