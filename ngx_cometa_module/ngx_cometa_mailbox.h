
/*
 * Mail between workers: one ring a slot in the zone, an eventfd to wake its
 * reader, and in each sender a short backlog for what must not be refused.
 * Mail to oneself is delivered at once, on the caller's stack.
 */

#ifndef _NGX_COMETA_MAILBOX_H_INCLUDED_
#define _NGX_COMETA_MAILBOX_H_INCLUDED_


#include "ngx_cometa_slot.h"


typedef enum {
    NGX_COMETA_MAIL_CALL = 0,       /* origin -> owner, a message to a device */
    NGX_COMETA_MAIL_QUERY,          /* origin -> owner, tell about a device */
    NGX_COMETA_MAIL_CANCEL,         /* origin -> owner, nobody waits any more */
    NGX_COMETA_MAIL_EVICT,          /* owner -> owner, the device is mine now,
                                       body: its address */
    NGX_COMETA_MAIL_WATCH,          /* holder -> owner, so many WebSockets */
    NGX_COMETA_MAIL_REPLY,          /* owner -> origin */
    NGX_COMETA_MAIL_FAIL,           /* owner -> origin, with `error` */
    NGX_COMETA_MAIL_QUEUED,         /* owner -> origin, waits for its turn */
    NGX_COMETA_MAIL_WRITTEN,        /* owner -> origin, has got its turn */
    NGX_COMETA_MAIL_ONLINE,         /* owner -> all interested, body: app \0
                                       device */
    NGX_COMETA_MAIL_EVENT           /* owner -> all interested */
} ngx_cometa_mail_e;


/* Names a call: the process it comes from, and the call there. */

typedef struct {
    uint32_t  slot;
    uint32_t  epoch;
    uint32_t  index;
    uint32_t  generation;
} ngx_cometa_ref_t;


/*
 * What stands in a ring, in front of a body of any length.
 *
 *      0        2       4       6       8       12
 *     +--------+-------+-------+-------+--------+------- - -
 *     | type   | error | queue | app   | handle | ref, ...
 *     +--------+-------+-------+-------+--------+------- - -
 */

typedef struct {
    uint16_t          type;
    uint16_t          error;        /* FAIL */
    uint16_t          queue;        /* CALL: how many may wait; WATCH: n */
    uint16_t          app;          /* answers: of the device */
    uint32_t          handle;       /* of the device, at its owner */
    uint32_t          timeout;      /* CALL: ms that a reply may be owed;
                                       EVICT: s that its taking over is
                                       delayed, it stays where it is */
    ngx_cometa_ref_t  ref;          /* of the call */
    uint64_t          session;      /* of the device */
    uint64_t          deadline;     /* CALL: ms, ngx_current_msec */
    uint64_t          time;         /* CALL: its arrival, us; REPLY: latency,
                                       us; EVENT: hash of the key */
} ngx_cometa_mail_t;


/* Gets every message; the body is valid until it returns. */

typedef void (*ngx_cometa_mail_pt)(ngx_cometa_mail_t *mail, u_char *body,
    size_t len);

/* Called when slots were vacated: calls and devices there are lost. */

typedef void (*ngx_cometa_deaths_pt)(void);


ngx_int_t ngx_cometa_mailbox_open(ngx_cycle_t *cycle,
    ngx_cometa_mail_pt deliver, ngx_cometa_deaths_pt deaths,
    ngx_event_handler_pt exiting);
void ngx_cometa_mailbox_close(void);

/*
 * Posts a request that may be refused: NGX_BUSY, the ring is full (a part of
 * it is kept for answers); NGX_DECLINED, its process is gone. *pos is where
 * it stands in the ring.
 */
ngx_int_t ngx_cometa_mailbox_ask(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body, uint64_t *pos);

/*
 * Posts what has to arrive: if the ring is full it waits in this process.
 * Only a process that does not read its mail at all can make this fail; then
 * it is counted, and the call it belongs to meets its deadline.
 */
void ngx_cometa_mailbox_tell(uint32_t slot, uint32_t epoch,
    ngx_cometa_mail_t *mail, ngx_str_t *body);

/*
 * Delivers all mail that was posted before this. What a dead process has said
 * must be heard before it is judged what it has not said. Not from `deliver`.
 */
void ngx_cometa_mailbox_collect(void);


#endif /* _NGX_COMETA_MAILBOX_H_INCLUDED_ */
