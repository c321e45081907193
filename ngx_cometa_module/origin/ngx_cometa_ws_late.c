
/*
 * Ends of calls that come after their WebSocket. State of this process: the
 * sockets that wait for such, by their serial at the old worker.
 */

#include "ngx_cometa_ws_late.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_slot.h"
#include "cometa_ws.h"


#define NGX_COMETA_WS_LATE_CHAINS  256


static ngx_cometa_ws_t *ngx_cometa_ws_late_find(
    ngx_cometa_mail_ws_late_t *mail);
static void ngx_cometa_ws_late_lost(ngx_cometa_ws_t *s);


static ngx_queue_t  ngx_cometa_ws_lates[NGX_COMETA_WS_LATE_CHAINS];


void
ngx_cometa_ws_late_start(void)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_COMETA_WS_LATE_CHAINS; i++) {
        ngx_queue_init(&ngx_cometa_ws_lates[i]);
    }
}


void
ngx_cometa_ws_late_wait(ngx_cometa_ws_t *s, uint32_t slot, uint32_t epoch,
    uint64_t serial, uint32_t n)
{
    if (s->json == NULL) {
        return;
    }

    s->json->slot = slot;
    s->json->epoch = epoch;
    s->json->serial = serial;
    s->json->away = n;

    ngx_queue_insert_tail(&ngx_cometa_ws_lates[serial
                                               % NGX_COMETA_WS_LATE_CHAINS],
                          &s->json->link);
}


/* If its client has gone meanwhile nobody is there any more. */

void
ngx_cometa_ws_late(ngx_cometa_mail_ws_late_t *mail, u_char *data, size_t len)
{
    ngx_cometa_ws_t  *s;

    s = ngx_cometa_ws_late_find(mail);
    if (s == NULL) {
        return;
    }

    if (--s->json->away == 0) {
        ngx_queue_remove(&s->json->link);
        s->json->link.next = NULL;
    }

    ngx_cometa_ws_log(s);

    if (ngx_cometa_ws_put(s, COMETA_WS_TEXT, data, len) == NGX_OK) {
        ngx_cometa_ws_settle(s);
    }
}


static ngx_cometa_ws_t *
ngx_cometa_ws_late_find(ngx_cometa_mail_ws_late_t *mail)
{
    ngx_queue_t           *q, *chain;
    ngx_cometa_ws_json_t  *json;

    chain = &ngx_cometa_ws_lates[mail->head.session
                                 % NGX_COMETA_WS_LATE_CHAINS];

    for (q = ngx_queue_head(chain);
         q != ngx_queue_sentinel(chain);
         q = ngx_queue_next(q))
    {
        json = ngx_queue_data(q, ngx_cometa_ws_json_t, link);

        if (json->serial == mail->head.session
            && json->slot == mail->slot
            && json->epoch == mail->epoch)
        {
            return ngx_cometa_ws_of(json);
        }
    }

    return NULL;
}


/* To close one may end others, so the walk begins again behind it. */

void
ngx_cometa_ws_late_deaths(void)
{
    ngx_uint_t             i;
    ngx_queue_t           *q, *chain;
    ngx_cometa_ws_json_t  *json;

    for (i = 0; i < NGX_COMETA_WS_LATE_CHAINS; i++) {
        chain = &ngx_cometa_ws_lates[i];
        q = ngx_queue_head(chain);

        while (q != ngx_queue_sentinel(chain)) {
            json = ngx_queue_data(q, ngx_cometa_ws_json_t, link);

            if (ngx_cometa_slot_alive(json->slot, json->epoch)) {
                q = ngx_queue_next(q);
                continue;
            }

            ngx_cometa_ws_late_lost(ngx_cometa_ws_of(json));
            q = ngx_queue_head(chain);
        }
    }
}


static void
ngx_cometa_ws_late_lost(ngx_cometa_ws_t *s)
{
    uint32_t  n;

    n = s->json->away;

    s->json->away = 0;
    ngx_queue_remove(&s->json->link);
    s->json->link.next = NULL;

    if (s->io.connection == NULL) {
        return;
    }

    ngx_cometa_ws_log(s);
    ngx_log_error(NGX_LOG_INFO, s->io.connection->log, 0,
                  "websocket is closed, %uD of its calls have been lost with "
                  "an older worker process", n);

    ngx_cometa_ws_close(s, NGX_COMETA_CLOSE_AWAY);
}
