/*
 * A device of ngx_cometa_module, for machines with little memory: attaches,
 * answers calls, sends events and requests, and comes back when it was lost.
 *
 * The library allocates nothing and knows no socket: buffers and a transport
 * are the caller's.  All functions of one cometa_t are called from one thread.
 * Handlers are called from cometa_step() and cometa_stop(), and call neither.
 *
 *     cometa_init(&device, &config);
 *     for ( ;; ) {
 *         cometa_step(&device, 1000);
 *     }
 */

#ifndef COMETA_H_INCLUDED
#define COMETA_H_INCLUDED

#ifdef __cplusplus
extern "C" {
#endif

#include <stddef.h>
#include <stdint.h>


/* The least sizes of buffers, in bytes. */

#define COMETA_IN_MIN      256
#define COMETA_OUT_MIN     64

/* What to ask for, in flags of the configuration. */

#define COMETA_WEBSOCKET   0x01      /* attach over WebSocket, not by chunks */
#define COMETA_ECHO        0x02      /* the server answers heartbeats */
#define COMETA_REQUESTS    0x04      /* cometa_request() will be used */
#define COMETA_TEXT        0x08      /* messages are text, not binary frames */

/* What functions return. */

#define COMETA_OK          0
#define COMETA_OFFLINE     -1        /* not attached, or just lost */
#define COMETA_NO_CALL     -2        /* a reply, and no call has asked for it */
#define COMETA_RESERVED    -3        /* a reply that would be no reply */
#define COMETA_BAD_SIZE    -4        /* more than was announced, or nothing */
#define COMETA_BUSY        -5        /* another message is begun */
#define COMETA_BAD_CONFIG  -6

typedef struct cometa_s         cometa_t;
typedef struct cometa_config_s  cometa_config_t;


/*
 * The connection, with "io" of the configuration:
 *
 *   open     connects, with a time limit of its own: 0, or -1
 *   read     waits up to "ms" for bytes: their number, 0 if none came, -1 at
 *            the end of the connection
 *   write    takes at least one byte, with a time limit of its own: how many,
 *            or -1
 *   close    once for each open() that returned 0
 *   accept   may be NULL: whether "value" is the Sec-WebSocket-Accept of "key"
 */

typedef struct {
    int   (*open)(void *io, const char *host, uint16_t port);
    int   (*read)(void *io, void *buf, size_t size, uint32_t ms);
    int   (*write)(void *io, const void *data, size_t size);
    void  (*close)(void *io);
    int   (*accept)(const char *key, const char *value, size_t len);
} cometa_transport_t;


/* What the server has sent, or a part of it. */

typedef enum {
    COMETA_CALL = 0,                /* to be answered by a reply */
    COMETA_ANSWER                   /* of a request: empty if that failed */
} cometa_kind_t;

typedef struct {
    cometa_kind_t   kind;
    const uint8_t  *data;           /* valid until the handler returns */
    size_t          len;
    size_t          offset;         /* of these bytes in the message */
    int             last;           /* the message ends here */
    const char     *id;             /* of an answer, where offset is 0 */
    size_t          id_len;
} cometa_piece_t;


/* How a connection ended, or why there was none. */

typedef enum {
    COMETA_UNREACHABLE = 0,         /* open() failed */
    COMETA_REFUSED,                 /* status and error say why */
    COMETA_CLOSED,                  /* by the server, in order */
    COMETA_LOST,                    /* the connection broke */
    COMETA_SILENT,                  /* no answer in time */
    COMETA_MALFORMED                /* the peer does not speak the protocol */
} cometa_why_t;

typedef struct {
    cometa_why_t    why;
    unsigned        status;         /* of HTTP, or of a close frame; or 0 */
    const char     *error;          /* the word of both, or "" */
    uint32_t        wait;           /* ms until the next try; may be changed */
} cometa_end_t;


/* All of it stays valid, and unchanged, as long as the device is used. */

struct cometa_config_s {
    const cometa_transport_t *transport;
    void          *io;

    uint32_t     (*now)(void);          /* ms, steady, may wrap */
    uint32_t     (*random)(void);       /* 32 bits, hard to guess */
    void         (*sleep)(uint32_t ms); /* may be NULL */

    const char    *host;
    uint16_t       port;
    const char    *path;                /* /v1/applications/A/devices/D */
    const char    *secret;              /* NULL: presents none */
    const char    *info;                /* NULL: says nothing of itself */
    const char    *headers;             /* NULL, or lines, each with its CRLF */

    unsigned       flags;
    uint16_t       heartbeat;           /* s, asked for; 0: the server's */
    uint16_t       pipeline;            /* calls at a time; 0: one */
    uint32_t       retry_max;           /* ms; 0: five minutes */

    void          *in;                  /* a call that fits in here comes in */
    size_t         in_size;             /* one piece */
    void          *out;
    size_t         out_size;

    void          *user;                /* for the handlers */

    /* Both in seconds; the timestamp is the server's time(). */

    void         (*attached)(cometa_t *c, uint32_t heartbeat,
                             uint32_t timestamp);
    void         (*message)(cometa_t *c, const cometa_piece_t *piece);
    void         (*ended)(cometa_t *c, cometa_end_t *end);
};


/* The state, all of it the library's. */

struct cometa_s {
    const cometa_config_t  *config;

    uint32_t   due;                 /* offline: of the next try; else the end */
                                    /* of the time to attach */
    uint32_t   since;               /* when it attached */
    uint32_t   sent;                /* when the last message was */
    uint32_t   interval;            /* ms, of heartbeats */
    uint32_t   retry_after;         /* s */
    uint32_t   session;
    uint32_t   owed;                /* replies */

    size_t     pos;                 /* in the buffer "in": what is not read */
    size_t     end;                 /* yet, from here to there */
    size_t     left;                /* of the chunk, frame or body */
    size_t     offset;              /* in the message */
    size_t     head;                /* of an answer: 05, id, LF */

    size_t     used;                /* of the buffer "out" */
    size_t     size;                /* of the message that is begun */
    size_t     rest;                /* of it, not put yet */

    uint16_t   status;
    uint8_t    phase;
    uint8_t    tries;
    uint8_t    why;

    unsigned   failed:1;            /* a write did */
    unsigned   skip:1;              /* the rest of a long line */
    unsigned   welcome:1;           /* the first message has come */
    unsigned   framed:1;            /* what is written goes into frames */
    unsigned   fresh:1;             /* no frame of this message is written */
    unsigned   begun:1;             /* a message, that is */
    unsigned   put:1;               /* some of it */
    unsigned   inside:1;            /* a message of several frames */
    unsigned   fin:1;
    unsigned   answer:1;            /* what is read is one */
    unsigned   echo:1;              /* granted */
    unsigned   requests:1;          /* granted */
    unsigned   waiting:1;           /* for an echo */
    unsigned   accepted:1;          /* the server's answer to the key */

    uint8_t    kind;                /* of the message that is begun */
    char       key[25];             /* of the handshake */
};


/* Checks the configuration.  The first attach is made by the first step. */

int cometa_init(cometa_t *c, const cometa_config_t *config);

/*
 * One turn: connects, reads once for up to "ms", calls the handlers, sends the
 * heartbeat that is due.  While the device is offline it sleeps so long, or
 * returns at once if there is no sleep().  Returns whether it is attached.
 */

int cometa_step(cometa_t *c, uint32_t ms);

/* How long the next step may be put off, in ms, if nothing can be read. */

uint32_t cometa_due(const cometa_t *c);

/* Leaves in order.  Steps do nothing until cometa_start(). */

void cometa_stop(cometa_t *c);
void cometa_start(cometa_t *c);

/*
 * The number of this attach.  Who answers a call after its handler has returned
 * compares it: a reply to a call of an earlier attach answers another call.
 */

uint32_t cometa_session(const cometa_t *c);
void *cometa_user(const cometa_t *c);

/*
 * Whole messages.  A reply answers the oldest call without one; an empty one
 * needs a WebSocket.  The id of a request is 1 to 36 printable characters.
 */

int cometa_reply(cometa_t *c, const void *data, size_t len);
int cometa_event(cometa_t *c, const void *data, size_t len);
int cometa_request(cometa_t *c, const char *id, const void *data, size_t len);

/*
 * The same in pieces: the size of all, then cometa_put() until it is reached.
 * The protocol takes a reply for something else if it is the byte 06, or begins
 * with 07, or with 05 after COMETA_REQUESTS: that is COMETA_RESERVED, and
 * nothing is begun any more.
 */

int cometa_begin_reply(cometa_t *c, size_t size);
int cometa_begin_event(cometa_t *c, size_t size);
int cometa_begin_request(cometa_t *c, const char *id, size_t size);
int cometa_put(cometa_t *c, const void *data, size_t len);

#ifdef __cplusplus
}
#endif

#endif
