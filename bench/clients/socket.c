/*
 * Callers over WebSockets.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "http.h"
#include "pipeline.h"
#include "socket.h"
#include "util.h"

#define OPENING_AT_A_TIME  16       /* the server keeps only so many keys */
#define OPEN_TIMEOUT       30000    /* ms */
#define REST               100      /* ms at most, before one is reopened */
#define KEY                "\"device_key\":\""
#define KEY_LEN            40
#define MAX_TOLD           5        /* events out of order that are shown */
#define EVENT_MAX          64


enum {
    KEYING = 0,                     /* the one-time key is awaited */
    OPENING,                        /* the answer to the handshake is */
    OPEN,
    LOST,
    RESTING                         /* will be opened again */
};


typedef struct {
    cometa_timer_t     timer;       /* first: a timer is its socket */
    cometa_stream_t    stream;
    cometa_pipeline_t  pipeline;
    uint32_t           event;       /* number of the last one */
    int                state;
    char               nonce[COMETA_FRAME_NONCE + 1];
} socket_t;


static cometa_load_t             *load;
static const cometa_load_conf_t  *conf;
static cometa_net_t              *net;
static cometa_load_result_t      *result;

static socket_t                  *sockets;
static uint32_t                   opened;   /* now */
static uint64_t                   news;     /* ns: time of the last message */
static char                      *out;
static size_t                     gathered;     /* calls in it, bytes */


static unsigned long long
device_of(const socket_t *s)
{
    return (unsigned long long) s->pipeline.device;
}


static void
close_socket(socket_t *s)
{
    opened -= (s->state == OPEN);

    s->state = LOST;
    cometa_wheel_unset(&s->timer);
    cometa_stream_close(&s->stream);

    if (conf->reopen) {
        s->state = RESTING;
        cometa_wheel_set(&load->wheel, &s->timer,
                         1 + cometa_random_below(REST));
    }
}


static void
lost(socket_t *s)
{
    if (s->state == OPEN) {
        cometa_pipeline_lost(&s->pipeline);

    } else if (!conf->reopen) {
        cometa_die("a WebSocket to device %llu was lost before it was open",
                   device_of(s));
    }

    close_socket(s);
}


static int
put(socket_t *s, size_t n)
{
    return cometa_stream_send(net, &s->stream, s, out, n);
}


static int
ask_key(socket_t *s)
{
    int  n;

    n = sprintf(out, "GET /v1/applications/%.64s/devices/%llu/websocket"
                     " HTTP/1.1\r\nHost: %.255s\r\n%s%.500s%s\r\n",
                conf->app, device_of(s), net->name,
                conf->secret ? "Authorization: OAuth " : "",
                conf->secret ? conf->secret : "",
                conf->secret ? "\r\n" : "");

    return put(s, (size_t) n);
}


static void
open_socket(socket_t *s)
{
    s->state = KEYING;
    cometa_wheel_set(&load->wheel, &s->timer, OPEN_TIMEOUT);

    if (cometa_stream_open(net, &s->stream, s) != 0 || ask_key(s) != 0) {
        lost(s);
    }
}


/*
 * The steps below take the bytes they understand off the front and return
 * their number, 0 to wait for more, less to have the connection closed.
 */

static ssize_t
read_key(socket_t *s, const char *p, size_t n)
{
    int            rc;
    size_t         size;
    const char    *key;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0 || n < h.head + h.length) {
        return rc < 0 ? -1 : 0;
    }

    key = memmem(p + h.head, h.length, KEY, strlen(KEY));

    if (h.status != 200 || key == NULL) {

        if (conf->reopen) {
            return -1;
        }

        cometa_die("no key for device %llu: %.*s",
                   device_of(s),
                   (int) (h.head + h.length), p);
    }

    size = (size_t) sprintf(out, "GET /v1/websockets/%llu/%.*s HTTP/1.1\r\n"
                                 "Host: %.255s\r\n",
                            device_of(s), KEY_LEN,
                            key + strlen(KEY), net->name);
    size += cometa_frame_headers(out + size, s->nonce);
    size += (size_t) sprintf(out + size, "\r\n");

    s->state = OPENING;

    return put(s, size) == 0 ? (ssize_t) (h.head + h.length) : -1;
}


static ssize_t
read_consent(socket_t *s, const char *p, size_t n)
{
    int            rc;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0) {
        return rc;
    }

    if (!cometa_frame_accepted(p, h.head, s->nonce)) {

        if (conf->reopen) {
            return -1;
        }

        cometa_die("no WebSocket to device %llu: %.*s",
                   device_of(s), (int) n, p);
    }

    cometa_wheel_unset(&s->timer);
    s->state = OPEN;
    opened++;
    cometa_pipeline_open(&s->pipeline);

    return (ssize_t) h.head;
}


static int
malformed(socket_t *s, const char *p, size_t n)
{
    cometa_pipeline_malformed(&s->pipeline, p, n);

    return -1;
}


/* "event DEVICE NUMBER", numbered from 1 without a gap */

static void
on_event(socket_t *s, const char *p, size_t n)
{
    char                text[EVENT_MAX];
    unsigned            number;
    unsigned long long  device;

    if (conf->events == 0 && !conf->any_events) {
        return;
    }

    snprintf(text, sizeof(text), "%.*s", (int) n, p);

    if (sscanf(text, "event %llu %u", &device, &number) == 2
        && device == device_of(s)
        && (conf->any_events ? number > s->event : number == s->event + 1))
    {
        s->event = number;
        result->events++;
        return;
    }

    if (result->disordered++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: wrong event on a WebSocket of device %llu "
                        "after its number %u: \"%s\"\n",
                device_of(s), s->event, text);
    }
}


static int
on_answer(socket_t *s, const char *p, size_t n)
{
    if (cometa_pipeline_used(&s->pipeline) == 0) {
        return malformed(s, p, n);      /* nobody asked for it */
    }

    if (n > 8 && memcmp(p, "{\"msg\":\"", 8) == 0) {
        cometa_pipeline_error(&s->pipeline, atoi(p + 8), p, n);

    } else {
        cometa_pipeline_reply(&s->pipeline, p, n);
    }

    return 0;
}


static int
on_text(socket_t *s, const char *p, size_t n)
{
    news = cometa_now();

    if (n >= 6 && memcmp(p, "event ", 6) == 0) {
        on_event(s, p, n);
        return 0;
    }

    return on_answer(s, p, n);
}


static ssize_t
read_frame(socket_t *s, const char *p, size_t n)
{
    int             rc = 0;
    char            pong[COMETA_FRAME_HEAD + 125];
    size_t          size;
    ssize_t         used;
    cometa_frame_t  f;

    used = cometa_frame_read(p, n, &f);

    if (used <= 0) {
        return used == 0 ? 0 : malformed(s, p, n);
    }

    switch (f.type) {

    case COMETA_FRAME_TEXT:
        rc = on_text(s, f.data, f.size);
        break;

    case COMETA_FRAME_PING:
        if (f.size > 125) {
            return malformed(s, p, n);
        }

        size = cometa_frame_write(pong, COMETA_FRAME_PONG, f.data, f.size);
        rc = cometa_stream_send(net, &s->stream, s, pong, size);
        break;

    case COMETA_FRAME_CLOSE:
        return -1;

    case COMETA_FRAME_BINARY:           /* nothing of ours is */
        return malformed(s, p, n);
    }

    return rc == 0 ? used : -1;
}


static ssize_t
step(socket_t *s, const char *p, size_t n)
{
    switch (s->state) {

    case KEYING:
        return read_key(s, p, n);

    case OPENING:
        return read_consent(s, p, n);

    default:
        return read_frame(s, p, n);
    }
}


static void
on_ready(void *owner)
{
    char      *p;
    size_t     n;
    ssize_t    got, used = 0;
    socket_t  *s = owner;

    if (s->stream.fd < 0) {
        return;
    }

    if (cometa_stream_ready(net, &s->stream, s) != 0) {
        lost(s);
        return;
    }

    got = cometa_stream_read(&s->stream, &p);

    if (got < 0) {
        lost(s);
        return;
    }

    for (n = (size_t) got; n; p += used, n -= (size_t) used) {
        used = step(s, p, n);

        if (used <= 0) {
            break;
        }
    }

    if (used < 0) {
        lost(s);
        return;
    }

    if (n) {
        cometa_stream_keep(&s->stream, p, n);
    }
}


static void
on_timer(cometa_timer_t *t)
{
    socket_t  *s = (socket_t *) t;

    if (s->state == RESTING) {
        open_socket(s);
        return;
    }

    if (s->state != OPEN) {
        cometa_die("a WebSocket to device %llu was not open after %d ms",
                   device_of(s), OPEN_TIMEOUT);
    }

    if (cometa_pipeline_hung(&s->pipeline)) {
        close_socket(s);
    }
}


static void
add_call(void *owner, uint64_t number, const char *message)
{
    (void) owner;
    (void) number;

    gathered += cometa_frame_write(out + gathered, COMETA_FRAME_TEXT, message,
                                   conf->size);
}


static void
send_calls(void *owner)
{
    size_t  n = gathered;

    gathered = 0;

    if (put(owner, n) != 0) {
        lost(owner);
    }
}


static int
is_busy(void)
{
    uint64_t  expected, got;

    if (cometa_pipelines_busy()) {
        return 1;
    }

    expected = (uint64_t) conf->callers * conf->events;
    got = result->events + result->disordered;
    result->missed = expected > got ? expected - got : 0;

    return result->missed && !*load->stop
           && cometa_now() - news < (uint64_t) (conf->watchdog * 1e9);
}


static void
open_all(void)
{
    uint32_t  begun = 0;

    while (opened < conf->callers && !*load->stop) {

        while (begun < conf->callers && begun - opened < OPENING_AT_A_TIME) {
            open_socket(&sockets[begun++]);
        }

        cometa_load_turn(load, COMETA_WHEEL_TICK * 1000000ull);
    }

    news = cometa_now();

    printf("open %u\n", opened);
    fflush(stdout);
}


static void
make_sockets(void)
{
    uint32_t                            i;
    static const cometa_pipeline_way_t  way = {
        .call = add_call,
        .flush = send_calls
    };

    cometa_pipelines_init(load, &way);
    sockets = cometa_alloc(conf->callers * sizeof(socket_t));

    for (i = 0; i < conf->callers; i++) {
        cometa_pipeline_init(&sockets[i].pipeline, i, &sockets[i],
                             &sockets[i].timer);
        sockets[i].stream.fd = -1;
    }
}


const cometa_load_way_t *
cometa_sockets(cometa_load_t *l)
{
    static const cometa_load_way_t  way = {
        .open = open_all,
        .start = cometa_pipelines_start,
        .busy = is_busy,
        .event = on_ready,
        .timer = on_timer
    };

    load = l;
    conf = l->conf;
    net = l->net;
    result = l->result;

    /* room for the calls of one WebSocket, or for a request */

    out = cometa_alloc(conf->outstanding * (conf->size + COMETA_FRAME_HEAD)
                       + 4096);
    make_sockets();

    return &way;
}
