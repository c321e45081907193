
/*
 * The letters that workers write to each other. Each has a struct, one
 * function that writes and sends it, and one handler that reads it. A letter
 * to this worker itself does not go through a ring: its handler is called at
 * once, on the stack of the sender.
 *
 * A letter is what stands in a ring, in front of a body of any length. It
 * takes as many bytes as its struct has.
 *
 *     0      1       2      4        8                16
 *     +------+-------+------+--------+----------------+- - - -
 *     | type | debug | app  | handle | session        |
 *     +------+-------+------+--------+----------------+- - - -
 *
 *                          16          32         40     48        52      54
 *     CALL                 | ref       | deadline | time | timeout | queue |
 *     QUERY CANCEL         | ref       |
 *     QUEUED WRITTEN       | ref       |
 *     REPLY                | ref       | latency  |
 *     FAIL                 | ref       | error |
 *
 *                          16     20      24  25
 *     EVICT                | wait |
 *     LISTENERS            | slot | epoch | n    |
 *     ONLINE               | hash         | app_len |
 *     EVENT                | hash         |
 */

#ifndef _NGX_COMETA_MAIL_H_INCLUDED_
#define _NGX_COMETA_MAIL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_registry.h"


typedef enum {
    NGX_COMETA_MAIL_CALL = 0,       /* origin -> owner, a message to a device */
    NGX_COMETA_MAIL_QUERY,          /* origin -> owner, asks for its figures */
    NGX_COMETA_MAIL_CANCEL,         /* origin -> owner, nobody waits any more */
    NGX_COMETA_MAIL_EVICT,          /* new owner -> old owner, the device is
                                       mine; body: the new client's address */
    NGX_COMETA_MAIL_LISTENERS,      /* -> owner, so many WebSockets here */
    NGX_COMETA_MAIL_REPLY,          /* owner -> origin */
    NGX_COMETA_MAIL_FAIL,           /* owner -> origin, with `error` */
    NGX_COMETA_MAIL_QUEUED,         /* owner -> origin, waits for its turn */
    NGX_COMETA_MAIL_WRITTEN,        /* owner -> origin, has got its turn */
    NGX_COMETA_MAIL_ONLINE,         /* owner -> all interested, body: names of
                                       application and device */
    NGX_COMETA_MAIL_EVENT,          /* owner -> all interested */
    NGX_COMETA_MAIL_TYPES
} ngx_cometa_mail_e;


/*
 * Names a call: the process it comes from, and the call there. `debug` comes
 * back in every letter about the call.
 */

typedef struct {
    uint16_t                slot;
    uint16_t                debug;
    uint32_t                epoch;
    uint32_t                index;
    uint32_t                generation;
} ngx_cometa_ref_t;


static ngx_inline ngx_uint_t
ngx_cometa_ref_same(ngx_cometa_ref_t *ref, ngx_cometa_ref_t *other)
{
    return ref->index == other->index
           && ref->generation == other->generation
           && ref->slot == other->slot
           && ref->epoch == other->epoch;
}


typedef struct {
    uint8_t                 type;
    uint8_t                 debug;      /* see ngx_cometa_trace.h */
    uint16_t                app;        /* of the device */
    uint32_t                handle;     /* of the device, at its owner */
    uint64_t                session;    /* of the device */
} ngx_cometa_mail_head_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
    uint64_t                deadline;   /* ms, ngx_current_msec */
    uint64_t                time;       /* us, its arrival at the server */
    uint32_t                timeout;    /* ms that a late reply may be owed */
    uint16_t                queue;      /* how many may wait at the device */
} ngx_cometa_mail_call_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
} ngx_cometa_mail_query_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
} ngx_cometa_mail_cancel_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    uint32_t                wait;       /* s that the takeover is delayed, the
                                           device stays; 0: it has to go */
} ngx_cometa_mail_evict_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    uint32_t                slot;       /* of the worker that holds them */
    uint32_t                epoch;
    uint32_t                n;
} ngx_cometa_mail_listeners_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
    uint64_t                latency;    /* us */
} ngx_cometa_mail_reply_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
    uint32_t                error;
} ngx_cometa_mail_fail_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
} ngx_cometa_mail_queued_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
} ngx_cometa_mail_written_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    uint64_t                hash;       /* of the key */
    uint8_t                 app_len;    /* where the device's name begins */
} ngx_cometa_mail_online_t;


typedef struct {
    ngx_cometa_mail_head_t  head;
    uint64_t                hash;       /* of the key */
} ngx_cometa_mail_event_t;


typedef union {
    ngx_cometa_mail_head_t       head;
    ngx_cometa_mail_call_t       call;
    ngx_cometa_mail_query_t      query;
    ngx_cometa_mail_cancel_t     cancel;
    ngx_cometa_mail_evict_t      evict;
    ngx_cometa_mail_listeners_t  listeners;
    ngx_cometa_mail_reply_t      reply;
    ngx_cometa_mail_fail_t       fail;
    ngx_cometa_mail_queued_t     queued;
    ngx_cometa_mail_written_t    written;
    ngx_cometa_mail_online_t     online;
    ngx_cometa_mail_event_t      event;
} ngx_cometa_mail_t;


/*
 * The handlers of letters. A letter lies in the ring, or on the stack of its
 * sender, and is valid until the handler returns.
 */

typedef struct {
    void  (*call)(ngx_cometa_mail_call_t *mail, u_char *message, size_t len);
    void  (*query)(ngx_cometa_mail_query_t *mail);
    void  (*cancel)(ngx_cometa_mail_cancel_t *mail);
    void  (*evict)(ngx_cometa_mail_evict_t *mail, ngx_str_t *addr);
    void  (*listeners)(ngx_cometa_mail_listeners_t *mail);
    void  (*reply)(ngx_cometa_mail_reply_t *mail, u_char *data, size_t len);
    void  (*fail)(ngx_cometa_mail_fail_t *mail);
    void  (*queued)(ngx_cometa_mail_queued_t *mail);
    void  (*written)(ngx_cometa_mail_written_t *mail);
    void  (*online)(ngx_cometa_mail_online_t *mail, ngx_cometa_key_t *key);
    void  (*event)(ngx_cometa_mail_event_t *mail, u_char *data, size_t len);
} ngx_cometa_mail_handlers_t;

/* All of them are set before the mailbox is opened. */
extern ngx_cometa_mail_handlers_t  ngx_cometa_mail_handlers;


/*
 * The reader of the mailbox: calls the handler of a letter. A letter that is
 * shorter than its type requires, or of an unknown type, is ignored.
 */
void ngx_cometa_mail_deliver(u_char *data, size_t len);


/*
 * Requests, which may be refused: they return what ngx_cometa_mailbox_ask()
 * does. The caller fills CALL except for its head.
 */
ngx_int_t ngx_cometa_mail_call(ngx_cometa_place_t *to,
    ngx_cometa_mail_call_t *mail, ngx_str_t *message, uint64_t *pos);
ngx_int_t ngx_cometa_mail_query(ngx_cometa_place_t *to, ngx_cometa_ref_t *ref,
    uint64_t *pos);
ngx_int_t ngx_cometa_mail_written(ngx_cometa_ref_t *to,
    ngx_cometa_mail_head_t *from);

/* To the owner of a device. */
void ngx_cometa_mail_cancel(ngx_cometa_place_t *to, ngx_cometa_ref_t *ref);
void ngx_cometa_mail_evict(ngx_cometa_place_t *to, uint32_t wait,
    ngx_str_t *addr);
void ngx_cometa_mail_listeners(ngx_cometa_place_t *to, uint32_t n);

/* To the origin of a call; `from` has app, handle and session of the device. */
void ngx_cometa_mail_reply(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    uint64_t latency, u_char *data, size_t len);
void ngx_cometa_mail_fail(ngx_cometa_ref_t *to, ngx_cometa_mail_head_t *from,
    ngx_uint_t error);
void ngx_cometa_mail_queued(ngx_cometa_ref_t *to,
    ngx_cometa_mail_head_t *from);

/*
 * To all workers that are interested in the device, this one included; see
 * ngx_cometa_interest.h.
 */
void ngx_cometa_mail_online(ngx_cometa_key_t *key,
    ngx_cometa_mail_head_t *from);
void ngx_cometa_mail_event(uint64_t hash, ngx_cometa_mail_head_t *from,
    u_char *data, size_t len);


#endif /* _NGX_COMETA_MAIL_H_INCLUDED_ */
