
/*
 * What happens to devices goes to the queue of calls, to WebSockets and to the
 * webhook. No state.
 */

#include "ngx_cometa_notify.h"
#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "ngx_cometa_probe.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_owner.h"
#include "ngx_cometa_queue_move.h"
#include "ngx_cometa_request.h"
#include "ngx_cometa_webhook.h"
#include "ngx_cometa_webhook_types.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_notice.h"
#include "ngx_cometa_error.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_stats.h"
#include "ngx_cometa_zone.h"


static void ngx_cometa_notify_data(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_notify_tell(ngx_cometa_device_t *dev,
    ngx_cometa_notice_t *notice);
static void ngx_cometa_notify_request(ngx_cometa_device_t *dev, u_char *data,
    size_t len);
static void ngx_cometa_notify_ready(ngx_cometa_device_t *dev);
static void ngx_cometa_notify_attached(ngx_cometa_device_t *dev);
static void ngx_cometa_notify_closed(ngx_cometa_device_t *dev,
    ngx_uint_t reason);


void
ngx_cometa_notify_start(void)
{
    ngx_cometa_device_handlers.reply = ngx_cometa_queue_reply;
    ngx_cometa_device_handlers.outstanding = ngx_cometa_queue_outstanding;
    ngx_cometa_device_handlers.ready = ngx_cometa_notify_ready;
    ngx_cometa_device_handlers.request = ngx_cometa_notify_request;
    ngx_cometa_device_handlers.event = ngx_cometa_notify_data;
    ngx_cometa_device_handlers.opened = ngx_cometa_notify_attached;
    ngx_cometa_device_handlers.closed = ngx_cometa_notify_closed;
}


/*
 * An event goes to all workers that hold WebSockets to the device. The letters
 * keep the order of the device, because all of them come from here. Events of a
 * session are numbered from 1; the attach is number 0, and the detach has the
 * number behind the last event. Who was told of all can find a gap, and drop
 * what comes twice.
 */

static void
ngx_cometa_notify_data(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_cometa_news_t    news;
    ngx_cometa_notice_t  notice;

    /* one that is dropped has a number, too: the gap shows */

    dev->state.sequence++;

    /* the device was taken over, and its record is another device's by now */

    if (!ngx_cometa_registry_named(dev->state.record, dev->state.hash)) {

        if (dev->conf->webhook) {
            ngx_cometa_stats_add(dev->state.app, webhook_dropped, 1);
        }

        return;
    }

    ngx_cometa_work += NGX_COMETA_WORK_EVENT;

    ngx_cometa_probe_event(dev->state.app, dev->state.hash,
                           ngx_cometa_zone.slot, len);

    ngx_memzero(&notice, sizeof(ngx_cometa_notice_t));

    notice.kind = NGX_COMETA_EVENT_DATA;
    notice.data.data = data;
    notice.data.len = len;

    ngx_cometa_notify_tell(dev, &notice);

    if (dev->conf->webhook) {
        ngx_memzero(&news, sizeof(ngx_cometa_news_t));

        news.event = NGX_COMETA_EVENT_DATA;
        news.sequence = dev->state.sequence;
        news.data = data;
        news.len = len;

        ngx_cometa_webhook_push(dev->conf->webhook, dev, &news);
    }
}


/* To WebSockets. The record has the name of the device. */

static void
ngx_cometa_notify_tell(ngx_cometa_device_t *dev, ngx_cometa_notice_t *notice)
{
    ngx_str_t               app;
    ngx_cometa_mail_head_t  from;

    ngx_cometa_owner_head(dev, &from);
    ngx_cometa_registry_name(dev->state.record, &app, &notice->device);

    notice->sequence = dev->state.sequence;

    ngx_cometa_mail_event(dev->state.hash, &from, notice);
}


static void
ngx_cometa_notify_request(ngx_cometa_device_t *dev, u_char *data, size_t len)
{
    ngx_cometa_work += NGX_COMETA_WORK_EVENT;

    ngx_cometa_request(dev, data, len);
}


/* Answers to what it has asked go first: they are fewer than its calls. */

static void
ngx_cometa_notify_ready(ngx_cometa_device_t *dev)
{
    ngx_cometa_request_ready(dev);

    /* it may have been closed by that */

    if (dev->used && dev->queue) {
        ngx_cometa_queue_next(dev);
    }
}


static void
ngx_cometa_notify_attached(ngx_cometa_device_t *dev)
{
    static ngx_str_t  attached = ngx_string("attached");

    u_char               address[NGX_SOCKADDR_STRLEN];
    ngx_cometa_news_t    news;
    ngx_cometa_notice_t  notice;

    ngx_cometa_probe_attach(dev->state.app, dev->state.hash,
                            ngx_cometa_zone.slot);

    ngx_memzero(&news, sizeof(ngx_cometa_news_t));

    news.event = NGX_COMETA_EVENT_ATTACH;
    news.sequence = dev->state.sequence;
    news.word = dev->state.successor
                ? &ngx_cometa_reasons[NGX_COMETA_TAKEN_OVER] : &attached;

    if (dev->card) {
        news.info.data = dev->card->info;
        news.info.len = dev->card->len;
    }

    news.address.data = address;
    news.address.len = ngx_cometa_address_text(&dev->state.address, address,
                                               1);

    if (ngx_cometa_registry_named(dev->state.record, dev->state.hash)) {
        ngx_memzero(&notice, sizeof(ngx_cometa_notice_t));

        notice.kind = NGX_COMETA_EVENT_ATTACH;
        notice.extra = news.address;
        notice.word = *news.word;
        notice.data = news.info;

        ngx_cometa_notify_tell(dev, &notice);
    }

    if (dev->conf->webhook) {
        ngx_cometa_webhook_push(dev->conf->webhook, dev, &news);
    }
}


static void
ngx_cometa_notify_closed(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    ngx_cometa_news_t    news;
    ngx_cometa_notice_t  notice;

    /*
     * Only if the attach was told, and before the device leaves the registry,
     * which has its name: the record may be another device's right after that.
     */

    dev->state.sequence++;

    if (dev->conf->webhook && dev->life.prev) {
        ngx_memzero(&news, sizeof(ngx_cometa_news_t));

        news.event = NGX_COMETA_EVENT_DETACH;
        news.sequence = dev->state.sequence;
        news.word = &ngx_cometa_reasons[reason];

        ngx_cometa_webhook_push(dev->conf->webhook, dev, &news);
    }

    if (dev->life.prev
        && ngx_cometa_registry_named(dev->state.record, dev->state.hash))
    {
        ngx_memzero(&notice, sizeof(ngx_cometa_notice_t));

        notice.kind = NGX_COMETA_EVENT_DETACH;
        notice.word = ngx_cometa_reasons[reason];

        ngx_cometa_notify_tell(dev, &notice);
    }

    if (dev->life.prev) {
        ngx_cometa_probe_detach(dev->state.app, dev->state.hash,
                                ngx_cometa_zone.slot, reason);
    }

    /* first: the queue makes calls look the device up again */

    ngx_cometa_registry_detach(dev->state.record, dev->state.session,
                               dev->state.hash, reason);
    ngx_cometa_queue_closed(dev, reason);
    ngx_cometa_request_closed(dev);
}
