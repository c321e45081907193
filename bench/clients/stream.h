/*
 * One non-blocking connection, plain or TLS. It owns memory only while
 * something is partial: a message half read, or bytes the socket did not
 * take. Whoever uses it waits with the epoll descriptor of the net.
 */

#ifndef COMETA_BENCH_STREAM_H
#define COMETA_BENCH_STREAM_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* the longest message that can be put together */
#define COMETA_STREAM_MAX  (1024 * 1024)

/* where to connect to, shared by all connections of a process */

typedef struct {
    int                      epoll;
    const char              *name;
    SSL_CTX                 *tls;       /* NULL: plain */
    SSL_SESSION             *session;   /* to be resumed, or NULL */
    socklen_t                addr_len;
    uint32_t                 source;    /* own address in 127/8, or 0 */
    uint16_t                 port;      /* the next source port to try */
    struct sockaddr_storage  addr;
} cometa_net_t;

typedef struct {
    uint32_t                 size;
    char                     data[];
} cometa_buf_t;

typedef struct {
    SSL                     *ssl;
    cometa_buf_t            *in;
    cometa_buf_t            *out;
    int                      fd;        /* -1: closed */
    uint32_t                 events;    /* what epoll waits for */
} cometa_stream_t;

/*
 * To a loopback server each process connects from an address of its own
 * and names the source port itself: left to the kernel, the search for a
 * free one grows with the number of connections.
 */
void cometa_net_init(cometa_net_t *net, const char *name, const char *port,
    int tls);
void cometa_net_resume(cometa_net_t *net);  /* TLS sessions from now on */
void cometa_net_start(cometa_net_t *net);   /* once per process */

/* descriptors this process may use: as the system says, and as ports allow */
unsigned cometa_net_descriptors(void);

/* all return 0, or -1 when the connection is dead and has to be closed */

int cometa_stream_open(cometa_net_t *net, cometa_stream_t *s, void *owner);
int cometa_stream_send(cometa_net_t *net, cometa_stream_t *s, void *owner,
    const char *data, size_t n);

/* to be called first for every event: finishes connecting, sends the rest */
int cometa_stream_ready(cometa_net_t *net, cometa_stream_t *s, void *owner);

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

cometa_buf_t *cometa_buf_make(const char *data, size_t n);

#endif
