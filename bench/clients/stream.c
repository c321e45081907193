/*
 * One non-blocking connection, plain or TLS.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"
#include "util.h"

#define RECORDS     65536       /* bytes of them that are read at once */


static char     input[COMETA_STREAM_MAX + RECORDS];
static uint8_t  records[RECORDS];
static uint8_t  sealed[COMETA_PARK_ROOM(2 * COMETA_STREAM_MAX)];


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

        net->port = net->port == COMETA_LAST_PORT ? COMETA_FIRST_PORT
                                                  : net->port + 1;

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

    for (tries = 0; tries < COMETA_PORTS; tries++) {
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
    s->parked = NULL;
    s->part = s->in = s->out = NULL;
    s->fd = open_socket(net);

    if (s->fd < 0) {
        return -1;
    }

    if (net->tls && cometa_net_ssl(net, s->fd, &s->ssl) != 0) {
        return -1;
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


int
cometa_buf_add(cometa_buf_t **buf, const char *data, size_t n)
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

    if (s->parked) {
        n = cometa_park_seal(s->parked, data, n, sealed);
        data = (const char *) sealed;

        if (n == 0) {
            return -1;
        }
    }

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

    if (cometa_buf_add(&s->out, data + sent, n - (size_t) sent) != 0) {
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
    from->parked = NULL;
    from->part = from->in = from->out = NULL;
    from->fd = -1;

    return watch(net, to, owner, EPOLL_CTL_MOD, events);
}


/* the rest of the record that was begun comes behind what there is of it */

static ssize_t
read_parked(cometa_stream_t *s, char *p)
{
    size_t   kept = s->part ? s->part->size : 0, rest;
    ssize_t  n, got;

    got = recv(s->fd, records + kept, sizeof(records) - kept, 0);

    if (got <= 0) {
        return got < 0 && errno == EAGAIN ? 0 : -1;
    }

    if (s->part) {
        memcpy(records, s->part->data, kept);
        free(s->part);
        s->part = NULL;
    }

    got += (ssize_t) kept;
    n = cometa_park_open(s->parked, records, (size_t) got, p, &rest);

    if (n >= 0 && rest
        && cometa_buf_add(&s->part, (char *) records + got - rest, rest) != 0)
    {
        return -1;
    }

    return n;
}


/* bytes read, 0 if there are none now, -1 at the end */

static ssize_t
read_some(cometa_stream_t *s, char *p, size_t room)
{
    int      rc;
    size_t   total;
    ssize_t  n;

    if (s->parked) {
        return read_parked(s, p);
    }

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
    if (n && cometa_buf_add(&s->in, data, n) != 0) {
        cometa_die("a message of more than %d bytes", COMETA_STREAM_MAX);
    }
}


/* OpenSSL resumes no session of a connection that was cut off */

static void
drop_ssl(cometa_stream_t *s)
{
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN|SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
}


int
cometa_stream_park(cometa_stream_t *s)
{
    if (s->ssl == NULL || s->in || s->out) {
        return -1;
    }

    s->parked = cometa_park(s->ssl);

    if (s->parked == NULL) {
        return -1;
    }

    drop_ssl(s);

    return 0;
}


void
cometa_stream_close(cometa_stream_t *s)
{
    if (s->ssl) {
        drop_ssl(s);
    }

    if (s->fd >= 0) {
        close(s->fd);
    }

    free(s->parked);
    free(s->part);
    free(s->in);
    free(s->out);

    s->parked = NULL;
    s->part = s->in = s->out = NULL;
    s->fd = -1;
}


void
cometa_stream_reset(cometa_stream_t *s)
{
    struct linger  now = { 1, 0 };

    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    cometa_stream_close(s);
}
