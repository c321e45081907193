
/*
 * A device: its connection, once the attach request is gone, and what this
 * worker knows of it. Reads chunks, writes chunks, watches over its life.
 * What the payloads mean to calls is decided above, in the handlers of
 * ngx_cometa_device_handlers.
 */

#ifndef _NGX_COMETA_DEVICE_H_INCLUDED_
#define _NGX_COMETA_DEVICE_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_app.h"
#include "ngx_cometa_registry.h"
#include "cometa_chunk.h"


/* The first byte of chunks that are no reply. */

#define NGX_COMETA_CHUNK_HEARTBEAT  0x06    /* alone */
#define NGX_COMETA_CHUNK_EVENT      0x07    /* its data follows */


typedef struct ngx_cometa_device_s  ngx_cometa_device_t;
typedef struct ngx_cometa_input_s   ngx_cometa_input_t;
typedef struct ngx_cometa_output_s  ngx_cometa_output_t;
typedef struct ngx_cometa_watchers_s  ngx_cometa_watchers_t;


/*
 * What the devices of one location have in common. All have the same timeout,
 * so the queue in order of their last sign of life is also the order in which
 * they expire: one timer looks at its head.
 */

typedef struct {
    ngx_msec_t            heartbeat;        /* announced */
    ngx_msec_t            timeout;          /* without a complete chunk */
    ngx_msec_t            body_timeout;     /* for a chunk once begun */
    size_t                max_message;

    ngx_queue_t           life;
    ngx_queue_t           partial;          /* ngx_cometa_input_t, by begin */
    ngx_event_t           timer;
    ngx_log_t            *error_log;
    ngx_log_t             log;              /* shared by the connections */
    struct ngx_cometa_webhook_conf_s
                         *webhook;          /* NULL: none */
} ngx_cometa_device_conf_t;


/*
 * A million of these: an idle device is this, a connection of nginx, a record
 * in the zone, and nothing else. 32-bit times are milliseconds or seconds
 * that wrap; only their differences count.
 */

struct ngx_cometa_device_s {
    ngx_connection_t          *connection;  /* NULL while it is opening */
    ngx_cometa_device_conf_t  *conf;
    void                      *queue;        /* of the floor above, or NULL */
    ngx_cometa_input_t        *input;       /* a chunk that is not complete */
    ngx_cometa_output_t       *output;      /* what the socket did not take */
    ngx_cometa_output_t       *rest;        /* what was not parsed yet */
    ngx_queue_t                life;        /* .next: the next free one */
    u_char                    *info;        /* 2 bytes length, text */
    ngx_cometa_watchers_t     *watchers;    /* who holds WebSockets, or NULL */

    uint64_t                   session;
    uint64_t                   messages_up;
    uint64_t                   messages_down;
    uint64_t                   bytes_up;
    uint64_t                   bytes_down;

    uint32_t                   handle;
    uint32_t                   record;
    uint32_t                   alive;       /* ms, the last complete chunk */
    uint32_t                   connected;   /* s, since the epoch */
    uint32_t                   heartbeat;   /* s, the last one; 0: none yet */
    uint32_t                   latency;     /* us, of the last reply */
    uint32_t                   hash;        /* of its name, the low half */

    cometa_chunk_t             chunk;
    u_char                     addr[sizeof(struct sockaddr_in6)]
                                   __attribute__((aligned(4)));

    uint16_t                   app;
    uint16_t                   turns;       /* it was read, not to the end */
    uint8_t                    reason;      /* with `closing` */
    unsigned                   used:1;
    unsigned                   sdk:1;       /* form A */
    unsigned                   reading:1;   /* its handler is on the stack */
    unsigned                   closing:1;
    unsigned                   successor:1; /* took over from another one */

    uint8_t                    addr_len;
};


/*
 * The floor above. `reply` is told of an empty one only in form A. `closed`
 * takes the device out of the registry, when it has told what it has to.
 */

typedef struct {
    /* NGX_DECLINED: no call is outstanding */
    ngx_int_t  (*reply)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    ngx_uint_t (*outstanding)(ngx_cometa_device_t *dev);
    void       (*event)(ngx_cometa_device_t *dev, u_char *data, size_t len);
    void       (*ready)(ngx_cometa_device_t *dev);
    void       (*opened)(ngx_cometa_device_t *dev);
    void       (*closed)(ngx_cometa_device_t *dev, ngx_uint_t reason);
} ngx_cometa_device_handlers_t;

extern ngx_cometa_device_handlers_t  ngx_cometa_device_handlers;


/* In the configuration phase, when the times of *conf are set. */
void ngx_cometa_device_conf_init(ngx_cometa_device_conf_t *conf,
    ngx_log_t *log);

/* At the start of a worker. */
ngx_int_t ngx_cometa_device_start(ngx_cycle_t *cycle);

/*
 * A device without a connection yet; ngx_cometa_device_open() brings it.
 * NULL: no memory.
 */
ngx_cometa_device_t *ngx_cometa_device_create(ngx_cometa_device_conf_t *conf);

/*
 * Enters it in the registry; from now on mail may come for it. Returns what
 * ngx_cometa_registry_attach() does.
 */
ngx_int_t ngx_cometa_device_enter(ngx_cometa_device_t *dev,
    ngx_cometa_key_t *key, ngx_cometa_takeover_t *takeover,
    ngx_cometa_place_t *old);

/* Undoes both for a device that will not be opened. */
void ngx_cometa_device_discard(ngx_cometa_device_t *dev);

/*
 * Takes the connection over; nothing of nginx's HTTP must use it any more.
 * Its pool is kept for TLS, and NULL otherwise. `data` are bytes that were
 * read behind the attach request; they are not needed after the return.
 */
void ngx_cometa_device_open(ngx_cometa_device_t *dev, ngx_connection_t *c,
    u_char *data, size_t len);

/* Where it is: the handle as found in a record. NULL: not here any more. */
ngx_cometa_device_t *ngx_cometa_device_get(uint32_t handle, uint64_t session);

/*
 * Ends it, with a last chunk where the reason is an orderly one. Safe at any
 * time, also from the handlers above: then it happens when they return.
 */
void ngx_cometa_device_close(ngx_cometa_device_t *dev, ngx_uint_t reason);

/* Ends it, for it has attached anew; `by` is the address of that client. */
void ngx_cometa_device_evict(ngx_cometa_device_t *dev, ngx_str_t *by);

/* Logs that a client was refused which wanted to take it over once more. */
void ngx_cometa_device_flaps(ngx_cometa_device_t *dev, ngx_str_t *by,
    ngx_uint_t wait);

/*
 * Writes one chunk. NGX_AGAIN: not now (opening, or an earlier one is still
 * on its way), `ready` is called when it can; NGX_ERROR: it is being closed.
 */
ngx_int_t ngx_cometa_device_write(ngx_cometa_device_t *dev, u_char *data,
    size_t len);

/* A worker holds n WebSockets to it. */
void ngx_cometa_device_watch(ngx_cometa_device_t *dev, uint32_t slot,
    uint32_t epoch, ngx_uint_t n);

/* Whether a write would be taken now. */
ngx_uint_t ngx_cometa_device_writable(ngx_cometa_device_t *dev);

/* Its figures as a JSON object into dst; returns the end. */
#define NGX_COMETA_DEVICE_JSON  2560
u_char *ngx_cometa_device_json(ngx_cometa_device_t *dev, u_char *dst);

/*
 * Lets up to n devices of this worker go, those with an outstanding call last.
 * Returns how many are left.
 */
ngx_uint_t ngx_cometa_device_release(ngx_uint_t n);

/* How many there are in this worker. */
ngx_uint_t ngx_cometa_device_count(void);


#endif /* _NGX_COMETA_DEVICE_H_INCLUDED_ */
