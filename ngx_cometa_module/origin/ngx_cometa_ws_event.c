
/*
 * An event of a device goes to all WebSockets of this worker to that device.
 */

#include "ngx_cometa_ws_event.h"
#include "ngx_cometa.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_zone.h"
#include "cometa_utf8.h"
#include "cometa_ws.h"


void
ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail, u_char *data, size_t len)
{
    ngx_uint_t              type;
    ngx_queue_t            *q, *next;
    ngx_cometa_ws_t        *s;
    ngx_cometa_ws_group_t  *group;

    group = ngx_cometa_ws_group_find(mail->hash);
    if (group == NULL) {
        return;
    }

    type = cometa_utf8_valid(data, len) ? COMETA_WS_TEXT : COMETA_WS_BINARY;

    /* one line for all, because there may be thousands of sockets */

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

        if (ngx_cometa_ws_put(s, type, data, len) == NGX_OK) {
            ngx_cometa_ws_settle(s);
        }
    }
}
