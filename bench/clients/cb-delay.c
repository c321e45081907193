/*
 * cb-delay: a relay on 127.0.0.1 that holds every byte for so many
 * milliseconds, in each direction: a network with twice that round trip.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

#define EVENTS       256
#define BACKLOG      4096
#define DESCRIPTORS  65536
#define PIECE        65536


/* Bytes that are held, all in the order in which they are due. */

typedef struct piece_s  piece_t;

struct piece_s {
    piece_t   *next;
    uint64_t   due;             /* ns */
    int        to;
    uint32_t   link;            /* of the connection when they came */
    size_t     n;               /* 0: the end */
    char       data[];
};


static int                     epoll_fd;
static int                     other[DESCRIPTORS];  /* the other end; 0: none */
static uint32_t                links[DESCRIPTORS];  /* changes when it ends */
static piece_t                *first, **last = &first;
static uint64_t                delay;               /* ns */
static uint16_t                port;                /* of the server */
static volatile sig_atomic_t   stop;


static struct sockaddr_in
local(unsigned n)
{
    struct sockaddr_in  in;

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t) n);

    return in;
}


static void
watch(int fd)
{
    int                 on = 1;
    struct epoll_event  ev = { .events = EPOLLIN, .data.fd = fd };

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        cometa_die("epoll_ctl: %s", strerror(errno));
    }
}


/* sockets block when they are written to: their peers read */

static void
join(int client)
{
    int                 server;
    struct sockaddr_in  in = local(port);

    server = socket(AF_INET, SOCK_STREAM, 0);

    if (server < 0 || client >= DESCRIPTORS || server >= DESCRIPTORS
        || connect(server, (struct sockaddr *) &in, sizeof(in)) != 0)
    {
        cometa_die("a connection: %s", strerror(errno));
    }

    other[client] = server;
    other[server] = client;
    watch(client);
    watch(server);
}


static void
hold(int fd)
{
    ssize_t      n;
    piece_t     *p;
    static char  data[PIECE];

    n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN) {
        return;
    }

    if (n <= 0) {
        n = 0;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }

    p = cometa_alloc(sizeof(piece_t) + (size_t) n);
    p->due = cometa_now() + delay;
    p->to = other[fd];
    p->link = links[p->to];
    p->n = (size_t) n;
    memcpy(p->data, data, p->n);

    *last = p;
    last = &p->next;
}


static void
pass_on(piece_t *p)
{
    int      from;
    ssize_t  sent;
    size_t   n;

    if (p->link != links[p->to]) {
        return;
    }

    for (n = 0; n < p->n; n += (size_t) sent) {
        sent = send(p->to, p->data + n, p->n - n, MSG_NOSIGNAL);

        if (sent < 0) {
            return;
        }
    }

    if (p->n == 0) {
        from = other[p->to];
        links[p->to]++;
        links[from]++;
        close(p->to);
        close(from);
    }
}


/* what is due; returns the time to wait for more, in ms, -1 for ever */

static int
pass_on_due(void)
{
    piece_t   *p;
    uint64_t   now;

    while (first) {
        p = first;
        now = cometa_now();

        if (p->due > now) {
            return (int) ((p->due - now) / 1000000);
        }

        first = p->next;

        if (first == NULL) {
            last = &first;
        }

        pass_on(p);
        free(p);
    }

    return -1;
}


static void
on_signal(int signo)
{
    (void) signo;
    stop = 1;
}


int
main(int argc, char **argv)
{
    int                 i, n, fd, listening, on = 1;
    struct sockaddr_in  in;
    struct epoll_event  events[EVENTS];

    if (argc != 4) {
        fprintf(stderr, "usage: cb-delay PORT SERVER_PORT MS\n");
        return 2;
    }

    in = local((unsigned) atoi(argv[1]));
    port = (uint16_t) atoi(argv[2]);
    delay = (uint64_t) atoi(argv[3]) * 1000000;

    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);

    epoll_fd = epoll_create1(0);
    listening = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (bind(listening, (struct sockaddr *) &in, sizeof(in)) != 0
        || listen(listening, BACKLOG) != 0)
    {
        cometa_die("port %s: %s", argv[1], strerror(errno));
    }

    watch(listening);

    while (!stop) {
        n = epoll_wait(epoll_fd, events, EVENTS, pass_on_due());

        for (i = 0; i < n; i++) {
            fd = events[i].data.fd;

            if (fd != listening) {
                hold(fd);
                continue;
            }

            fd = accept4(listening, NULL, NULL, 0);

            if (fd >= 0) {
                join(fd);
            }
        }
    }

    return 0;
}
