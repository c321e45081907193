/*
 * One non-blocking connection, plain or TLS.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"
#include "util.h"

/*
 * The source ports taken. Those that Linux gives away by default are left
 * out: a port that anyone has named is never given to a connection that names
 * none, whatever their addresses, so that nobody else could connect.
 */

#define FIRST_PORT  1024
#define LAST_PORT   32767
#define PORTS       (LAST_PORT - FIRST_PORT + 1)
#define SPARE       1024        /* ports that still wait for the end */


static char  input[COMETA_STREAM_MAX + 65536];


void
cometa_net_init(cometa_net_t *net, const char *name, const char *port, int tls)
{
    int                  rc;
    struct addrinfo      hints, *found;
    struct sockaddr_in  *in;

    memset(net, 0, sizeof(cometa_net_t));
    memset(&hints, 0, sizeof(struct addrinfo));

    hints.ai_socktype = SOCK_STREAM;

    rc = getaddrinfo(name, port, &hints, &found);

    if (rc != 0) {
        cometa_die("%s:%s: %s", name, port, gai_strerror(rc));
    }

    memcpy(&net->addr, found->ai_addr, found->ai_addrlen);
    net->addr_len = found->ai_addrlen;
    net->name = name;
    freeaddrinfo(found);

    in = (struct sockaddr_in *) &net->addr;

    if (in->sin_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == 127) {
        net->source = INADDR_LOOPBACK;
    }

    if (!tls) {
        return;
    }

    net->tls = SSL_CTX_new(TLS_client_method());

    if (net->tls == NULL) {
        cometa_die("OpenSSL gives no client context");
    }

    /* the server under test has a certificate made for the run: no check */

    SSL_CTX_set_verify(net->tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(net->tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(net->tls, SSL_MODE_RELEASE_BUFFERS
                               |SSL_MODE_ENABLE_PARTIAL_WRITE
                               |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}


/* the newest one is resumed by all: tickets may be used more than once */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
    cometa_net_t  *net = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(net->session);
    net->session = session;

    return 1;
}


void
cometa_net_resume(cometa_net_t *net)
{
    if (net->tls) {
        SSL_CTX_set_app_data(net->tls, net);
        SSL_CTX_set_session_cache_mode(net->tls,
                                       SSL_SESS_CACHE_CLIENT
                                       |SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(net->tls, on_session);
    }
}


void
cometa_net_start(cometa_net_t *net)
{
    net->epoll = epoll_create1(EPOLL_CLOEXEC);

    if (net->epoll < 0) {
        cometa_die("epoll_create1: %s", strerror(errno));
    }

    if (net->source) {
        net->source = 127u << 24 | 64u << 16 | ((uint32_t) getpid() & 0x3fffff);
    }

    net->port = (uint16_t) (FIRST_PORT + cometa_random_below(PORTS));
}


unsigned
cometa_net_descriptors(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        cometa_die("getrlimit: %s", strerror(errno));
    }

    return limit.rlim_cur > PORTS - SPARE ? PORTS - SPARE
                                          : (unsigned) limit.rlim_cur;
}


/* 0 connecting, 1 the port is taken, -1 failed */

static int
connect_from(cometa_net_t *net, int fd)
{
    struct sockaddr_in  from;

    if (net->source) {
        memset(&from, 0, sizeof(from));
        from.sin_family = AF_INET;
        from.sin_addr.s_addr = htonl(net->source);
        from.sin_port = htons(net->port);

        net->port = net->port == LAST_PORT ? FIRST_PORT : net->port + 1;

        if (bind(fd, (struct sockaddr *) &from, sizeof(from)) != 0) {
            return errno == EADDRINUSE ? 1 : -1;
        }
    }

    if (connect(fd, (struct sockaddr *) &net->addr, net->addr_len) == 0
        || errno == EINPROGRESS)
    {
        return 0;
    }

    return net->source && errno == EADDRNOTAVAIL ? 1 : -1;
}


static int
open_socket(cometa_net_t *net)
{
    int       fd, rc, on = 1;
    unsigned  tries;

    for (tries = 0; tries < PORTS; tries++) {
        fd = socket(net->addr.ss_family, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC,
                    0);

        if (fd < 0) {
            return -1;
        }

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

        rc = connect_from(net, fd);

        if (rc == 0) {
            return fd;
        }

        close(fd);

        if (rc < 0) {
            return -1;
        }
    }

    return -1;
}


static int
watch(cometa_net_t *net, cometa_stream_t *s, void *owner, int op,
    uint32_t events)
{
    struct epoll_event  ev;

    if (op == EPOLL_CTL_MOD && s->events == events) {
        return 0;
    }

    s->events = events;
    ev.events = events;
    ev.data.ptr = owner;

    return epoll_ctl(net->epoll, op, s->fd, &ev);
}


int
cometa_stream_open(cometa_net_t *net, cometa_stream_t *s, void *owner)
{
    s->ssl = NULL;
    s->in = s->out = NULL;
    s->fd = open_socket(net);

    if (s->fd < 0) {
        return -1;
    }

    if (net->tls) {
        s->ssl = SSL_new(net->tls);

        if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1) {
            return -1;
        }

        if (net->session) {
            SSL_set_session(s->ssl, net->session);
        }

        SSL_set_connect_state(s->ssl);
    }

    return watch(net, s, owner, EPOLL_CTL_ADD, EPOLLIN|EPOLLOUT);
}


/* bytes taken, 0 if the socket takes none now, -1 if it is dead */

static ssize_t
write_some(cometa_stream_t *s, const char *data, size_t n)
{
    int      rc;
    ssize_t  sent;

    if (s->ssl) {
        ERR_clear_error();

        rc = SSL_write(s->ssl, data, (int) n);

        if (rc > 0) {
            return rc;
        }

        rc = SSL_get_error(s->ssl, rc);

        return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }

    sent = send(s->fd, data, n, MSG_NOSIGNAL);

    if (sent < 0) {
        return errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
    }

    return sent;
}


static int
append(cometa_buf_t **buf, const char *data, size_t n)
{
    size_t         old = *buf ? (*buf)->size : 0;
    cometa_buf_t  *b;

    if (old + n > COMETA_STREAM_MAX) {
        return -1;
    }

    b = realloc(*buf, sizeof(cometa_buf_t) + old + n);

    if (b == NULL) {
        return -1;
    }

    memcpy(b->data + old, data, n);
    b->size = (uint32_t) (old + n);
    *buf = b;

    return 0;
}


int
cometa_stream_send(cometa_net_t *net, cometa_stream_t *s, void *owner,
    const char *data, size_t n)
{
    ssize_t  sent = 0;

    /* while connecting all is kept: the first event will send it */

    if (s->out == NULL && s->events == EPOLLIN) {
        sent = write_some(s, data, n);

        if (sent < 0) {
            return -1;
        }

        if ((size_t) sent == n) {
            return 0;
        }
    }

    if (append(&s->out, data + sent, n - (size_t) sent) != 0) {
        return -1;
    }

    return watch(net, s, owner, EPOLL_CTL_MOD, EPOLLIN|EPOLLOUT);
}


int
cometa_stream_ready(cometa_net_t *net, cometa_stream_t *s, void *owner)
{
    ssize_t    sent;
    uint32_t   events;

    if (s->events == EPOLLIN && s->out == NULL) {
        return 0;
    }

    if (s->out) {
        sent = write_some(s, s->out->data, s->out->size);

        if (sent < 0) {
            return -1;
        }

        s->out->size -= (uint32_t) sent;
        memmove(s->out->data, s->out->data + sent, s->out->size);

        if (s->out->size == 0) {
            free(s->out);
            s->out = NULL;
        }
    }

    events = EPOLLIN;

    /* a TLS handshake mostly waits for the other side, not for room */

    if (s->out && (s->ssl == NULL || SSL_want_write(s->ssl))) {
        events |= EPOLLOUT;
    }

    return watch(net, s, owner, EPOLL_CTL_MOD, events);
}


int
cometa_stream_move(cometa_net_t *net, cometa_stream_t *from,
    cometa_stream_t *to, void *owner)
{
    uint32_t  events = from->events;

    *to = *from;
    to->events = 0;

    from->ssl = NULL;
    from->in = from->out = NULL;
    from->fd = -1;

    return watch(net, to, owner, EPOLL_CTL_MOD, events);
}


/* bytes read, 0 if there are none now, -1 at the end */

static ssize_t
read_some(cometa_stream_t *s, char *p, size_t room)
{
    int      rc;
    size_t   total;
    ssize_t  n;

    if (s->ssl == NULL) {
        n = recv(s->fd, p, room, 0);

        if (n < 0) {
            return errno == EAGAIN ? 0 : -1;
        }

        return n == 0 ? -1 : n;
    }

    /*
     * The handshake is driven by the writing alone: were it finished in here,
     * no event would be left to send what waits for it.
     */

    if (s->out && !SSL_is_init_finished(s->ssl)) {
        return 0;
    }

    /* all records: what OpenSSL holds back epoll does not tell */

    for (total = 0; total < room; total += (size_t) rc) {
        ERR_clear_error();

        rc = SSL_read(s->ssl, p + total, (int) (room - total));

        if (rc > 0) {
            continue;
        }

        rc = SSL_get_error(s->ssl, rc);

        if (total || rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE) {
            break;
        }

        return -1;
    }

    return (ssize_t) total;
}


ssize_t
cometa_stream_read(cometa_stream_t *s, char **data)
{
    size_t   kept = s->in ? s->in->size : 0;
    ssize_t  n;

    n = read_some(s, input + kept, sizeof(input) - kept);

    if (n <= 0) {
        return n;
    }

    if (s->in) {
        memcpy(input, s->in->data, kept);
        free(s->in);
        s->in = NULL;
    }

    *data = input;

    return (ssize_t) kept + n;
}


void
cometa_stream_keep(cometa_stream_t *s, const char *data, size_t n)
{
    if (n && append(&s->in, data, n) != 0) {
        cometa_die("a message of more than %d bytes", COMETA_STREAM_MAX);
    }
}


void
cometa_stream_close(cometa_stream_t *s)
{
    if (s->ssl) {
        /* OpenSSL resumes no session of a connection that was cut off */

        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN|SSL_RECEIVED_SHUTDOWN);
        SSL_free(s->ssl);
    }

    if (s->fd >= 0) {
        close(s->fd);
    }

    free(s->in);
    free(s->out);

    s->ssl = NULL;
    s->in = s->out = NULL;
    s->fd = -1;
}


void
cometa_stream_reset(cometa_stream_t *s)
{
    struct linger  now = { 1, 0 };

    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    cometa_stream_close(s);
}


cometa_buf_t *
cometa_buf_make(const char *data, size_t n)
{
    cometa_buf_t  *b = NULL;

    if (append(&b, data, n) != 0) {
        cometa_die("no memory for a message of %zu bytes", n);
    }

    return b;
}
