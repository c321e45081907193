
/*
 * An event of a device goes to all WebSockets of this worker to that device,
 * and to the channels of its application.
 *
 * A detach may be told while a socket is being closed: its calls are cancelled,
 * the next call is written to the device, and that one is found to have gone.
 * To be told of that may end any other socket, also the one that is looked at
 * next. So all but data is put off until nothing is on the stack, and then data
 * as well, for the order of a device is kept. State of this process: what was
 * put off.
 */

#include "ngx_cometa_ws_event.h"
#include "ngx_cometa.h"
#include "ngx_cometa_turn.h"
#include "ngx_cometa_ws.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_text.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_notice.h"
#include "cometa_utf8.h"
#include "cometa_ws.h"


/* The texts of the notice follow. */

typedef struct {
    ngx_queue_t                link;
    ngx_cometa_mail_event_t    mail;
    ngx_cometa_notice_t        notice;
} ngx_cometa_kept_t;


/* An event on its way to sockets: the forms that it has taken so far. */

typedef struct {
    ngx_cometa_mail_event_t   *mail;
    ngx_cometa_notice_t       *notice;
    ngx_str_t                 *device;
    ngx_uint_t                 type;        /* of the frame with its data */
    ngx_str_t                  json;        /* made when it is needed */
} ngx_cometa_telling_t;


static void ngx_cometa_ws_event_keep(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice);
static void ngx_cometa_ws_event_turn(ngx_event_t *ev);
static void ngx_cometa_ws_event_tell(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice);
static void ngx_cometa_ws_event_group(ngx_cometa_ws_group_t *group,
    ngx_cometa_telling_t *t);
static ngx_int_t ngx_cometa_ws_event_put(ngx_cometa_ws_t *s,
    ngx_cometa_telling_t *t);
static ngx_uint_t ngx_cometa_ws_event_wanted(ngx_cometa_ws_t *s,
    ngx_cometa_telling_t *t);


static ngx_queue_t  ngx_cometa_kept;
static ngx_event_t  ngx_cometa_kept_event;


void
ngx_cometa_ws_event_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_cometa_kept);

    ngx_cometa_kept_event.handler = ngx_cometa_ws_event_turn;
    ngx_cometa_kept_event.log = cycle->log;
    ngx_cometa_kept_event.data = &ngx_cometa_kept_event;
}


void
ngx_cometa_ws_event(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice)
{
    if (notice->kind != NGX_COMETA_EVENT_DATA
        || !ngx_queue_empty(&ngx_cometa_kept))
    {
        ngx_cometa_ws_event_keep(mail, notice);
        return;
    }

    ngx_cometa_ws_event_tell(mail, notice);
}


/* Without memory for it the event is lost. */

static void
ngx_cometa_ws_event_keep(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice)
{
    u_char             *p;
    ngx_uint_t          i;
    ngx_str_t          *text[4];
    ngx_cometa_kept_t  *kept;

    kept = ngx_alloc(sizeof(ngx_cometa_kept_t) + notice->device.len
                     + notice->extra.len + notice->word.len
                     + notice->data.len,
                     ngx_cycle->log);
    if (kept == NULL) {
        return;
    }

    kept->mail = *mail;
    kept->notice = *notice;

    text[0] = &kept->notice.device;
    text[1] = &kept->notice.extra;
    text[2] = &kept->notice.word;
    text[3] = &kept->notice.data;

    p = (u_char *) (kept + 1);

    for (i = 0; i < 4; i++) {

        if (text[i]->len) {
            ngx_memcpy(p, text[i]->data, text[i]->len);
        }

        text[i]->data = p;
        p += text[i]->len;
    }

    ngx_queue_insert_tail(&ngx_cometa_kept, &kept->link);

    if (!ngx_cometa_kept_event.posted) {
        ngx_post_event(&ngx_cometa_kept_event, &ngx_posted_events);
    }
}


static void
ngx_cometa_ws_event_turn(ngx_event_t *ev)
{
    ngx_cometa_ws_event_flush();
}


/* It stands in the queue until it was told: what comes meanwhile is kept. */

void
ngx_cometa_ws_event_flush(void)
{
    ngx_queue_t        *q;
    ngx_cometa_kept_t  *kept;

    static ngx_uint_t  telling;

    if (telling) {
        return;
    }

    telling = 1;

    while (!ngx_queue_empty(&ngx_cometa_kept)) {
        q = ngx_queue_head(&ngx_cometa_kept);
        kept = ngx_queue_data(q, ngx_cometa_kept_t, link);

        ngx_cometa_ws_event_tell(&kept->mail, &kept->notice);

        ngx_queue_remove(q);
        ngx_free(kept);
    }

    telling = 0;
}


static void
ngx_cometa_ws_event_tell(ngx_cometa_mail_event_t *mail,
    ngx_cometa_notice_t *notice)
{
    ngx_cometa_telling_t    t;
    ngx_cometa_ws_group_t  *group;

    t.mail = mail;
    t.notice = notice;
    t.type = COMETA_WS_TEXT;
    t.json.len = 0;

    group = ngx_cometa_ws_group_find(mail->hash);

    if (group) {
        t.device = &group->key.device;
        t.type = cometa_utf8_valid(notice->data.data, notice->data.len)
                 ? COMETA_WS_TEXT : COMETA_WS_BINARY;

        /* one line for all, because there may be thousands of sockets */

        ngx_log_debug6(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                       "cometa ws event, device:\"%V/%V\" here:%uD kind:%ui "
                       "type:%ui len:%uz",
                       &group->key.app, &group->key.device, group->n,
                       notice->kind, t.type, notice->data.len);

        ngx_cometa_ws_event_group(group, &t);
    }

    group = ngx_cometa_ws_group_channels(mail->head.app);

    if (group && notice->device.len) {
        t.device = &notice->device;

        ngx_log_debug5(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                       "cometa channel event, device:\"%V/%V\" here:%uD "
                       "kind:%ui len:%uz",
                       &group->key.app, &notice->device, group->n,
                       notice->kind, notice->data.len);

        ngx_cometa_ws_event_group(group, &t);
    }
}


static void
ngx_cometa_ws_event_group(ngx_cometa_ws_group_t *group,
    ngx_cometa_telling_t *t)
{
    ngx_queue_t      *q, *next;
    ngx_cometa_ws_t  *s;

    /* the last socket may take the group with it */

    for (q = ngx_queue_head(&group->sockets);
         q != ngx_queue_sentinel(&group->sockets);
         q = next)
    {
        next = ngx_queue_next(q);
        s = ngx_queue_data(q, ngx_cometa_ws_t, link);

        if (s->dead || !ngx_cometa_ws_event_wanted(s, t)) {
            continue;
        }

        ngx_cometa_ws_log(s);

        if (ngx_cometa_ws_event_put(s, t) == NGX_OK) {
            ngx_cometa_ws_settle(s);
        }
    }
}


static ngx_uint_t
ngx_cometa_ws_event_wanted(ngx_cometa_ws_t *s, ngx_cometa_telling_t *t)
{
    ngx_cometa_ws_mode_t  *mode;

    if (s->json == NULL) {
        return t->notice->kind == NGX_COMETA_EVENT_DATA;
    }

    mode = &s->json->mode;

    return (mode->events & t->notice->kind)
           && t->device->len >= mode->prefix_len
           && ngx_memcmp(t->device->data, mode->prefix, mode->prefix_len)
              == 0;
}


static ngx_int_t
ngx_cometa_ws_event_put(ngx_cometa_ws_t *s, ngx_cometa_telling_t *t)
{
    if (s->json == NULL) {
        return ngx_cometa_ws_put(s, t->type, t->notice->data.data,
                                 t->notice->data.len);
    }

    if (t->json.len == 0) {

        if (ngx_cometa_ws_text_event(t->mail, t->device, t->notice, &t->json)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_cometa_work += ngx_cometa_work_bytes(t->json.len);
    }

    return ngx_cometa_ws_put(s, COMETA_WS_TEXT, t->json.data, t->json.len);
}
