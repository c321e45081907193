
/*
 * What WebSockets are told of their device: its events, which go to all of
 * them, and that it has attached.
 */

#include "ngx_cometa_ws_event.h"
#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"
#include "cometa_ws.h"


static void ngx_cometa_ws_event(ngx_cometa_mail_t *mail, u_char *body,
    size_t len);


void
ngx_cometa_ws_deliver(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    u_char            *p;
    ngx_cometa_key_t   key;

    if (mail->type == NGX_COMETA_MAIL_EVENT) {
        ngx_cometa_ws_event(mail, body, len);
        return;
    }

    /* ONLINE: the new owner has to know of the sockets here */

    p = ngx_strlchr(body, body + len, '\0');
    if (p == NULL) {
        return;
    }

    key.app.data = body;
    key.app.len = p - body;
    key.device.data = p + 1;
    key.device.len = body + len - (p + 1);
    ngx_cometa_key_init(&key);

    ngx_cometa_ws_watch(&key);
}


static void
ngx_cometa_ws_event(ngx_cometa_mail_t *mail, u_char *body, size_t len)
{
    ngx_uint_t              type;
    ngx_queue_t            *q, *next;
    ngx_cometa_ws_t        *s;
    ngx_cometa_ws_group_t  *group;

    group = ngx_cometa_ws_group_find(mail->time);
    if (group == NULL) {
        return;
    }

    type = cometa_utf8_valid(body, len) ? COMETA_WS_TEXT : COMETA_WS_BINARY;

    /* one line, for there may be thousands of sockets */

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "cometa ws event, device:\"%V/%V\" here:%uD type:%ui "
                   "len:%uz",
                   &group->key.app, &group->key.device, group->n, type, len);

    /* the last socket may take the group with it */

    for (q = ngx_queue_head(&group->sockets);
         q != ngx_queue_sentinel(&group->sockets);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);

        if (s->dead) {
            continue;
        }

        ngx_cometa_ws_log(s);

        if (ngx_cometa_ws_put(s, type, body, len) == NGX_OK) {
            ngx_cometa_ws_settle(s);
        }
    }
}
