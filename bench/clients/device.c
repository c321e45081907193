/*
 * The devices of one process.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "device.h"
#include "http.h"
#include "memory.h"
#include "util.h"
#include "wheel.h"

#define ATTACH_TIMEOUT  30000   /* ms */
#define BACKOFF_MAX     60000   /* ms */
#define EVENTS          256     /* of epoll */
#define PUSHES          256     /* events pushed in one turn */
#define IDLE_WAIT       50      /* ms, when all devices are attached */
#define BATCH           16384   /* bytes of answers that leave together */

#define BEGIN_ANEW      -2      /* of a step: not a failure, no backoff */


enum {
    CLOSED = 0,
    ASKING,                     /* which worker has this connection? */
    ATTACHING,                  /* the head of the answer is awaited */
    GREETING,                   /* its first chunk is awaited */
    ATTACHED
};


typedef struct device_s  device_t;

struct device_s {
    cometa_timer_t    timer;    /* first: a timer is its device */
    cometa_stream_t   stream;
    cometa_buf_t     *held;     /* an answer that will be late */
    device_t         *free;     /* of a ghost that is not in use */
    uint32_t          id;
    uint32_t          last;     /* hash of the last message */
    uint32_t          event;    /* number of the last one */
    uint8_t           state;
    uint8_t           tries;
    uint8_t           owed;     /* messages that are not answered yet */
    uint8_t           pipelining:1;
    uint8_t           mute:1;   /* answers nothing any more */
    uint8_t           leaving:1;
    uint8_t           ghost:1;  /* the old connection of one elsewhere */
};


static const cometa_devices_conf_t  *conf;
static cometa_net_t                 *net;
static cometa_device_counts_t       *counts;
static device_t                     *ghosts;        /* those not in use */
static uint32_t                      under_way;
static cometa_wheel_t                wheel;
static char                          frame[2 * COMETA_STREAM_MAX];
static char                          batch[BATCH];  /* answers of a turn */
static size_t                        batched;


static void
wait_ms(device_t *d, uint64_t ms)
{
    cometa_wheel_set(&wheel, &d->timer, ms);
}


static int
put(device_t *d, size_t n)
{
    return cometa_stream_send(net, &d->stream, d, frame, n);
}


/* full jitter: anything from nothing to the backoff, which doubles */

static void
begin_later(device_t *d)
{
    uint64_t  ms = (uint64_t) conf->backoff << (d->tries < 16 ? d->tries : 16);

    if (ms > BACKOFF_MAX) {
        ms = BACKOFF_MAX;
    }

    wait_ms(d, cometa_random_below((uint32_t) ms + 1));
}


static void
forget(device_t *d)
{
    free(d->held);
    cometa_wheel_unset(&d->timer);

    d->held = NULL;
    d->owed = 0;
    d->mute = 0;
    d->leaving = 0;
    d->state = CLOSED;
}


/* the connection is closed; what comes next depends on how far it got */

static void
lost(device_t *d)
{
    int  state = d->state;

    cometa_stream_close(&d->stream);
    forget(d);

    if (d->ghost) {
        d->free = ghosts;
        ghosts = d;
        return;
    }

    if (state == ATTACHED) {
        counts->attached--;
        counts->dropped++;

    } else {
        under_way--;
        counts->failed++;
        d->tries += d->tries < 255;
    }

    begin_later(d);
}


static size_t
attach_request(device_t *d)
{
    int   n;
    char  wanted[64] = "";

    d->pipelining = conf->pipeline > 1 && cometa_chance(conf->pipelining);

    if (d->pipelining) {
        snprintf(wanted, sizeof(wanted), "Cometa-Pipeline: %u\r\n",
                 conf->pipeline);
    }

    n = snprintf(frame, sizeof(frame),
                 "POST /v1/applications/%s/devices/%llu HTTP/1.1\r\n"
                 "Host: %s\r\n"
                 "%s%s%s%s"
                 "Content-Length: 10\r\n\r\n"
                 "cb-devices",
                 conf->app, (unsigned long long) conf->first + d->id,
                 net->name,
                 conf->secret ? "Authorization: OAuth " : "",
                 conf->secret ? conf->secret : "",
                 conf->secret ? "\r\n" : "", wanted);

    return (size_t) n;
}


static size_t
worker_request(void)
{
    return (size_t) snprintf(frame, sizeof(frame),
                             "GET /worker HTTP/1.1\r\nHost: %s\r\n\r\n",
                             net->name);
}


static void
begin(device_t *d)
{
    if (under_way >= conf->concurrency) {
        wait_ms(d, 1 + cometa_random_below(50));
        return;
    }

    under_way++;
    d->state = conf->worker ? ASKING : ATTACHING;

    if (cometa_stream_open(net, &d->stream, d) != 0
        || put(d, conf->worker ? worker_request() : attach_request(d)) != 0)
    {
        lost(d);
        return;
    }

    wait_ms(d, ATTACH_TIMEOUT);
}


/*
 * The steps below take the bytes they understand off the front and return
 * their number, 0 to wait for more, less to have the connection closed.
 */

static ssize_t
read_worker(device_t *d, const char *p, size_t n)
{
    int            rc;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0 || h.head + h.length > n) {
        return rc < 0 ? -1 : 0;
    }

    if (h.status != 200 || h.close) {
        cometa_die("GET /worker: no process id in the answer");
    }

    if (strtoull(p + h.head, NULL, 10) != conf->worker) {
        counts->wrong_worker++;
        return BEGIN_ANEW;
    }

    d->state = ATTACHING;

    return put(d, attach_request(d)) == 0 ? (ssize_t) (h.head + h.length) : -1;
}


/* what was asked for, all of it, and nothing that was not */

static int
is_granted(device_t *d, const char *p, size_t n)
{
    char         line[64];
    const char  *name = "\r\nCometa-Pipeline:";

    if (!d->pipelining) {
        return memmem(p, n, name, strlen(name)) == NULL;
    }

    snprintf(line, sizeof(line), "%s %u\r\n", name, conf->pipeline);

    return memmem(p, n, line, strlen(line)) != NULL;
}


static ssize_t
read_head(device_t *d, const char *p, size_t n)
{
    int            rc;
    static int     told;
    cometa_http_t  h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0) {
        return rc;
    }

    if (h.status != 200 || !h.chunked) {
        if (!told) {
            told = 1;
            fprintf(stderr, "cb-devices: device %llu refused with %d: %.*s\n",
                    (unsigned long long) conf->first + d->id, h.status,
                    (int) (n - h.head), p + h.head);
        }

        return -1;
    }

    if (!is_granted(d, p, h.head)) {
        cometa_die("the server does not grant --pipeline %u", conf->pipeline);
    }

    d->state = GREETING;

    return (ssize_t) h.head;
}


/* a server's chunks are strict: hex, CRLF, data, CRLF, no extension */

static ssize_t
read_chunk(const char *p, size_t n, const char **data, size_t *size)
{
    char    *end;
    size_t   line;

    end = memchr(p, '\n', n < 10 ? n : 10);

    if (end == NULL) {
        return n < 10 ? 0 : -1;
    }

    line = (size_t) (end + 1 - p);

    if (line < 3 || end[-1] != '\r') {
        return -1;
    }

    *size = strtoul(p, &end, 16);

    if (end != p + line - 2 || *size > COMETA_STREAM_MAX - 64) {
        return -1;
    }

    if (n < line + *size + 2) {
        return 0;
    }

    if (memcmp(p + line + *size, "\r\n", 2) != 0) {
        return -1;
    }

    *data = p + line;

    return (ssize_t) (line + *size + 2);
}


static size_t
answer_size(size_t n)
{
    return conf->response_size ? conf->response_size : n;
}


/* the answer repeats the message up to the size: callers can check it all */

static size_t
answer_frame(const char *message, size_t n)
{
    size_t  i, head, size;

    size = answer_size(n);
    head = (size_t) sprintf(frame, "%zx\r\n", size);

    for (i = 0; i + n <= size; i += n) {
        memcpy(frame + head + i, message, n);
    }

    memcpy(frame + head + i, message, size - i);
    memcpy(frame + head + size, "\r\n", 2);

    return head + size + 2;
}


/* answers of one turn leave together if the device takes several messages */

static int
flush(device_t *d)
{
    size_t  n = batched;

    batched = 0;

    return n ? cometa_stream_send(net, &d->stream, d, batch, n) : 0;
}


static int
answer(device_t *d, size_t n)
{
    d->owed--;

    if (!d->pipelining || n > BATCH) {
        return flush(d) == 0 ? put(d, n) : -1;
    }

    if (batched + n > BATCH && flush(d) != 0) {
        return -1;
    }

    memcpy(batch + batched, frame, n);
    batched += n;

    return 0;
}


/* behind one that is late all others are, for they keep their order */

static int
answer_later(device_t *d, size_t n)
{
    if (d->held == NULL) {
        counts->late++;
        wait_ms(d, cometa_random_below(conf->late_max + 1));
    }

    if (cometa_buf_add(&d->held, frame, n) != 0) {
        cometa_die("no memory");
    }

    return 0;
}


/*
 * The two answers go out in one piece. So both have arrived when the server
 * reads the first, and the second cannot be meant for any later message: it
 * must never be taken for the reply to one.
 */

static int
answer_twice(device_t *d, size_t n, size_t size)
{
    counts->twice++;
    counts->bytes_up += size;
    memcpy(frame + n, frame, n);

    return answer(d, 2 * n);
}


static int
quit(device_t *d, size_t n)
{
    counts->quit++;

    switch (cometa_random_below(3)) {

    case 0:
        flush(d);
        put(d, n / 2);                  /* in the middle of an answer */
        return -1;

    case 1:
        cometa_stream_reset(&d->stream);
        return -1;

    default:
        return -1;
    }
}


static void
check_message(device_t *d, const char *p, size_t n)
{
    size_t    i;
    uint32_t  hash = 2166136261u;

    for (i = 0; i < n; i++) {
        hash = (hash ^ (unsigned char) p[i]) * 16777619u;
    }

    counts->overruns += d->owed >= (d->pipelining ? conf->pipeline : 1);
    counts->repeated += (hash == d->last);
    d->last = hash;
}


static int
push_event(device_t *d)
{
    int   n;
    char  text[64];

    n = sprintf(text, "\007event %llu %u",
                (unsigned long long) conf->first + d->id, ++d->event);
    n = sprintf(frame, "%x\r\n%s\r\n", (unsigned) n, text);

    counts->events++;

    return put(d, (size_t) n);
}


static int
on_message(device_t *d, const char *p, size_t size)
{
    size_t  n;

    counts->messages++;
    counts->bytes_down += size;

    check_message(d, p, size);
    d->owed++;

    if (d->mute) {
        return 0;
    }

    if (!d->ghost && cometa_chance(conf->eventful) && push_event(d) != 0) {
        return -1;
    }

    n = answer_frame(p, size);

    if (cometa_chance(conf->quit)) {
        return quit(d, n);
    }

    if (ghosts && cometa_chance(conf->elsewhere)) {
        d->leaving = !d->ghost;
    }

    if (cometa_chance(conf->silent)) {
        counts->silent++;
        d->mute = d->pipelining;
        return 0;
    }

    counts->bytes_up += answer_size(size);

    if (d->pipelining ? d->held || cometa_chance(conf->late)
                      : cometa_chance(conf->late) && d->held == NULL)
    {
        return answer_later(d, n);
    }

    if (!d->pipelining && cometa_chance(conf->twice)) {
        return answer_twice(d, n, answer_size(size));
    }

    return answer(d, n);
}


static int
on_greeting(device_t *d, const char *p, size_t n)
{
    if (n < 12 || memcmp(p, "{\"msg\":\"200\"", 12) != 0) {
        counts->malformed++;
        return -1;
    }

    under_way--;
    counts->attached++;
    counts->attaches++;
    counts->pipelined += d->pipelining;
    counts->resumed += d->stream.ssl && SSL_session_reused(d->stream.ssl);
    d->state = ATTACHED;
    d->tries = 0;

    /* the first heartbeat at any time, so that they spread */

    wait_ms(d, cometa_random_below(conf->heartbeat * 1000 + 1));

    return 0;
}


static ssize_t
read_message(device_t *d, const char *p, size_t n)
{
    int          rc;
    size_t       size;
    ssize_t      used;
    const char  *data;

    used = read_chunk(p, n, &data, &size);

    if (used <= 0) {
        counts->malformed += (used < 0);
        return used;
    }

    if (size == 0) {
        return -1;                      /* an orderly close */
    }

    rc = d->state == GREETING ? on_greeting(d, data, size)
                              : on_message(d, data, size);

    return rc == 0 ? used : -1;
}


static ssize_t
step(device_t *d, const char *p, size_t n)
{
    switch (d->state) {

    case ASKING:
        return read_worker(d, p, n);

    case ATTACHING:
        return read_head(d, p, n);

    default:
        return read_message(d, p, n);
    }
}


/* the connection lives on as a ghost's while its device attaches anew */

static void
go_elsewhere(device_t *d)
{
    device_t  *g = ghosts;

    if (g == NULL) {
        return;
    }

    ghosts = g->free;
    counts->elsewhere++;
    counts->attached--;

    g->id = d->id;
    g->last = d->last;
    g->state = ATTACHED;
    g->owed = d->owed;
    g->pipelining = d->pipelining;
    g->mute = d->mute;
    g->held = d->held;
    d->held = NULL;

    wait_ms(g, g->held ? cometa_random_below(conf->late_max + 1)
                       : conf->heartbeat * 1000);

    if (cometa_stream_move(net, &d->stream, &g->stream, g) != 0) {
        lost(g);
    }

    forget(d);
    begin(d);
}


/* another connection from another port may reach the wanted worker */

static void
begin_anew(device_t *d)
{
    cometa_stream_close(&d->stream);
    forget(d);
    under_way--;
    begin(d);
}


static void
on_event(device_t *d)
{
    char     *p;
    size_t    n;
    ssize_t   got, used = 0;

    if (d->stream.fd < 0) {
        return;
    }

    if (cometa_stream_ready(net, &d->stream, d) != 0) {
        lost(d);
        return;
    }

    got = cometa_stream_read(&d->stream, &p);

    if (got < 0) {
        lost(d);
        return;
    }

    for (n = (size_t) got; n; p += used, n -= (size_t) used) {
        used = step(d, p, n);

        if (used <= 0) {
            break;
        }
    }

    if (used == BEGIN_ANEW) {
        begin_anew(d);
        return;
    }

    if (used < 0 || flush(d) != 0) {
        batched = 0;
        lost(d);
        return;
    }

    cometa_stream_keep(&d->stream, p, n);

    if (conf->park && d->state == ATTACHED) {
        counts->parked += cometa_stream_park(&d->stream) == 0;
    }

    if (d->leaving) {
        d->leaving = 0;
        go_elsewhere(d);
    }
}


/* all that were held; each of them is owed no more */

static int
answer_late(device_t *d)
{
    int  rc;

    rc = cometa_stream_send(net, &d->stream, d, d->held->data, d->held->size);

    free(d->held);
    d->held = NULL;
    d->owed = 0;

    return rc;
}


static int
heartbeat(device_t *d)
{
    counts->heartbeats++;
    memcpy(frame, "1\r\n\006\r\n", 6);

    return put(d, 6);
}


static void
on_timer(cometa_timer_t *t)
{
    device_t  *d = (device_t *) t;

    if (d->state == CLOSED) {
        begin(d);
        return;
    }

    if (d->state != ATTACHED
        || (d->held ? answer_late(d) : heartbeat(d)) != 0)
    {
        lost(d);
        return;
    }

    wait_ms(d, conf->heartbeat * 1000);
}


/* a device that is not attached is waited for: no number is left out */

static int
push_next(device_t *d)
{
    if (d->state != ATTACHED) {
        return -1;
    }

    if (push_event(d) != 0) {
        lost(d);
    }

    return 0;
}


/* devices take turns, each numbers its events from 1 */

static void
push_events(device_t *devices)
{
    uint64_t         due, end;
    static uint64_t  start;

    if (start == 0) {
        start = cometa_now();
    }

    due = (uint64_t) conf->devices * conf->events;
    end = counts->events + PUSHES;

    if (conf->event_rate > 0) {
        end = (uint64_t) ((double) (cometa_now() - start) / 1e9
                          * conf->event_rate);
    }

    if (due > end) {
        due = end;
    }

    while (counts->events < due
           && push_next(&devices[counts->events % conf->devices]) == 0)
    {
        /* void */
    }
}


static uint32_t
allowed(uint64_t start)
{
    double  n;

    if (conf->rate == 0) {
        return conf->devices;
    }

    n = (double) (cometa_now() - start) / 1e9 * conf->rate + 1;

    return n < conf->devices ? (uint32_t) n : conf->devices;
}


static device_t *
make_devices(uint32_t n)
{
    uint32_t   i;
    device_t  *devices;

    devices = cometa_alloc(n * sizeof(device_t));

    for (i = 0; i < n; i++) {
        devices[i].id = i;
        devices[i].stream.fd = -1;

        if (i >= conf->devices) {
            devices[i].ghost = 1;
            devices[i].free = ghosts;
            ghosts = &devices[i];
        }
    }

    return devices;
}


/* without jitter, as far as "concurrency" lets them */

static void
drop_all(device_t *devices)
{
    uint32_t  i;

    counts->storms++;

    for (i = 0; i < conf->devices; i++) {
        if (devices[i].state == ATTACHED) {
            counts->attached--;
            cometa_stream_close(&devices[i].stream);
            forget(&devices[i]);
        }
    }

    for (i = 0; i < conf->devices; i++) {
        if (devices[i].state == CLOSED) {
            cometa_wheel_unset(&devices[i].timer);
            begin(&devices[i]);
        }
    }
}


/* idle, and all there for the first time */

static void
note_memory(uint64_t before)
{
    uint64_t  now;

    if (counts->memory || counts->attached < conf->devices) {
        return;
    }

    now = cometa_private_memory();
    counts->memory = now > before ? now - before : 1;
}


void
cometa_devices_run(const cometa_devices_conf_t *cf, cometa_net_t *nt,
    cometa_device_counts_t *cn, volatile sig_atomic_t *stop,
    volatile sig_atomic_t *push, volatile sig_atomic_t *storm)
{
    int                  i, n;
    uint32_t             all, started;
    uint64_t             start, before;
    device_t            *devices;
    struct epoll_event   events[EVENTS];

    conf = cf;
    net = nt;
    counts = cn;

    before = cometa_private_memory();
    all = conf->devices + (conf->elsewhere > 0 ? conf->devices / 10 + 1 : 0);
    devices = make_devices(all);
    cometa_wheel_init(&wheel);

    for (started = 0, start = cometa_now(); !*stop; /* void */ ) {

        while (started < allowed(start) && under_way < conf->concurrency) {
            begin(&devices[started++]);
        }

        n = epoll_wait(net->epoll, events, EVENTS,
                       counts->attached == conf->devices && !*push
                       ? IDLE_WAIT : COMETA_WHEEL_TICK);

        if (n < 0 && errno != EINTR) {
            cometa_die("epoll_wait: %s", strerror(errno));
        }

        for (i = 0; i < n; i++) {
            on_event(events[i].data.ptr);
        }

        cometa_wheel_run(&wheel, on_timer);
        note_memory(before);

        if (*push) {
            push_events(devices);
        }

        if (*storm) {
            *storm = 0;
            drop_all(devices);
        }
    }

    for (started = 0; started < all; started++) {
        cometa_stream_close(&devices[started].stream);
        forget(&devices[started]);
    }

    free(devices);
}
