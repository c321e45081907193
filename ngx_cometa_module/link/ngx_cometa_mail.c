
/*
 * Letters: how they are written, and which handler gets which letter. The only
 * state is the handlers.
 */

#include "ngx_cometa_mail.h"
#include "ngx_cometa.h"
#include "ngx_cometa_interest.h"
#include "ngx_cometa_mailbox.h"
#include "ngx_cometa_notice.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_registry.h"
#include "ngx_cometa_trace.h"
#include "ngx_cometa_zone.h"
#include "cometa_ring.h"


_Static_assert(NGX_COMETA_MESSAGE_HEAD
               >= COMETA_RING_HEAD + sizeof(ngx_cometa_mail_t)
                  + NGX_COMETA_ID_MAX + NGX_COMETA_CALL_ID_MAX,
               "what a payload gets in front in a ring");


typedef struct {
    size_t                  len;
    ngx_cometa_class_e      class;
    const char             *name;       /* for the debug log, as ... */
    ngx_uint_t              ref;        /* ... one behind the head is */
} ngx_cometa_mail_type_t;


/*
 * These are compiled into each of their callers: where a letter is written its
 * type is a constant, and with it are its length, its class and its reader.
 */

#define ngx_cometa_mail_inline  static inline __attribute__((always_inline))

ngx_cometa_mail_inline void ngx_cometa_mail_to_owner(
    ngx_cometa_mail_head_t *head, ngx_cometa_mail_e type,
    ngx_cometa_place_t *to, ngx_uint_t debug);
ngx_cometa_mail_inline void ngx_cometa_mail_to_origin(
    ngx_cometa_mail_head_t *head, ngx_cometa_mail_e type,
    ngx_cometa_mail_head_t *from, ngx_uint_t debug);
ngx_cometa_mail_inline void ngx_cometa_mail_post(ngx_cometa_mail_e type,
    ngx_cometa_mail_head_t *head, void *body, size_t len,
    ngx_cometa_post_t *post);
ngx_cometa_mail_inline ngx_int_t ngx_cometa_mail_ask(uint32_t slot,
    uint32_t epoch, ngx_cometa_mail_e type, void *mail, ngx_str_t *body,
    uint64_t *pos);
ngx_cometa_mail_inline void ngx_cometa_mail_tell(uint32_t slot,
    uint32_t epoch, ngx_cometa_mail_e type, void *mail, void *body,
    size_t len);
ngx_cometa_mail_inline void ngx_cometa_mail_read(ngx_cometa_mail_e type,
    ngx_cometa_mail_t *mail, u_char *body, size_t len);

/* These are not: each letter would set up the stack that only they need. */

static __attribute__((noinline)) void ngx_cometa_mail_read_evict(
    ngx_cometa_mail_evict_t *mail, u_char *body, size_t len);
static __attribute__((noinline)) void ngx_cometa_mail_read_online(
    ngx_cometa_mail_online_t *mail, u_char *body, size_t len);
static __attribute__((noinline)) void ngx_cometa_mail_read_event(
    ngx_cometa_mail_event_t *mail, u_char *body, size_t len);

#if (NGX_DEBUG)

static void ngx_cometa_mail_log(const char *what, uint32_t slot,
    ngx_cometa_mail_head_t *head, size_t len);

#define ngx_cometa_mail_trace(what, slot, mail, len)                          \
    if (((ngx_cometa_mail_head_t *) mail)->debug                              \
        || (ngx_cycle->log->log_level & NGX_LOG_DEBUG_HTTP))                  \
    {                                                                         \
        ngx_cometa_mail_log(what, slot, mail, len);                           \
    }

#else
#define ngx_cometa_mail_trace(what, slot, mail, len)
#endif

ngx_cometa_mail_handlers_t  ngx_cometa_mail_handlers;


#define ngx_cometa_letter(type, class, ref)                                   \
    { sizeof(ngx_cometa_mail_ ## type ## _t), class, # type, ref }

/* In the order of ngx_cometa_mail_e. */

static const ngx_cometa_mail_type_t  ngx_cometa_mail_types[] = {
    ngx_cometa_letter(call, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(query, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(cancel, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(evict, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(listeners, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(reply, NGX_COMETA_CLASS_REPLY, 1),
    ngx_cometa_letter(fail, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(queued, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(written, NGX_COMETA_CLASS_ANSWER, 1),
    ngx_cometa_letter(online, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(event, NGX_COMETA_CLASS_EVENT, 0),
    ngx_cometa_letter(arrived, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(ws_arrived, NGX_COMETA_CLASS_REPLY, 0),
    ngx_cometa_letter(ws_tail, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(ws_late, NGX_COMETA_CLASS_ANSWER, 0),
    ngx_cometa_letter(follow, NGX_COMETA_CLASS_ANSWER, 1)
};

_Static_assert(sizeof(ngx_cometa_mail_types) / sizeof(ngx_cometa_mail_type_t)
               == NGX_COMETA_MAIL_TYPES, "a line for each type");


ngx_int_t
ngx_cometa_mail_call(ngx_cometa_place_t *to, ngx_cometa_mail_call_t *mail,
    ngx_str_t *message, uint64_t *pos)
{
    ngx_cometa_mail_to_owner(&mail->head, NGX_COMETA_MAIL_CALL, to,
                             mail->ref.debug);

    return ngx_cometa_mail_ask(to->slot, to->epoch, NGX_COMETA_MAIL_CALL, mail,
                               message, pos);
}


ngx_int_t
ngx_cometa_mail_query(ngx_cometa_place_t *to, ngx_cometa_ref_t *ref,
    ngx_uint_t kick, uint64_t *pos)
{
    ngx_str_t                body = ngx_null_string;
    ngx_cometa_mail_query_t  mail;

    ngx_cometa_mail_to_owner(&mail.head, NGX_COMETA_MAIL_QUERY, to,
                             ref->debug);
    mail.ref = *ref;
    mail.kick = kick;

    return ngx_cometa_mail_ask(to->slot, to->epoch, NGX_COMETA_MAIL_QUERY,
                               &mail, &body, pos);
}


ngx_int_t
ngx_cometa_mail_written(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from)
{
    uint64_t                   pos;
    ngx_str_t                  body;
    ngx_cometa_mail_written_t  mail;

    ngx_cometa_mail_to_origin(&mail.head, NGX_COMETA_MAIL_WRITTEN, from,
                              to->debug);
    mail.ref = *to;

    ngx_str_null(&body);

    return ngx_cometa_mail_ask(to->slot, to->epoch, NGX_COMETA_MAIL_WRITTEN,
                               &mail, &body, &pos);
}


void
ngx_cometa_mail_cancel(ngx_cometa_place_t *to, ngx_cometa_ref_t *ref)
{
    ngx_cometa_mail_cancel_t  mail;

    ngx_cometa_mail_to_owner(&mail.head, NGX_COMETA_MAIL_CANCEL, to,
                             ref->debug);
    mail.ref = *ref;

    ngx_cometa_mail_tell(to->slot, to->epoch, NGX_COMETA_MAIL_CANCEL, &mail,
                         NULL, 0);
}


void
ngx_cometa_mail_evict(ngx_cometa_place_t *to, uint32_t wait, ngx_str_t *addr)
{
    ngx_cometa_mail_evict_t  mail;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_evict_t));

    ngx_cometa_mail_to_owner(&mail.head, NGX_COMETA_MAIL_EVICT, to, 0);
    mail.wait = wait;

    ngx_cometa_mail_tell(to->slot, to->epoch, NGX_COMETA_MAIL_EVICT, &mail,
                         addr->data, addr->len);
}


void
ngx_cometa_mail_reply(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    uint64_t latency, u_char *data, size_t len)
{
    ngx_cometa_mail_reply_t  mail;

    ngx_cometa_mail_to_origin(&mail.head, NGX_COMETA_MAIL_REPLY, from,
                              to->debug);
    mail.ref = *to;
    mail.latency = latency;

    ngx_cometa_mail_tell(to->slot, to->epoch, NGX_COMETA_MAIL_REPLY, &mail,
                         data, len);
}


void
ngx_cometa_mail_fail(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    ngx_uint_t error)
{
    ngx_cometa_mail_fail_t  mail;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_fail_t));

    ngx_cometa_mail_to_origin(&mail.head, NGX_COMETA_MAIL_FAIL, from,
                              to->debug);
    mail.ref = *to;
    mail.error = error;

    ngx_cometa_mail_tell(to->slot, to->epoch, NGX_COMETA_MAIL_FAIL, &mail,
                         NULL, 0);
}


void
ngx_cometa_mail_queued(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from)
{
    ngx_cometa_mail_queued_t  mail;

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_queued_t));

    ngx_cometa_mail_to_origin(&mail.head, NGX_COMETA_MAIL_QUEUED, from,
                              to->debug);
    mail.ref = *to;

    ngx_cometa_mail_tell(to->slot, to->epoch, NGX_COMETA_MAIL_QUEUED, &mail,
                         NULL, 0);
}


void
ngx_cometa_mail_send(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    void *mail, u_char *data, size_t len)
{
    ((ngx_cometa_mail_head_t *) mail)->type = type;

    ngx_cometa_mail_tell(slot, epoch, type, mail, data, len);
}


void
ngx_cometa_mail_online(ngx_cometa_key_t *key, ngx_cometa_mail_head_t *from)
{
    u_char                    *p, names[2 * NGX_COMETA_ID_MAX];
    uint32_t                   slot;
    ngx_cometa_mail_online_t   mail;

    p = ngx_cpymem(names, key->app.data, key->app.len);
    p = ngx_cpymem(p, key->device.data, key->device.len);

    ngx_memzero(&mail, sizeof(ngx_cometa_mail_online_t));

    ngx_cometa_mail_to_origin(&mail.head, NGX_COMETA_MAIL_ONLINE, from, 0);
    mail.hash = key->hash;
    mail.app_len = key->app.len;

    for (slot = ngx_cometa_interest_next(key->hash, 0);
         slot != NGX_COMETA_NONE;
         slot = ngx_cometa_interest_next(key->hash, slot + 1))
    {
        ngx_cometa_mail_tell(slot, ngx_cometa_zone.slots[slot].epoch,
                             NGX_COMETA_MAIL_ONLINE, &mail, names, p - names);
    }
}


void
ngx_cometa_mail_event(uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_cometa_notice_t *notice)
{
    uint32_t            slot;
    ngx_time_t         *now;
    ngx_cometa_post_t   post;

    struct {
        ngx_cometa_mail_event_t  mail;
        u_char                   texts[NGX_COMETA_TEXTS_MAX];
    } letter;

    slot = ngx_cometa_interest_hears(hash, from->app, 0);

    if (slot == NGX_COMETA_NONE) {
        return;
    }

    now = ngx_timeofday();
    notice->time = (uint64_t) now->sec * 1000 + now->msec;

    ngx_cometa_mail_to_origin(&letter.mail.head, NGX_COMETA_MAIL_EVENT, from,
                              0);
    letter.mail.hash = hash;

    ngx_cometa_mail_post(NGX_COMETA_MAIL_EVENT, &letter.mail.head,
                         notice->data.data, notice->data.len, &post);

    post.head_len += ngx_cometa_notice_pack(notice, &letter.mail.texts);

    do {
        ngx_cometa_mail_trace("sent to", slot, &letter.mail.head,
                              notice->data.len);

        if (slot == ngx_cometa_zone.slot) {
            ngx_cometa_mail_handlers.event(&letter.mail, notice);

        } else {
            ngx_cometa_mailbox_tell(slot, ngx_cometa_zone.slots[slot].epoch,
                                    &post);
        }

        slot = ngx_cometa_interest_hears(hash, from->app, slot + 1);

    } while (slot != NGX_COMETA_NONE);
}


ngx_cometa_mail_inline void
ngx_cometa_mail_to_owner(ngx_cometa_mail_head_t *head, ngx_cometa_mail_e type,
    ngx_cometa_place_t *to, ngx_uint_t debug)
{
    head->type = type;
    head->debug = debug;
    head->app = to->app;
    head->handle = to->handle;
    head->session = to->session;
}


ngx_cometa_mail_inline void
ngx_cometa_mail_to_origin(ngx_cometa_mail_head_t *head, ngx_cometa_mail_e type,
    ngx_cometa_mail_head_t *from, ngx_uint_t debug)
{
    head->type = type;
    head->debug = debug;
    head->app = from->app;
    head->handle = from->handle;
    head->session = from->session;
}


ngx_cometa_mail_inline void
ngx_cometa_mail_post(ngx_cometa_mail_e type, ngx_cometa_mail_head_t *head,
    void *body, size_t len, ngx_cometa_post_t *post)
{
    post->class = ngx_cometa_mail_types[type].class;
    post->app = head->app;
    post->head = head;
    post->head_len = ngx_cometa_mail_types[type].len;
    post->body = body;
    post->body_len = len;
}


ngx_cometa_mail_inline ngx_int_t
ngx_cometa_mail_ask(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    void *mail, ngx_str_t *body, uint64_t *pos)
{
    ngx_cometa_post_t  post;

    ngx_cometa_mail_trace("sent to", slot, mail, body->len);

    if (slot == ngx_cometa_zone.slot) {

        if (epoch != ngx_cometa_zone.epoch) {
            return NGX_DECLINED;
        }

        ngx_cometa_mail_read(type, mail, body->data, body->len);
        return NGX_OK;
    }

    ngx_cometa_mail_post(type, mail, body->data, body->len, &post);

    return ngx_cometa_mailbox_ask(slot, epoch, &post, pos);
}


ngx_cometa_mail_inline void
ngx_cometa_mail_tell(uint32_t slot, uint32_t epoch, ngx_cometa_mail_e type,
    void *mail, void *body, size_t len)
{
    ngx_cometa_post_t  post;

    ngx_cometa_mail_trace("sent to", slot, mail, len);

    if (slot == ngx_cometa_zone.slot) {

        if (epoch == ngx_cometa_zone.epoch) {
            ngx_cometa_mail_read(type, mail, body, len);
        }

        return;
    }

    ngx_cometa_mail_post(type, mail, body, len, &post);

    ngx_cometa_mailbox_tell(slot, epoch, &post);
}


void
ngx_cometa_mail_deliver(u_char *data, size_t len)
{
    size_t                   size;
    ngx_cometa_mail_head_t  *head;

    head = (ngx_cometa_mail_head_t *) data;

    if (len < sizeof(ngx_cometa_mail_head_t)
        || head->type >= NGX_COMETA_MAIL_TYPES)
    {
        return;
    }

    size = ngx_cometa_mail_types[head->type].len;

    if (len < size) {
        return;
    }

    ngx_cometa_mail_trace("read at", ngx_cometa_zone.slot, head, len - size);

    ngx_cometa_mail_read(head->type, (ngx_cometa_mail_t *) data, data + size,
                         len - size);
}


/* No more than the struct of the letter's type may be touched. */

ngx_cometa_mail_inline void
ngx_cometa_mail_read(ngx_cometa_mail_e type, ngx_cometa_mail_t *mail,
    u_char *body, size_t len)
{
    ngx_cometa_mail_handlers_t  *to;

    to = &ngx_cometa_mail_handlers;

    switch (type) {

    case NGX_COMETA_MAIL_CALL:
        to->call(&mail->call, body, len);
        return;

    case NGX_COMETA_MAIL_QUERY:
        to->query(&mail->query);
        return;

    case NGX_COMETA_MAIL_CANCEL:
        to->cancel(&mail->cancel);
        return;

    case NGX_COMETA_MAIL_EVICT:
        ngx_cometa_mail_read_evict(&mail->evict, body, len);
        return;

    case NGX_COMETA_MAIL_LISTENERS:
        to->listeners(&mail->listeners);
        return;

    case NGX_COMETA_MAIL_REPLY:
        to->reply(&mail->reply, body, len);
        return;

    case NGX_COMETA_MAIL_FAIL:
        to->fail(&mail->fail);
        return;

    case NGX_COMETA_MAIL_QUEUED:
        to->queued(&mail->queued);
        return;

    case NGX_COMETA_MAIL_WRITTEN:
        to->written(&mail->written);
        return;

    case NGX_COMETA_MAIL_ONLINE:
        ngx_cometa_mail_read_online(&mail->online, body, len);
        return;

    case NGX_COMETA_MAIL_EVENT:
        ngx_cometa_mail_read_event(&mail->event, body, len);
        return;

    case NGX_COMETA_MAIL_ARRIVED:
        to->arrived(&mail->arrived);
        return;

    case NGX_COMETA_MAIL_WS_ARRIVED:
        to->ws_arrived(&mail->arrived);
        return;

    case NGX_COMETA_MAIL_WS_TAIL:
        to->ws_tail(&mail->ws_tail, body, len);
        return;

    case NGX_COMETA_MAIL_WS_LATE:
        to->ws_late(&mail->ws_late, body, len);
        return;

    case NGX_COMETA_MAIL_FOLLOW:
        to->follow(&mail->follow);
        return;

    case NGX_COMETA_MAIL_TYPES:
        return;
    }
}


static void
ngx_cometa_mail_read_evict(ngx_cometa_mail_evict_t *mail, u_char *body,
    size_t len)
{
    ngx_str_t  addr;

    addr.data = body;
    addr.len = len;

    ngx_cometa_mail_handlers.evict(mail, &addr);
}


static void
ngx_cometa_mail_read_online(ngx_cometa_mail_online_t *mail, u_char *body,
    size_t len)
{
    ngx_cometa_key_t  key;

    if (mail->app_len > len) {
        return;
    }

    key.app.data = body;
    key.app.len = mail->app_len;
    key.device.data = body + mail->app_len;
    key.device.len = len - mail->app_len;
    key.hash = mail->hash;

    ngx_cometa_mail_handlers.online(mail, &key);
}


static void
ngx_cometa_mail_read_event(ngx_cometa_mail_event_t *mail, u_char *body,
    size_t len)
{
    ngx_cometa_notice_t  notice;

    if (ngx_cometa_notice_unpack(&notice, &mail->texts, body, len) == NGX_OK)
    {
        ngx_cometa_mail_handlers.event(mail, &notice);
    }
}


#if (NGX_DEBUG)

static void
ngx_cometa_mail_log(const char *what, uint32_t slot,
    ngx_cometa_mail_head_t *head, size_t len)
{
    ngx_cometa_ref_t              *ref;
    const ngx_cometa_mail_type_t  *type;

#ifdef __clang_analyzer__
    /* it does not see that `ref` is looked at only where a letter has one */
    return;
#endif

    type = &ngx_cometa_mail_types[head->type];

    if (type->ref) {
        ref = &((ngx_cometa_mail_t *) head)->query.ref;

        ngx_log_error_core(NGX_LOG_DEBUG, ngx_cometa_trace(head->debug), 0,
                           "cometa mail: %s %s slot %uD, call %ud:%uD:%uD, "
                           "session %uL, app %ud, %uz bytes",
                           type->name, what, slot, (unsigned) ref->slot,
                           ref->index, ref->generation, head->session,
                           (unsigned) head->app, len);
        return;
    }

    ngx_log_error_core(NGX_LOG_DEBUG, ngx_cometa_trace(head->debug), 0,
                       "cometa mail: %s %s slot %uD, session %uL, app %ud, "
                       "%uz bytes",
                       type->name, what, slot, head->session,
                       (unsigned) head->app, len);
}

#endif
