/*
 * One non-blocking connection, plain or TLS. It owns memory only while
 * something is partial: a message half read, or bytes the socket did not
 * take; and the state of TLS. Whoever uses it waits with the epoll descriptor
 * of the net.
 */

#ifndef COMETA_BENCH_STREAM_H
#define COMETA_BENCH_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"
#include "park.h"

/* the longest message that can be put together */
#define COMETA_STREAM_MAX  (1024 * 1024)

typedef struct {
    uint32_t                 size;
    char                     data[];
} cometa_buf_t;

typedef struct {
    SSL                     *ssl;       /* NULL: plain, or parked */
    cometa_tls_t            *parked;
    cometa_buf_t            *part;      /* of a record, when parked */
    cometa_buf_t            *in;
    cometa_buf_t            *out;
    int                      fd;        /* -1: closed */
    uint32_t                 events;    /* what epoll waits for */
} cometa_stream_t;


/* all return 0, or -1 when the connection is dead and has to be closed */

int cometa_stream_open(cometa_net_t *net, cometa_stream_t *s, void *owner);
int cometa_stream_send(cometa_net_t *net, cometa_stream_t *s, void *owner,
    const char *data, size_t n);

/* to be called first for every event: finishes connecting, sends the rest */
int cometa_stream_ready(cometa_net_t *net, cometa_stream_t *s, void *owner);

/*
 * Drops the SSL object, see park.h: 0, or -1 if that cannot be, or not yet. A
 * server must have sent its session tickets by then.
 */
int cometa_stream_park(cometa_stream_t *s);

/* events from now on go to another owner */
int cometa_stream_move(cometa_net_t *net, cometa_stream_t *from,
    cometa_stream_t *to, void *owner);

/*
 * Reads what there is. "*data" is what was kept before with the new bytes
 * behind it, valid until the next call for any stream; returns the number
 * of bytes in all, 0 if there was nothing new, -1 at the end.
 */
ssize_t cometa_stream_read(cometa_stream_t *s, char **data);
void cometa_stream_keep(cometa_stream_t *s, const char *data, size_t n);

void cometa_stream_close(cometa_stream_t *s);
void cometa_stream_reset(cometa_stream_t *s);       /* with RST */

/* -1: no memory, or too much */
int cometa_buf_add(cometa_buf_t **buf, const char *data, size_t n);

#endif
