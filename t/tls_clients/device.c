/*
 * A device over TLS, for any library: it attaches in form B, and answers.
 *
 *     PROGRAM PORT 1.2|1.3 DEVICE [CIPHERS]
 *
 * A call "SIZE TEXT" gets that call, repeated up to SIZE bytes, as its reply;
 * "update" has the keys of both sides updated; after "leave" the device says
 * close_notify. On standard output stands how it attached and how it ended.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "device.h"

#define ROOM  (256 * 1024)


static char    in[ROOM];
static size_t  begin, end;
static char    out[ROOM];


static void
die(const char *what)
{
    printf("failed: %s\n", what);
    exit(1);
}


static int
connected(const char *port)
{
    int                 fd, on = 1;
    struct sockaddr_in  addr;

    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_port = htons((uint16_t) atoi(port));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0) {
        die("connect");
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    return fd;
}


static void
fill(void)
{
    ssize_t  n;

    if (begin) {
        memmove(in, in + begin, end - begin);
        end -= begin;
        begin = 0;
    }

    n = end < ROOM ? tls_read(in + end, ROOM - end) : -1;

    if (n <= 0) {
        die(n == 0 ? "closed by the server" : "cut off");
    }

    end += (size_t) n;
}


/* up to and with the mark: its first byte; all of it is taken */

static char *
take_line(const char *mark)
{
    char  *found;

    for ( ;; ) {
        found = memmem(in + begin, end - begin, mark, strlen(mark));

        if (found) {
            *found = '\0';
            found = in + begin;
            begin += strlen(found) + strlen(mark);
            return found;
        }

        fill();
    }
}


/* valid until the next; its length in *size */

static char *
take_chunk(size_t *size)
{
    char  *data;

    *size = strtoul(take_line("\r\n"), NULL, 16);

    if (*size == 0 || *size > ROOM - 64) {
        die("a chunk's size");
    }

    while (end - begin < *size + 2) {
        fill();
    }

    data = in + begin;
    begin += *size + 2;
    data[*size] = '\0';

    return data;
}


static void
send_chunk(const char *data, size_t n, size_t size)
{
    size_t  i, head;

    if (size > ROOM - 64) {
        die("a reply's size");
    }

    head = (size_t) sprintf(out, "%zx\r\n", size);

    for (i = 0; i < size; i++) {
        out[head + i] = data[i % n];
    }

    memcpy(out + head + size, "\r\n", 2);

    if (tls_write(out, head + size + 2) != 0) {
        die("write");
    }
}


static void
say(const char *text)
{
    send_chunk(text, strlen(text), strlen(text));
}


static void
attach(const char *device)
{
    int     n;
    size_t  size;

    n = sprintf(out, "POST /v1/applications/app1/devices/%.64s HTTP/1.1\r\n"
                     "Host: localhost\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n", device);

    if (tls_write(out, (size_t) n) != 0
        || strstr(take_line("\r\n\r\n"), "HTTP/1.1 200 ") == NULL
        || strstr(take_chunk(&size), "{\"msg\":\"200\"") == NULL)
    {
        die("attach");
    }

    printf("attached %s %s\n", tls_version(), tls_cipher());
    fflush(stdout);
}


static void
leave(void)
{
    ssize_t  n;

    say("leaving");

    if (tls_close() != 0) {
        die("close_notify");
    }

    do {
        n = tls_read(in, ROOM);
    } while (n > 0);

    puts(n == 0 ? "closed" : "cut off");
}


int
main(int argc, char **argv)
{
    char    *call;
    size_t   size;

    if (argc < 4) {
        die("usage: PROGRAM PORT 1.2|1.3 DEVICE [CIPHERS]");
    }

    if (tls_open(connected(argv[1]), argv[2][2] - '0', argv[4]) != 0) {
        die("handshake");
    }

    attach(argv[3]);

    for ( ;; ) {
        call = take_chunk(&size);

        if (strcmp(call, "leave") == 0) {
            leave();
            return 0;
        }

        if (strcmp(call, "update") == 0) {
            say(tls_update() == 0 ? "updated" : "cannot");
            continue;
        }

        send_chunk(call, size, strtoul(call, NULL, 10));
    }
}
