
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
 *     QUERY                | ref       | kick |
 *     CANCEL               | ref       |
 *     QUEUED WRITTEN       | ref       |
 *     REPLY                | ref       | latency  |
 *     FAIL                 | ref       | error |
 *
 *                          16     20      24  25
 *     EVICT                | wait |
 *     LISTENERS            | slot | epoch | n    |
 *     ONLINE               | hash         | app_len |
 *
 *                          16     24     32         36     37     38      39
 *     EVENT                | hash | time | sequence | kind| name| extra| word
 *
 *                          16      20     24        28       32     36
 *     ARRIVED              | index | slot | epoch   | handle | rc   | 0  |
 *     WS_ARRIVED           | index | slot | epoch   | other  | rc   | 0  |
 *     WS_TAIL              | index | end  |
 *     WS_LATE              | slot | epoch |
 *     FOLLOW               | ref       | slot | epoch |
 */

#ifndef _NGX_COMETA_MAIL_H_INCLUDED_
#define _NGX_COMETA_MAIL_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_notice.h"
#include "ngx_cometa_post.h"
#include "ngx_cometa_registry.h"


typedef enum {
    NGX_COMETA_MAIL_CALL = 0,       /* origin -> owner, a message to a device */
    NGX_COMETA_MAIL_QUERY,          /* origin -> owner, asks for its figures,
                                       or ends it */
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
    NGX_COMETA_MAIL_ARRIVED,        /* new owner -> old one */
    NGX_COMETA_MAIL_WS_ARRIVED,     /* new holder of a WebSocket -> old one */
    NGX_COMETA_MAIL_WS_TAIL,        /* old holder -> new one, body: frames */
    NGX_COMETA_MAIL_WS_LATE,        /* the same, body: the end of a call */
    NGX_COMETA_MAIL_FOLLOW,         /* old owner -> origin, who has it now */
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
    uint64_t                kick;       /* it has to go, and has no figures */
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


/* In front of the data stand the other texts, see ngx_cometa_notice.h. */

typedef struct {
    ngx_cometa_mail_head_t  head;
    uint64_t                hash;       /* of the key */
    ngx_cometa_texts_t      texts;
} ngx_cometa_mail_event_t;


/*
 * What has become of a connection that was offered to another worker. LATER:
 * it cannot take one now; NEVER: its configuration has no place for it.
 */

typedef enum {
    NGX_COMETA_ARRIVED = 0,
    NGX_COMETA_ARRIVE_LATER,
    NGX_COMETA_ARRIVE_NEVER
} ngx_cometa_arrival_e;


/*
 * The head has application, handle and session as the sender of the parcel
 * knows the device; a WebSocket has the application only. `index` names the
 * offer.
 */

typedef struct {
    ngx_cometa_mail_head_t  head;
    uint32_t                index;
    uint32_t                slot;       /* where it is now */
    uint32_t                epoch;
    uint32_t                handle;     /* there; of a WebSocket: its index */
    uint32_t                rc;         /* ngx_cometa_arrival_e */
    uint32_t                unused;     /* 0 */
} ngx_cometa_mail_arrived_t;

typedef ngx_cometa_mail_arrived_t  ngx_cometa_mail_ws_arrived_t;


/* What the device has said until the new holder heard of it, in pieces. */

typedef struct {
    ngx_cometa_mail_head_t  head;
    uint32_t                index;      /* at the new holder */
    uint32_t                end;        /* 0; of the last piece 1, and how many
                                           calls are left at the old holder */
} ngx_cometa_mail_ws_tail_t;


/* The end of one of these; the head has the serial of the WebSocket there. */

typedef struct {
    ngx_cometa_mail_head_t  head;
    uint32_t                slot;       /* of the old holder */
    uint32_t                epoch;
} ngx_cometa_mail_ws_late_t;


/* The head has the handle of the device at its new owner. */

typedef struct {
    ngx_cometa_mail_head_t  head;
    ngx_cometa_ref_t        ref;
    uint32_t                slot;       /* of the new owner */
    uint32_t                epoch;
} ngx_cometa_mail_follow_t;


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
    ngx_cometa_mail_arrived_t    arrived;
    ngx_cometa_mail_ws_tail_t    ws_tail;
    ngx_cometa_mail_ws_late_t    ws_late;
    ngx_cometa_mail_follow_t     follow;
} ngx_cometa_mail_t;


/* The layout that is drawn above. */

_Static_assert(sizeof(ngx_cometa_mail_head_t) == 16, "head");
_Static_assert(sizeof(ngx_cometa_ref_t) == 16, "name of a call");
_Static_assert(sizeof(ngx_cometa_mail_call_t) == 56, "CALL");
_Static_assert(sizeof(ngx_cometa_mail_query_t) == 40, "QUERY");
_Static_assert(sizeof(ngx_cometa_mail_cancel_t) == 32, "CANCEL");
_Static_assert(sizeof(ngx_cometa_mail_evict_t) == 24, "EVICT");
_Static_assert(sizeof(ngx_cometa_mail_listeners_t) == 32, "LISTENERS");
_Static_assert(sizeof(ngx_cometa_mail_reply_t) == 40, "REPLY");
_Static_assert(sizeof(ngx_cometa_mail_fail_t) == 40, "FAIL");
_Static_assert(sizeof(ngx_cometa_mail_queued_t) == 32, "QUEUED");
_Static_assert(sizeof(ngx_cometa_mail_written_t) == 32, "WRITTEN");
_Static_assert(sizeof(ngx_cometa_mail_online_t) == 32, "ONLINE");
_Static_assert(sizeof(ngx_cometa_mail_event_t) == 40, "EVENT");
_Static_assert(sizeof(ngx_cometa_mail_arrived_t) == 40, "ARRIVED");
_Static_assert(sizeof(ngx_cometa_mail_ws_tail_t) == 24, "WS_TAIL");
_Static_assert(sizeof(ngx_cometa_mail_ws_late_t) == 24, "WS_LATE");
_Static_assert(sizeof(ngx_cometa_mail_follow_t) == 40, "FOLLOW");
_Static_assert(sizeof(ngx_cometa_mail_t) == 56, "the longest letter");

_Static_assert(offsetof(ngx_cometa_mail_head_t, app) == 2
               && offsetof(ngx_cometa_mail_head_t, handle) == 4
               && offsetof(ngx_cometa_mail_head_t, session) == 8
               && offsetof(ngx_cometa_mail_call_t, ref) == 16
               && offsetof(ngx_cometa_mail_call_t, deadline) == 32
               && offsetof(ngx_cometa_mail_call_t, time) == 40
               && offsetof(ngx_cometa_mail_call_t, timeout) == 48
               && offsetof(ngx_cometa_mail_call_t, queue) == 52
               && offsetof(ngx_cometa_mail_query_t, kick) == 32
               && offsetof(ngx_cometa_mail_reply_t, latency) == 32
               && offsetof(ngx_cometa_mail_fail_t, error) == 32
               && offsetof(ngx_cometa_mail_evict_t, wait) == 16
               && offsetof(ngx_cometa_mail_listeners_t, slot) == 16
               && offsetof(ngx_cometa_mail_listeners_t, epoch) == 20
               && offsetof(ngx_cometa_mail_listeners_t, n) == 24
               && offsetof(ngx_cometa_mail_online_t, hash) == 16
               && offsetof(ngx_cometa_mail_online_t, app_len) == 24
               && offsetof(ngx_cometa_mail_event_t, hash) == 16
               && offsetof(ngx_cometa_mail_event_t, texts) == 24,
               "offsets of letters");

_Static_assert(sizeof(ngx_cometa_mail_head_t) >= NGX_COMETA_LETTER_MIN,
               "the shortest letter");


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
    void  (*event)(ngx_cometa_mail_event_t *mail,
                   ngx_cometa_notice_t *notice);
    void  (*arrived)(ngx_cometa_mail_arrived_t *mail);
    void  (*ws_arrived)(ngx_cometa_mail_arrived_t *mail);
    void  (*ws_tail)(ngx_cometa_mail_ws_tail_t *mail, u_char *data,
                     size_t len);
    void  (*ws_late)(ngx_cometa_mail_ws_late_t *mail, u_char *data,
                     size_t len);
    void  (*follow)(ngx_cometa_mail_follow_t *mail);
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
    ngx_uint_t kick, uint64_t *pos);
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
 * Any letter that should arrive, for ngx_cometa_mail_move.c, which has
 * ngx_cometa_mail_listeners() and the functions up to _ws_late().
 */
void ngx_cometa_mail_send(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_e type, void *mail, u_char *data, size_t len);

/* The written call went with its device, to that place. */
void ngx_cometa_mail_follow(ngx_cometa_ref_t *to, ngx_cometa_place_t *place);

/*
 * Between the workers that a connection moves from and to; the caller fills
 * all but the type of the head. The first one is ARRIVED or WS_ARRIVED.
 */
void ngx_cometa_mail_arrived(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_e type, ngx_cometa_mail_arrived_t *mail);
void ngx_cometa_mail_ws_tail(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_ws_tail_t *mail, u_char *data, size_t len);
void ngx_cometa_mail_ws_late(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_ws_late_t *mail, u_char *data, size_t len);

/*
 * To all workers that are interested in the device, this one included; see
 * ngx_cometa_interest.h. Of an event also those hear that are interested in its
 * application. The time of the notice is set.
 */
void ngx_cometa_mail_online(ngx_cometa_key_t *key,
    ngx_cometa_mail_head_t *from);
void ngx_cometa_mail_event(uint64_t hash, ngx_cometa_mail_head_t *from,
    ngx_cometa_notice_t *notice);


#endif /* _NGX_COMETA_MAIL_H_INCLUDED_ */
