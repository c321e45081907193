/*
 * Sockets of POSIX for a device: see cometa_posix.h.  The socket never blocks;
 * what has to wait waits in poll().
 */

#define _DEFAULT_SOURCE

#include "cometa_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define IO_MS  30000                /* to connect to an address, or to write */


static int connected(const struct addrinfo *ai);
static int posix_read(void *io, void *buf, size_t size, uint32_t ms);
static int posix_write(void *io, const void *data, size_t size);


const cometa_transport_t  cometa_posix_transport = {
    cometa_posix_open, posix_read, posix_write, cometa_posix_close, NULL
};


/* All addresses of the host are tried, one after the other. */

int
cometa_posix_open(void *io, const char *host, uint16_t port)
{
    int               on = 1;
    char              service[8];
    size_t            i = sizeof(service) - 1;
    cometa_posix_t   *s = io;
    struct addrinfo   hints, *list, *ai;

    service[i] = '\0';

    do {
        service[--i] = (char) ('0' + port % 10);
        port /= 10;
    } while (port != 0);

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;

    if (getaddrinfo(host, service + i, &hints, &list) != 0) {
        return -1;
    }

    s->fd = -1;

    for (ai = list; ai != NULL && s->fd == -1; ai = ai->ai_next) {
        s->fd = connected(ai);
    }

    freeaddrinfo(list);

    if (s->fd == -1) {
        return -1;
    }

    (void) setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

#ifdef TCP_USER_TIMEOUT

    /* a peer that does not acknowledge is dead, with or without an echo */

    on = 2 * IO_MS;
    (void) setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &on, sizeof(on));

#endif

    return 0;
}


static int
connected(const struct addrinfo *ai)
{
    int             fd, error = 0;
    socklen_t       len = sizeof(error);
    cometa_posix_t  s;

    fd = socket(ai->ai_family, ai->ai_socktype, ai->ai_protocol);

    if (fd == -1) {
        return -1;
    }

    s.fd = fd;

    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0
        && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
        && (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0
            || errno == EINPROGRESS)
        && cometa_posix_wait(&s, POLLOUT, IO_MS) > 0
        && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0
        && error == 0)
    {
        return fd;
    }

    (void) close(fd);

    return -1;
}


/* Returns 1, 0 if the time has passed, -1 if poll() fails. */

int
cometa_posix_wait(const cometa_posix_t *s, short events, uint32_t ms)
{
    int            n;
    struct pollfd  pfd;

    pfd.fd = s->fd;
    pfd.events = events;

    n = poll(&pfd, 1, ms < INT32_MAX ? (int) ms : INT32_MAX);

    return n == -1 && errno == EINTR ? 0 : n;
}


static int
posix_read(void *io, void *buf, size_t size, uint32_t ms)
{
    int              ready;
    ssize_t          n;
    cometa_posix_t  *s = io;

    ready = cometa_posix_wait(s, POLLIN, ms);

    if (ready <= 0) {
        return ready;
    }

    n = recv(s->fd, buf, size, 0);

    if (n > 0) {
        return (int) n;
    }

    return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}


static int
posix_write(void *io, const void *data, size_t size)
{
    ssize_t          n;
    cometa_posix_t  *s = io;

    for ( ;; ) {
        n = send(s->fd, data, size, MSG_NOSIGNAL);

        if (n > 0) {
            return (int) n;
        }

        if (errno != EAGAIN && errno != EINTR) {
            return -1;
        }

        if (errno == EAGAIN && cometa_posix_wait(s, POLLOUT, IO_MS) <= 0) {
            return -1;
        }
    }
}


void
cometa_posix_close(void *io)
{
    cometa_posix_t  *s = io;

    (void) close(s->fd);
    s->fd = -1;
}


uint32_t
cometa_posix_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint32_t) ((uint64_t) ts.tv_sec * 1000
                       + (uint64_t) ts.tv_nsec / 1000000);
}


/* Without it masks and keys could be guessed: a device does not go on then. */

uint32_t
cometa_posix_random(void)
{
    int              fd;
    static size_t    left;
    static uint32_t  pool[64];

    if (left == 0) {
        fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

        if (fd == -1 || read(fd, pool, sizeof(pool)) != sizeof(pool)) {
            abort();
        }

        (void) close(fd);
        left = 64;
    }

    return pool[--left];
}


void
cometa_posix_sleep(uint32_t ms)
{
    (void) poll(NULL, 0, ms < INT32_MAX ? (int) ms : INT32_MAX);
}
