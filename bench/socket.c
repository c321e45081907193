/*
 * Callers over WebSockets. What has become due in one turn is written to a
 * WebSocket in one piece, as the replies of one turn are read.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "http.h"
#include "socket.h"
#include "util.h"

#define OPENING_AT_A_TIME  16       /* the server keeps only so many keys */
#define OPEN_TIMEOUT       30000    /* ms */
#define KEY                "\"device_key\":\""
#define KEY_LEN            40
#define MAX_TOLD           5        /* events out of order that are shown */
#define EVENT_MAX          64


enum {
    KEYING = 0,                     /* the one-time key is awaited */
    OPENING,                        /* the answer to the handshake is */
    OPEN,
    LOST
};


typedef struct socket_s  socket_t;

typedef struct {
    uint64_t          due;          /* ns: when it should have begun */
    uint64_t          begun;
    char             *message;
} call_t;

struct socket_s {
    cometa_timer_t    timer;        /* first: a timer is its socket */
    cometa_stream_t   stream;
    socket_t         *next;         /* of those with room */
    call_t           *calls;        /* a ring: replies come in order */
    uint64_t          device;
    uint32_t          index;
    uint32_t          oldest;       /* call, in the ring */
    uint32_t          used;
    uint32_t          event;        /* number of the last one */
    int               state;
    char              nonce[COMETA_FRAME_NONCE + 1];
};


static cometa_load_t             *load;
static const cometa_load_conf_t  *conf;
static cometa_net_t              *net;
static cometa_load_result_t      *result;

static socket_t                  *sockets;
static socket_t                  *room, **room_tail;
static uint32_t                   opened;
static uint32_t                   busy;     /* calls outstanding, of all */
static uint64_t                   news;     /* ns: time of the last message */
static char                      *out;


static void
set_room(socket_t *s)
{
    s->next = NULL;
    *room_tail = s;
    room_tail = &s->next;
}


static socket_t *
get_room(void)
{
    socket_t  *s = room;

    room = s->next;

    if (room == NULL) {
        room_tail = &room;
    }

    return s;
}


static void
drop_calls(socket_t *s)
{
    busy -= s->used;
    s->used = 0;
    s->state = LOST;
    result->lost++;

    cometa_wheel_unset(&s->timer);
    cometa_stream_close(&s->stream);
}


static void
lost(socket_t *s)
{
    uint32_t  i;

    if (s->state != OPEN) {
        cometa_die("a WebSocket to device %llu was lost before it was open",
                   (unsigned long long) s->device);
    }

    for (i = 0; i < s->used; i++) {
        cometa_load_cut(load);
    }

    drop_calls(s);
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
                conf->app, (unsigned long long) s->device, net->name,
                conf->secret ? "Authorization: OAuth " : "",
                conf->secret ? conf->secret : "",
                conf->secret ? "\r\n" : "");

    return put(s, (size_t) n);
}


static void
open_socket(socket_t *s)
{
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
        cometa_die("no key for device %llu: %.*s",
                   (unsigned long long) s->device,
                   (int) (h.head + h.length), p);
    }

    size = (size_t) sprintf(out, "GET /v1/websockets/%llu/%.*s HTTP/1.1\r\n"
                                 "Host: %.255s\r\n",
                            (unsigned long long) s->device, KEY_LEN,
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
        cometa_die("no WebSocket to device %llu: %.*s",
                   (unsigned long long) s->device, (int) n, p);
    }

    cometa_wheel_unset(&s->timer);
    s->state = OPEN;
    opened++;
    set_room(s);

    return (ssize_t) h.head;
}


static int
malformed(socket_t *s, const char *p, size_t n)
{
    cometa_load_malformed(load, p, n);

    if (s->used) {
        s->used--;                      /* taken for its answer */
        s->oldest = (s->oldest + 1) % conf->outstanding;
        busy--;
    }

    return -1;
}


/* "event DEVICE NUMBER", numbered from 1 without a gap */

static void
on_event(socket_t *s, const char *p, size_t n)
{
    char                text[EVENT_MAX];
    unsigned            number;
    unsigned long long  device;

    if (conf->events == 0) {
        return;
    }

    snprintf(text, sizeof(text), "%.*s", (int) n, p);

    if (sscanf(text, "event %llu %u", &device, &number) == 2
        && device == s->device && number == s->event + 1)
    {
        s->event = number;
        result->events++;
        return;
    }

    if (result->disordered++ < MAX_TOLD) {
        fprintf(stderr, "cb-load: wrong event on a WebSocket of device %llu "
                        "after its number %u: \"%s\"\n",
                (unsigned long long) s->device, s->event, text);
    }
}


static int
on_answer(socket_t *s, const char *p, size_t n)
{
    call_t  *c = &s->calls[s->oldest];

    if (s->used == 0) {
        return malformed(s, p, n);      /* nobody asked for it */
    }

    if (n > 8 && memcmp(p, "{\"msg\":\"", 8) == 0) {
        cometa_load_error(load, atoi(p + 8), p, n);

    } else {
        cometa_load_reply(load, s->device, c->due, c->message, p, n);
    }

    if (s->used == conf->outstanding) {
        set_room(s);
    }

    s->oldest = (s->oldest + 1) % conf->outstanding;
    s->used--;
    busy--;

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
watch_oldest(socket_t *s)
{
    uint64_t  due, now = cometa_now();

    due = s->calls[s->oldest].begun + (uint64_t) (conf->watchdog * 1e9);

    if (now < due) {
        cometa_wheel_set(&load->wheel, &s->timer, (due - now) / 1000000);
        return;
    }

    result->hung += s->used;
    drop_calls(s);
}


static void
on_timer(cometa_timer_t *t)
{
    socket_t  *s = (socket_t *) t;

    if (s->state != OPEN) {
        cometa_die("a WebSocket to device %llu was not open after %d ms",
                   (unsigned long long) s->device, OPEN_TIMEOUT);
    }

    if (s->used) {
        watch_oldest(s);
    }
}


static size_t
start_call(socket_t *s, uint64_t due, char *p)
{
    call_t  *c;

    c = &s->calls[(s->oldest + s->used) % conf->outstanding];
    c->due = due;
    c->begun = cometa_now();

    s->used++;
    busy++;

    cometa_load_call(load, s->index, c->message);

    return cometa_frame_write(p, COMETA_FRAME_TEXT, c->message, conf->size);
}


static void
start_calls_of(socket_t *s)
{
    size_t    n = 0;
    uint64_t  due;

    while (s->used < conf->outstanding && busy < conf->concurrency
           && cometa_load_due(load, &due))
    {
        n += start_call(s, due, out + n);
    }

    if (n == 0) {
        return;
    }

    if (s->timer.prev == NULL) {
        cometa_wheel_set(&load->wheel, &s->timer,
                         (uint64_t) (conf->watchdog * 1000));
    }

    if (put(s, n) != 0) {
        lost(s);
    }
}


static void
start_calls(void)
{
    socket_t  *s;

    if (result->lost == conf->callers) {
        cometa_die("all WebSockets were lost");
    }

    while (room) {
        s = get_room();

        if (s->state != OPEN) {
            continue;
        }

        start_calls_of(s);

        if (s->state == OPEN && s->used < conf->outstanding) {
            set_room(s);                /* nothing more is due */
            return;
        }
    }
}


static int
is_busy(void)
{
    uint64_t  expected, got;

    if (busy) {
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
    char      *messages;
    call_t    *calls;
    uint32_t   i;
    uint64_t   k, n = (uint64_t) conf->callers * conf->outstanding;

    sockets = cometa_alloc(conf->callers * sizeof(socket_t));
    calls = cometa_alloc(n * sizeof(call_t));
    messages = cometa_alloc(n * conf->size);
    room_tail = &room;

    for (k = 0; k < n; k++) {
        calls[k].message = messages + k * conf->size;
    }

    for (i = 0; i < conf->callers; i++) {
        sockets[i].index = i;
        sockets[i].device = cometa_load_device(load, i);
        sockets[i].stream.fd = -1;
        sockets[i].calls = calls + (size_t) i * conf->outstanding;
    }
}


const cometa_load_way_t *
cometa_sockets(cometa_load_t *l)
{
    static const cometa_load_way_t  way = {
        .open = open_all,
        .start = start_calls,
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
