
/*
 * What a device is, at the worker that holds it: the part that moves to
 * another worker, and the part that is tied to this process.
 */

#ifndef _NGX_COMETA_DEVICE_STATE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_STATE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_address.h"
#include "cometa_chunk.h"


typedef struct ngx_cometa_device_s     ngx_cometa_device_t;
typedef struct ngx_cometa_queue_s      ngx_cometa_queue_t;
typedef struct ngx_cometa_unread_s     ngx_cometa_unread_t;
typedef struct ngx_cometa_unsent_s     ngx_cometa_unsent_t;
typedef struct ngx_cometa_card_s       ngx_cometa_card_t;
typedef struct ngx_cometa_asked_s      ngx_cometa_asked_t;
typedef struct ngx_cometa_requests_s   ngx_cometa_requests_t;
typedef struct ngx_cometa_life_s       ngx_cometa_life_t;
typedef struct ngx_cometa_device_conf_s  ngx_cometa_device_conf_t;
typedef struct ngx_cometa_listeners_s  ngx_cometa_listeners_t;

struct ngx_cometa_webhook_conf_s;          /* in ngx_cometa_webhook_types.h */


/* The first byte of a chunk that is not a reply. */

#define NGX_COMETA_CHUNK_REQUEST    0x05    /* if it may ask */
#define NGX_COMETA_CHUNK_HEARTBEAT  0x06    /* the whole chunk */
#define NGX_COMETA_CHUNK_EVENT      0x07    /* its data follows */


/*
 * Devices of a location that have the same interval. All have the same timeout,
 * so the queue in order of their last sign of life is also the order in which
 * they expire: one timer looks at its head. Most devices of a location have its
 * interval; for each other one that was granted there is one more of these.
 */

struct ngx_cometa_life_s {
    ngx_cometa_device_conf_t  *conf;
    ngx_cometa_life_t         *next;        /* of the same location */

    ngx_msec_t                 heartbeat;   /* announced */
    ngx_msec_t                 timeout;     /* without a complete message */
    ngx_msec_t                 ping;        /* the same; 0: none is sent */

    ngx_queue_t                heard;
    ngx_queue_t                pinged;      /* and silent since */
    ngx_queue_t                arrived;     /* not heard of here yet */
    ngx_queue_t                partial;     /* ngx_cometa_unread_t, by begin */
    ngx_event_t                timer;
};


/* What the devices of one location have in common. */

struct ngx_cometa_device_conf_s {
    ngx_cometa_life_t     life;             /* at its own interval */
    ngx_msec_t            heartbeat_min;    /* of what may be granted */
    ngx_msec_t            heartbeat_max;
    ngx_msec_t            body_timeout;     /* for a message once begun */
    size_t                max_message;
    ngx_uint_t            pipeline;         /* calls that may be granted */
    ngx_msec_t            request_timeout;  /* of a device's requests */

    uint64_t              id;               /* of the location, by name */
    ngx_uint_t            gone;             /* a newer configuration has none */
    ngx_log_t            *error_log;
    ngx_log_t             log;              /* shared by the connections */
    struct ngx_cometa_webhook_conf_s  *webhook;         /* or NULL */
};


/*
 * What moves to another worker with the device, beside its connection. It
 * has no pointer and nothing of this process. Times are of clocks that all
 * processes share; times of 32 bits are milliseconds or seconds that wrap, so
 * only their differences may be used.
 */

typedef struct {
    uint64_t                   session;
    uint64_t                   hash;        /* of its key */
    uint64_t                   messages_up;
    uint64_t                   messages_down;
    uint64_t                   bytes_up;
    uint64_t                   bytes_down;

    uint32_t                   record;      /* in the registry */
    uint32_t                   alive;       /* ms, the last complete chunk */
    uint32_t                   connected;   /* s, since the epoch */
    uint32_t                   heartbeat;   /* s, the last one; 0: none yet */
    uint32_t                   latency;     /* us, of the last reply */
    uint32_t                   sequence;    /* of its last event, from 1 */

    cometa_chunk_t             chunk;
    uint16_t                   app;
    uint8_t                    sdk;         /* form A */
    uint8_t                    successor;   /* took over from a connection */
    ngx_cometa_address_t       address;
} ngx_cometa_device_state_t;


/* Kept apart, because a call does not need it; the info follows. */

struct ngx_cometa_card_s {
    ngx_cometa_listeners_t    *listeners;   /* workers with WebSockets */
    uint16_t                   len;         /* of the info */
    u_char                     info[1];
};


/*
 * There may be a million of these. An idle device is this, a connection of
 * nginx, a record in the zone, and a card if it has an info. The fields that a
 * call uses stand first.
 */

struct ngx_cometa_device_s {
    ngx_connection_t          *connection;  /* NULL while it is opening */
    ngx_cometa_device_conf_t  *conf;
    ngx_cometa_queue_t        *queue;       /* of calls, or NULL */
    ngx_cometa_unsent_t       *unsent;      /* what the socket did not take */
    ngx_cometa_unread_t       *unread;      /* read, not yet passed on */
    ngx_queue_t                life;        /* .next: the next free one */

    uint32_t                   handle;
    uint16_t                   turns;       /* that did not read to the end */
    uint8_t                    reason;      /* with `closing` */
    unsigned                   used:1;
    unsigned                   reading:1;   /* its handler is on the stack */
    unsigned                   closing:1;
    unsigned                   away:1;      /* offered to another worker */
    unsigned                   frames:1;    /* over a WebSocket */

    ngx_cometa_device_state_t  state;
    ngx_cometa_card_t         *card;        /* or NULL */
    ngx_cometa_asked_t        *asked;       /* or NULL: for nothing */
};


/*
 * Marks the device as closing: it ends when the functions on the stack are done
 * with it. For ngx_cometa_device.c and ngx_cometa_device_io.c only; other files
 * call ngx_cometa_device_close().
 */

static ngx_inline void
ngx_cometa_device_mark(ngx_cometa_device_t *dev, ngx_uint_t reason)
{
    if (!dev->closing) {
        dev->closing = 1;
        dev->reason = reason;
    }
}


#endif /* _NGX_COMETA_DEVICE_STATE_H_INCLUDED_ */
