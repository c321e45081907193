
/*
 * Letters to the owner of a device. No state.
 */

#include "ngx_cometa_owner.h"
#include "ngx_cometa.h"
#include "ngx_cometa_device.h"
#include "ngx_cometa_device_card.h"
#include "ngx_cometa_device_log.h"
#include "ngx_cometa_device_state.h"
#include "ngx_cometa_device_table.h"
#include "ngx_cometa_mail.h"


static void ngx_cometa_owner_kick(ngx_cometa_device_t *dev,
    ngx_cometa_mail_query_t *mail);


void
ngx_cometa_owner_head(ngx_cometa_device_t *dev, ngx_cometa_mail_head_t *head)
{
    head->app = dev->state.app;
    head->handle = dev->handle;
    head->session = dev->state.session;
}


void
ngx_cometa_owner_evict(ngx_cometa_mail_evict_t *mail, ngx_str_t *addr)
{
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_get(mail->head.handle, mail->head.session);
    if (dev == NULL) {
        return;
    }

    if (mail->wait) {
        ngx_cometa_device_log_flaps(dev, addr, mail->wait);
        return;
    }

    ngx_cometa_device_evict(dev, addr);
}


void
ngx_cometa_owner_query(ngx_cometa_mail_query_t *mail)
{
    u_char               *last, json[NGX_COMETA_DEVICE_JSON];
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_get(mail->head.handle, mail->head.session);

    if (dev == NULL || dev->connection == NULL) {

        /* it has moved, if it is anywhere */

        ngx_cometa_mail_fail(&mail->ref, &mail->head,
                             dev ? NGX_COMETA_DEVICE_OFFLINE
                                 : NGX_COMETA_MOVED);
        return;
    }

    if (mail->kick) {
        ngx_cometa_owner_kick(dev, mail);
        return;
    }

    last = ngx_cometa_device_json(dev, json);

    ngx_cometa_mail_reply(&mail->ref, &mail->head, 0, json, last - json);
}


/*
 * While it is offered to another worker, nobody can say which of both holds it.
 * It ends before the answer, so that who has got it finds no device any more.
 */

static void
ngx_cometa_owner_kick(ngx_cometa_device_t *dev, ngx_cometa_mail_query_t *mail)
{
    if (dev->away) {
        ngx_cometa_mail_fail(&mail->ref, &mail->head, NGX_COMETA_DEVICE_BUSY);
        return;
    }

    ngx_cometa_device_close(dev, NGX_COMETA_KICKED);

    ngx_cometa_mail_reply(&mail->ref, &mail->head, 0, NULL, 0);
}


void
ngx_cometa_owner_listeners(ngx_cometa_mail_listeners_t *mail)
{
    ngx_cometa_device_t  *dev;

    dev = ngx_cometa_device_get(mail->head.handle, mail->head.session);

    if (dev) {
        ngx_cometa_device_listeners(dev, mail->slot, mail->epoch, mail->n);
    }
}
