/*
 * The client's side of WebSocket (RFC 6455): the handshake, frames that are
 * masked, and the frames of a server, which are not. No I/O.
 */

#ifndef COMETA_BENCH_FRAME_H
#define COMETA_BENCH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COMETA_FRAME_TEXT    0x1
#define COMETA_FRAME_BINARY  0x2
#define COMETA_FRAME_CLOSE   0x8
#define COMETA_FRAME_PING    0x9
#define COMETA_FRAME_PONG    0xa

#define COMETA_FRAME_HEAD    14     /* at most */
#define COMETA_FRAME_NONCE   24     /* of a handshake, base64 */

typedef struct {
    int          type;
    const char  *data;
    size_t       size;
} cometa_frame_t;

/* "out" has room for the head and the data; returns the bytes written */
size_t cometa_frame_write(char *out, int type, const char *data, size_t n);

/*
 * Bytes used, 0: more are needed, -1: no frame of this server, which never
 * fragments.
 */
ssize_t cometa_frame_read(const char *p, size_t n, cometa_frame_t *f);

/* the headers of a handshake, each with its CRLF; the nonce is made */
size_t cometa_frame_headers(char *out, char nonce[COMETA_FRAME_NONCE + 1]);

/* whether this head is a server's consent to a handshake with the nonce */
int cometa_frame_accepted(const char *head, size_t n, const char *nonce);

#endif
