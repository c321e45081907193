/*
 * A protocol of the comparison, as its clients speak it: a caller sends a
 * call to its device and gets the device's answer. No I/O.
 */

#ifndef COMETA_BENCH_PROTOCOL_H
#define COMETA_BENCH_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../clients/frame.h"

#define COMETA_PROTOCOL_SPARE  1024     /* what a message needs beside itself */

/* one client, either a device or a caller of this one device */

typedef struct {
    uint64_t     device;
    uint32_t     caller;            /* index */
    uint32_t     answers;           /* received, where they bear no tag */
    int          calls;             /* it is a caller */
    int          open;              /* the handshake is done */
    char         nonce[COMETA_FRAME_NONCE + 1];
} cometa_peer_t;

enum {
    COMETA_NEWS_NONE = 0,
    COMETA_NEWS_READY,              /* calls or answers can come now */
    COMETA_NEWS_MESSAGE
};

typedef struct {
    int          type;
    const char  *data;
    size_t       size;
    uint32_t     tag;               /* of the call that this answers */
    const char  *reply;             /* where the answer to this goes */
    size_t       reply_size;
    const char  *mark;              /* and what it has to repeat */
    size_t       mark_size;
    size_t       back;              /* bytes in "out" that the server gets */
} cometa_news_t;

/* all write to "out", which has room, and return the bytes written */

typedef struct {
    const char  *name;

    /* what a client says first */
    size_t     (*greet)(cometa_peer_t *peer, char *out);

    /*
     * Takes one piece of news off what the server said; returns the bytes
     * used, 0 to wait for more, -1 to have the connection closed.
     */
    ssize_t    (*read)(cometa_peer_t *peer, const char *p, size_t n,
                   cometa_news_t *news, char *out);

    size_t     (*call)(cometa_peer_t *peer, uint32_t tag, const char *data,
                   size_t n, char *out);
    size_t     (*answer)(cometa_peer_t *peer, const cometa_news_t *news,
                   char *out);

    /* what an idle client says every COMETA_PROTOCOL_PING ms; may be NULL */
    size_t     (*ping)(char *out);
} cometa_protocol_t;

#define COMETA_PROTOCOL_PING  30000

extern const cometa_protocol_t  cometa_mqtt;
extern const cometa_protocol_t  cometa_nats;
extern const cometa_protocol_t  cometa_nchan;

/* ends the program if there is none of this name */
const cometa_protocol_t *cometa_protocol(const char *name);

#endif
