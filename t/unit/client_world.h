/*
 * A world for the device library in C: a server that says what a script tells,
 * in reads of any size, a clock that goes on only while the device waits, and
 * handlers that write down what happens.
 */

#ifndef CLIENT_WORLD_H
#define CLIENT_WORLD_H


#include <stdio.h>
#include <string.h>

#include "tap.h"
#include "../../clients/c/cometa.c"


#define WELCOME   "{\"msg\":\"200\",\"heartbeat\":60,\"timestamp\":7}"
#define OK_200    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ATTACHED  OK_200 "2a\r\n" WELCOME "\r\n"
#define OK_101    "HTTP/1.1 101 Switching Protocols\r\n" \
                  "Sec-WebSocket-Accept: good\r\n\r\n"
#define OPENED    OK_101 "\x81\x2a" WELCOME


typedef struct {
    const char        *script;
    size_t             len;
    size_t             at;          /* said so far */
    size_t             cut;         /* a read ends here, if it is not 0 */
    size_t             most;        /* of a read or write; 0: any */
    int                stays;       /* silent at the end, and does not close */
    int                answers;     /* but to each write with an echo */
    size_t             answered;
    int                unreachable;
    int                opened;      /* connections, that is */
    int                closed;
    size_t             writable;    /* bytes, then writes fail; 0: any */

    uint32_t           clock;
    uint32_t           random;
    const char        *accept;

    char               trace[4096];
    size_t             traced;
    uint8_t            out[16384];
    size_t             written;

    uint32_t           wait;        /* of the last end */
    int                rc;          /* of the last reply */
    int                echoes;      /* calls are answered by themselves */
    int                stops;       /* at the first call */

    cometa_t           device;
    cometa_config_t    config;
    uint8_t            in_buf[512];
    uint8_t            out_buf[512];
} world_t;


static world_t  w;


static int
world_open(void *io, const char *host, uint16_t port)
{
    (void) io, (void) host, (void) port;

    w.at = 0;
    w.opened += !w.unreachable;

    return w.unreachable ? -1 : 0;
}


static int
world_read(void *io, void *buf, size_t size, uint32_t ms)
{
    size_t  n = w.len - w.at;

    (void) io;

    if (n == 0 && w.answers && w.answered != w.written) {
        w.answered = w.written;
        memcpy(buf, "\x82\x01\x06", 3);
        return 3;
    }

    if (n == 0) {
        w.clock += w.stays ? ms : 0;
        return w.stays ? 0 : -1;
    }

    n = n < size ? n : size;
    n = w.most && n > w.most ? w.most : n;
    n = w.at < w.cut && n > w.cut - w.at ? w.cut - w.at : n;

    memcpy(buf, w.script + w.at, n);
    w.at += n;

    return (int) n;
}


static int
world_write(void *io, const void *data, size_t size)
{
    size_t  n = w.most && size > w.most ? w.most : size;

    (void) io;

    if (w.written + n > sizeof(w.out)
        || (w.writable && w.written + n > w.writable))
    {
        return -1;
    }

    memcpy(w.out + w.written, data, n);
    w.written += n;

    return (int) n;
}


static void
world_close(void *io)
{
    (void) io;
    w.closed++;
}


static int
world_accept(const char *key, const char *value, size_t len)
{
    return strlen(key) == 24 && len == strlen(w.accept)
           && memcmp(value, w.accept, len) == 0;
}


static uint32_t
world_now(void)
{
    return w.clock;
}


static uint32_t
world_random(void)
{
    w.random = w.random * 1664525 + 1013904223;
    return w.random ^ w.random >> 15;
}


static void
world_sleep(uint32_t ms)
{
    w.clock += ms;
}


__attribute__((format(printf, 1, 2)))
static void
traced(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    w.traced += (size_t) vsnprintf(w.trace + w.traced,
                                   sizeof(w.trace) - w.traced, fmt, args);
    va_end(args);

    if (w.traced >= sizeof(w.trace)) {
        w.traced = sizeof(w.trace) - 1;
    }
}


static void
world_attached(cometa_t *c, uint32_t heartbeat, uint32_t timestamp)
{
    traced("attached %u %u %u; ", cometa_session(c), heartbeat, timestamp);
}


/* Long ones are not spelt out.  A reply is the call itself, bit by bit. */

static void
world_message(cometa_t *c, const cometa_piece_t *p)
{
    static size_t  whole;

    traced("%s ", p->kind == COMETA_CALL ? "call" : "answer");

    if (p->id != NULL) {
        traced("(%.*s) ", (int) p->id_len, p->id);
    }

    if (p->offset != 0 || !p->last) {
        traced("%zu+", p->offset);
    }

    if (p->len > 40) {
        traced("%zu%s; ", p->len, p->last ? "" : "..");
    } else {
        traced("[%.*s]%s; ", (int) p->len, (const char *) p->data,
               p->last ? "" : "..");
    }

    if (w.stops) {
        cometa_stop(c);
        return;
    }

    if (!w.echoes || p->kind != COMETA_CALL) {
        return;
    }

    /* a reply may begin before its call has ended; here it knows the size */

    if (p->offset == 0) {
        whole = p->last ? p->len : 2000;
        w.rc = cometa_begin_reply(c, whole);
    }

    if (w.rc == COMETA_OK) {
        w.rc = cometa_put(c, p->data, p->len);
    }
}


static void
world_ended(cometa_t *c, cometa_end_t *e)
{
    static const char  *whys[] = {
        "unreachable", "refused", "closed", "lost", "silent", "malformed"
    };

    (void) c;

    w.wait = e->wait;
    traced("%s", whys[e->why]);

    if (e->status) {
        traced(" %u", e->status);
    }

    traced("%s%s; ", e->error[0] ? " " : "", e->error);
}


static const cometa_transport_t  world_transport = {
    world_open, world_read, world_write, world_close, world_accept
};


static void
world_start(const char *script, size_t len, unsigned flags)
{
    memset(&w, 0, sizeof(world_t));

    w.script = script;
    w.len = len;
    w.clock = UINT32_MAX - 5000;        /* it wraps in the middle of a test */
    w.random = 1;
    w.accept = "good";

    w.config.transport = &world_transport;
    w.config.now = world_now;
    w.config.random = world_random;
    w.config.sleep = world_sleep;
    w.config.host = "h";
    w.config.port = 80;
    w.config.path = "/p";
    w.config.flags = flags;
    w.config.in = w.in_buf;
    w.config.in_size = COMETA_IN_MIN;
    w.config.out = w.out_buf;
    w.config.out_size = COMETA_OUT_MIN;
    w.config.attached = world_attached;
    w.config.message = world_message;
    w.config.ended = world_ended;

    if (cometa_init(&w.device, &w.config) != COMETA_OK) {
        abort();
    }
}


/* Until the connection has ended, or so much time has passed. */

static void
world_run(uint32_t ms)
{
    int       closed = w.closed;
    uint32_t  until = w.clock + ms;

    do {
        cometa_step(&w.device, 1000);
    } while (w.closed == closed && !w.unreachable && w.device.phase != STOPPED
             && (int32_t) (until - w.clock) > 0);
}


#endif /* CLIENT_WORLD_H */
