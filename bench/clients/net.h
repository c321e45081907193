/*
 * Where a program connects to, and how: shared by all connections of a process.
 */

#ifndef COMETA_BENCH_NET_H
#define COMETA_BENCH_NET_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdint.h>

/*
 * The source ports taken. Those that Linux gives away by default are left
 * out: a port that anyone has named is never given to a connection that names
 * none, whatever their addresses, so that nobody else could connect.
 */

#define COMETA_FIRST_PORT  1024
#define COMETA_LAST_PORT   32767
#define COMETA_PORTS       (COMETA_LAST_PORT - COMETA_FIRST_PORT + 1)

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

/*
 * To a loopback server each process connects from an address of its own
 * and names the source port itself: left to the kernel, the search for a
 * free one grows with the number of connections.
 */
void cometa_net_init(cometa_net_t *net, const char *name, const char *port,
    int tls);
void cometa_net_resume(cometa_net_t *net);  /* TLS sessions from now on */
void cometa_net_version(cometa_net_t *net, const char *version);    /* 1.x */
void cometa_net_park(cometa_net_t *net);    /* streams may be parked */
void cometa_net_start(cometa_net_t *net);   /* once per process */

/* descriptors this process may use: as the system says, and as ports allow */
unsigned cometa_net_descriptors(void);

/* for a new connection, with the session that it resumes: 0, or -1 */
int cometa_net_ssl(const cometa_net_t *net, int fd, SSL **ssl);

#endif
