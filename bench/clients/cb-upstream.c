/*
 * cb-upstream: the upstream that proxy_pass is measured with. An HTTP/1.1
 * keep-alive server on 127.0.0.1 that answers every request with its body.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http.h"
#include "stream.h"
#include "util.h"

#define EVENTS   256
#define BACKLOG  4096


static cometa_net_t            net;
static cometa_stream_t        *clients;     /* by descriptor */
static unsigned                descriptors;
static char                    answer[COMETA_STREAM_MAX];
static volatile sig_atomic_t   stop;


static int
start_listening(uint16_t port)
{
    int                 fd, on = 1;
    struct sockaddr_in  in;

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(port);

    fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    if (bind(fd, (struct sockaddr *) &in, sizeof(in)) != 0
        || listen(fd, BACKLOG) != 0)
    {
        cometa_die("port %u: %s", port, strerror(errno));
    }

    return fd;
}


static void
add(int fd, void *owner)
{
    struct epoll_event  ev = { .events = EPOLLIN, .data.ptr = owner };

    if (epoll_ctl(net.epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        cometa_die("epoll_ctl: %s", strerror(errno));
    }
}


static void
accept_all(int listening)
{
    int               fd, on = 1;
    cometa_stream_t  *s;

    for ( ;; ) {
        fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);

        if (fd < 0) {
            return;
        }

        if ((unsigned) fd >= descriptors) {
            close(fd);
            continue;
        }

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

        s = &clients[fd];
        memset(s, 0, sizeof(*s));
        s->fd = fd;
        s->events = EPOLLIN;
        add(fd, s);
    }
}


static int
serve(cometa_stream_t *s, const char *body, size_t n)
{
    int  head;

    if (n > sizeof(answer) - 256) {
        return -1;
    }

    head = sprintf(answer, "HTTP/1.1 200 OK\r\n"
                           "Content-Type: application/octet-stream\r\n"
                           "Content-Length: %zu\r\n\r\n", n);

    memcpy(answer + head, body, n);

    return cometa_stream_send(&net, s, s, answer, (size_t) head + n);
}


static int
read_requests(cometa_stream_t *s)
{
    int             rc;
    char           *p;
    size_t          n;
    ssize_t         got;
    cometa_http_t   h;

    got = cometa_stream_read(s, &p);

    if (got < 0) {
        return -1;
    }

    for (n = (size_t) got; n; n -= h.head + h.length) {
        rc = cometa_http_head(p, n, &h);

        if (rc < 0 || h.chunked) {
            return -1;
        }

        if (rc == 0 || n < h.head + h.length) {
            cometa_stream_keep(s, p, n);
            return 0;
        }

        if (serve(s, p + h.head, h.length) != 0) {
            return -1;
        }

        p += h.head + h.length;
    }

    return 0;
}


static void
on_signal(int signo)
{
    (void) signo;
    stop = 1;
}


static void
run(int listening)
{
    int                 i, n;
    cometa_stream_t    *s;
    struct epoll_event  events[EVENTS];

    while (!stop) {
        n = epoll_wait(net.epoll, events, EVENTS, 1000);

        for (i = 0; i < n; i++) {
            s = events[i].data.ptr;

            if (s == NULL) {
                accept_all(listening);
                continue;
            }

            if (cometa_stream_ready(&net, s, s) != 0
                || read_requests(s) != 0)
            {
                cometa_stream_close(s);
            }
        }
    }
}


int
main(int argc, char **argv)
{
    int               listening;
    struct sigaction  sa;

    if (argc != 2) {
        cometa_die("usage: cb-upstream PORT");
    }

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);

    cometa_net_start(&net);

    descriptors = cometa_net_descriptors();
    clients = cometa_alloc(descriptors * sizeof(cometa_stream_t));
    listening = start_listening((uint16_t) cometa_number("PORT", argv[1], 1,
                                                         65535));
    add(listening, NULL);
    run(listening);

    return 0;
}
