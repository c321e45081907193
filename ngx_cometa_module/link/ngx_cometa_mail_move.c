
/*
 * Letters between the workers that a device or a WebSocket moves from and to,
 * and how many WebSockets there are. They are rare beside calls, and are not
 * compiled into their callers. No state.
 */

#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"


void
ngx_cometa_mail_listeners(ngx_cometa_place_t *to, uint32_t n)
{
    ngx_cometa_mail_listeners_t  mail;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_listeners_t));

    mail.head.app = to->app;
    mail.head.handle = to->handle;
    mail.head.session = to->session;
    mail.slot = ngx_cometa_zone.slot;
    mail.epoch = ngx_cometa_zone.epoch;
    mail.n = n;

    ngx_cometa_mail_send(to->slot, to->epoch, NGX_COMETA_MAIL_LISTENERS, &mail,
                         NULL, 0);
}


void
ngx_cometa_mail_follow(ngx_cometa_ref_t *to, ngx_cometa_place_t *place)
{
    ngx_cometa_mail_follow_t  mail;

    mail.head.debug = to->debug;
    mail.head.app = place->app;
    mail.head.handle = place->handle;
    mail.head.session = place->session;
    mail.ref = *to;
    mail.slot = place->slot;
    mail.epoch = place->epoch;

    ngx_cometa_mail_send(to->slot, to->epoch, NGX_COMETA_MAIL_FOLLOW, &mail,
                         NULL, 0);
}


void
ngx_cometa_mail_arrived(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    ngx_cometa_mail_arrived_t *mail)
{
    ngx_cometa_mail_send(slot, epoch, type, mail, NULL, 0);
}


void
ngx_cometa_mail_ws_tail(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_ws_tail_t *mail, u_char *data, size_t len)
{
    ngx_cometa_mail_send(slot, epoch, NGX_COMETA_MAIL_WS_TAIL, mail, data,
                         len);
}


void
ngx_cometa_mail_ws_late(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_ws_late_t *mail, u_char *data, size_t len)
{
    ngx_cometa_mail_send(slot, epoch, NGX_COMETA_MAIL_WS_LATE, mail, data,
                         len);
}
