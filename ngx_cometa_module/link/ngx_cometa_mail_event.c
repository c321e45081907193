
/*
 * The letter EVENT. Behind its struct stand the name of the device, what only
 * one kind of event has, and a word; then the data, which is not copied for it.
 * No state.
 */

#include "ngx_cometa_mail_event.h"
#include "ngx_cometa.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mail.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_zone.h"
#include "cometa_ring.h"


_Static_assert(NGX_COMETA_MESSAGE_HEAD
               >= COMETA_RING_HEAD + sizeof(ngx_cometa_mail_event_t)
                  + NGX_COMETA_ID_MAX + NGX_COMETA_CALL_ID_MAX
                  + NGX_COMETA_WORD_MAX,
               "what a payload gets in front in a ring");


void
ngx_cometa_mail_event(uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_cometa_notice_t *notice)
{
    u_char                   *p;
    uint32_t                  slot;
    ngx_time_t               *now;
    ngx_cometa_post_t         post;
    ngx_cometa_mail_event_t  *mail;
    u_char                    head[sizeof(ngx_cometa_mail_event_t)
                                   + NGX_COMETA_ID_MAX + NGX_COMETA_EXTRA_MAX
                                   + NGX_COMETA_WORD_MAX]
                                  __attribute__((aligned(8)));

    slot = ngx_cometa_interest_hears(hash, from->app, 0);

    if (slot == NGX_COMETA_NONE) {
        return;
    }

    now = ngx_timeofday();
    mail = (ngx_cometa_mail_event_t *) head;

    mail->head = *from;
    mail->head.type = NGX_COMETA_MAIL_EVENT;
    mail->head.debug = 0;

    mail->hash = hash;
    mail->time = (uint64_t) now->sec * 1000 + now->msec;
    mail->sequence = notice->sequence;
    mail->kind = notice->kind;
    mail->name = ngx_min(notice->device.len, NGX_COMETA_ID_MAX);
    mail->extra = ngx_min(notice->extra.len, NGX_COMETA_EXTRA_MAX);
    mail->word = ngx_min(notice->word.len, NGX_COMETA_WORD_MAX);

    p = head + sizeof(ngx_cometa_mail_event_t);
    p = ngx_cpymem(p, notice->device.data, mail->name);
    p = ngx_cpymem(p, notice->extra.data, mail->extra);
    p = ngx_cpymem(p, notice->word.data, mail->word);

    post.class = NGX_COMETA_CLASS_EVENT;
    post.app = from->app;
    post.head = head;
    post.head_len = p - head;
    post.body = notice->data.data;
    post.body_len = notice->data.len;

    while (slot != NGX_COMETA_NONE) {

        ngx_cometa_mail_trace("sent to", slot, &mail->head, notice->data.len);

        if (slot == ngx_cometa_zone.slot) {
            ngx_cometa_mail_handlers.event(mail, notice);

        } else {
            ngx_cometa_mailbox_tell(slot, ngx_cometa_zone.slots[slot].epoch,
                                    &post);
        }

        slot = ngx_cometa_interest_hears(hash, from->app, slot + 1);
    }
}


void
ngx_cometa_mail_event_read(ngx_cometa_mail_event_t *mail, u_char *body,
    size_t len)
{
    ngx_cometa_notice_t  notice;

    if ((size_t) mail->name + mail->extra + mail->word > len) {
        return;
    }

    notice.kind = mail->kind;
    notice.sequence = mail->sequence;

    notice.device.data = body;
    notice.device.len = mail->name;

    notice.extra.data = notice.device.data + mail->name;
    notice.extra.len = mail->extra;

    notice.word.data = notice.extra.data + mail->extra;
    notice.word.len = mail->word;

    notice.data.data = notice.word.data + mail->word;
    notice.data.len = body + len - notice.data.data;

    ngx_cometa_mail_handlers.event(mail, &notice);
}
