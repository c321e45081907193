
/*
 * The letters that workers write to each other: what stands in a ring, and
 * which of them must arrive.
 */

#ifndef _NGX_COMETA_MAIL_H_INCLUDED_
#define _NGX_COMETA_MAIL_H_INCLUDED_


#include "ngx_cometa.h"


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
    uint16_t          app;          /* of the device; not of a request */
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


/*
 * Events may be dropped when their addressee does not keep up. An answer has
 * a call, a device or a WebSocket that waits for it.
 */

typedef enum {
    NGX_COMETA_EVENTS = 0,
    NGX_COMETA_ANSWERS,
    NGX_COMETA_KINDS
} ngx_cometa_kind_e;


static ngx_inline ngx_uint_t
ngx_cometa_mail_kind(ngx_cometa_mail_t *mail)
{
    return (mail->type == NGX_COMETA_MAIL_EVENT) ? NGX_COMETA_EVENTS
                                                 : NGX_COMETA_ANSWERS;
}


#endif /* _NGX_COMETA_MAIL_H_INCLUDED_ */
