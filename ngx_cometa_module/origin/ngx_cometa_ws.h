
/*
 * A WebSocket to a device, or to all devices of an application: a channel. The
 * request of the handshake was freed. What it receives is handled in
 * ngx_cometa_ws_read.c, and its calls in ngx_cometa_ws_call.c, or those that it
 * makes in JSON in ngx_cometa_ws_json.c, which use this file.
 */

#ifndef _NGX_COMETA_WS_H_INCLUDED_
#define _NGX_COMETA_WS_H_INCLUDED_


#include "ngx_cometa.h"
#include "ngx_cometa_ws_batch.h"
#include "ngx_cometa_ws_group.h"
#include "ngx_cometa_ws_io.h"
#include "ngx_cometa_ws_time.h"


#define NGX_COMETA_CLOSE_NORMAL    1000
#define NGX_COMETA_CLOSE_AWAY      1001
#define NGX_COMETA_CLOSE_AGAIN     1013


/* What the sockets of one location have in common. */

typedef struct {
    uint64_t                   id;          /* of the location, by name */
    ngx_uint_t                 gone;        /* a newer configuration has none */
    uint32_t                   index;       /* in the configuration */
    uint32_t                   generation;  /* of the configuration */
    ngx_msec_t                 timeout;     /* without a frame */
    ngx_msec_t                 send_timeout;    /* of a call */
    ngx_msec_t                 send_timeout_max;
    ngx_msec_t                 send_wait;
    ngx_uint_t                 queue;
    size_t                     max_message;
    size_t                     max_output;  /* bytes, for the peer */

    ngx_cometa_ws_times_t      times;
    ngx_log_t                 *error_log;
    ngx_log_t                  log;         /* shared by the connections */
} ngx_cometa_ws_conf_t;


/*
 * What a WebSocket speaks, and what it wants to hear: the part that moves to
 * another worker. All zero: messages are what a device gets and says.
 */

typedef struct {
    uint8_t                    json;        /* cometa.json.v1 */
    uint8_t                    events;      /* NGX_COMETA_EVENT_... */
    uint8_t                    prefix_len;  /* of the devices it hears of */
    uint8_t                    unused;      /* 0 */
    u_char                     prefix[NGX_COMETA_ID_MAX];
} ngx_cometa_ws_mode_t;


/* One that speaks JSON has this, too. */

typedef struct {
    ngx_cometa_ws_mode_t       mode;
    size_t                     bytes;       /* of the messages of its calls */

    /* calls that are still at the worker that it came from */

    ngx_queue_t                link;        /* .next is NULL: there are none */
    uint64_t                   serial;      /* its name there */
    uint32_t                   slot;
    uint32_t                   epoch;
    uint32_t                   away;        /* how many */
} ngx_cometa_ws_json_t;


typedef struct {
    ngx_cometa_ws_io_t         io;
    ngx_cometa_ws_conf_t      *conf;
    ngx_cometa_ws_group_t     *group;       /* of its device */
    ngx_queue_t                link;        /* in the group */
    ngx_cometa_ws_time_t       time;
    ngx_cometa_ws_batch_t      batch;

    /* used by ngx_cometa_ws_call.c and ngx_cometa_ws_json.c */

    ngx_cometa_ws_json_t      *json;        /* or NULL */
    ngx_queue_t                requests;
    uint16_t                   queued;      /* requests, including ended ones */
    uint16_t                   outstanding; /* calls that have not ended */

    unsigned                   debug:1;     /* by debug_connection */
    unsigned                   closing:1;   /* a close frame was sent */
    unsigned                   failing:1;   /* and no answer is expected */
    unsigned                   closed:1;    /* one has come */
    unsigned                   busy:1;      /* it is being read */
    unsigned                   dead:1;      /* ends after that */
    unsigned                   moving:1;    /* not read, it is to move */

    uint32_t                   moving_since;    /* ms; or when it may again */

    u_char                     addr[sizeof(struct sockaddr_in6)]
                                   __attribute__((aligned(4)));
} ngx_cometa_ws_t;


/* Cancels all calls of a socket; ngx_cometa_ws_call.c sets it. */
typedef void (*ngx_cometa_ws_drop_pt)(ngx_cometa_ws_t *s);

extern ngx_cometa_ws_drop_pt  ngx_cometa_ws_drop;


/* In the configuration phase, when the times of *conf are set. */
void ngx_cometa_ws_conf_init(ngx_cometa_ws_conf_t *conf,
    ngx_log_t *log);

/* At the start of a worker. */
void ngx_cometa_ws_start(ngx_cycle_t *cycle);

/*
 * A socket without a connection yet; key and mode are copied. The key of a
 * channel has no device. NULL: no memory, or the application has lost its
 * place. From now on the socket is counted, and gets the events of its device.
 */
ngx_cometa_ws_t *ngx_cometa_ws_create(ngx_cometa_ws_conf_t *conf,
    ngx_cometa_key_t *key, ngx_cometa_ws_mode_t *mode);

/* Frees a socket that will not be opened. */
void ngx_cometa_ws_discard(ngx_cometa_ws_t *s);

/* The socket behind which this stands. */
#define ngx_cometa_ws_of(json)  ((ngx_cometa_ws_t *) (json) - 1)

/* Whether it is a channel. */
#define ngx_cometa_ws_is_channel(s)  ((s)->group->key.device.len == 0)

/* Adds bytes that are written first when it opens. NGX_ERROR: no memory. */
ngx_int_t ngx_cometa_ws_say(ngx_cometa_ws_t *s, u_char *data,
    size_t len);

/* Takes the connection over; the handler is that of its read event. */
void ngx_cometa_ws_connect(ngx_cometa_ws_t *s, ngx_connection_t *c,
    ngx_event_handler_pt handler);

/* The same for one whose connection was taken back. */
void ngx_cometa_ws_connect_again(ngx_cometa_ws_t *s, ngx_connection_t *c);

/* Something was received: the time of silence begins anew. */
void ngx_cometa_ws_hear(ngx_cometa_ws_t *s);

/*
 * Adds a frame to the output. NGX_ERROR: the peer does not read, or there is no
 * memory; then the socket is closing or freed, and its calls are cancelled.
 */
ngx_int_t ngx_cometa_ws_put(ngx_cometa_ws_t *s, ngx_uint_t type,
    u_char *data, size_t len);

/*
 * Makes sure that the output is written: at the end of this turn of the event
 * loop, or a little later together with replies that are outstanding. While the
 * socket is being read this does nothing: the reader calls it at its end.
 */
void ngx_cometa_ws_settle(ngx_cometa_ws_t *s);

/* Writes what it can now. */
void ngx_cometa_ws_flush(ngx_cometa_ws_t *s);

/* Our side of the close handshake. */
void ngx_cometa_ws_close(ngx_cometa_ws_t *s, ngx_uint_t code);

/* Closes the connection, now or when the read handler returns. */
void ngx_cometa_ws_end(ngx_cometa_ws_t *s);

/* From now on the log that the connections share names this socket. */
void ngx_cometa_ws_log(ngx_cometa_ws_t *s);

/* Closes up to n sockets as going away; returns how many are left. */
ngx_uint_t ngx_cometa_ws_release(ngx_uint_t n);
ngx_uint_t ngx_cometa_ws_count(void);


#endif /* _NGX_COMETA_WS_H_INCLUDED_ */
