/*
 * cb-channel: channels of an application. Checks that every event of every
 * device comes once and in order, calls devices over the channels, and checks
 * the replies.
 */

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "frame.h"
#include "histogram.h"
#include "http.h"
#include "options.h"
#include "process.h"
#include "util.h"

#define KEY         "\"channel_key\":\""
#define KEY_LEN     40
#define CALLS       65536       /* under way at a time */
#define TURN        1           /* ms */
#define SILENCE     10e9        /* ns, then what is missing is lost */
#define MAX_TOLD    5           /* faults that are shown */
#define BATCH       64          /* events of epoll in one turn */

static const char  usage[] =
    "usage: cb-channel [OPTION]...\n"
    "Opens channels, each to a part of the devices, by the beginning of\n"
    "their ids. Prints \"open N\" when all are open, and a report when all\n"
    "events and replies have come, or nothing more comes for 10 seconds.\n"
    "\n"
    COMETA_COMMON_USAGE
    "  --channels N          how many (1): ids of the devices of each begin\n"
    "                        with a number of its own, of the first one with\n"
    "  --prefix P            P, which may be left out if there is one channel\n"
    "  --events N            each device pushes events 1 to N, as cb-devices\n"
    "                        does\n"
    "  --calls N             calls in all, to devices at random\n"
    "  --rate R              calls per second (1000)\n"
    "\n"
    "Exit status: 0, 1 if anything was wrong, lost or out of order, 3 if the\n"
    "run itself failed.\n";


enum {
    KEYING = 0,                     /* the one-time key is awaited */
    OPENING,                        /* the answer to the handshake is */
    OPEN
};


typedef struct {
    cometa_stream_t   stream;
    int               state;
    uint64_t          prefix;
    char              nonce[COMETA_FRAME_NONCE + 1];
} channel_t;


typedef struct {
    uint64_t          number;       /* 0: none */
    uint64_t          device;
    uint64_t          due;          /* ns */
} call_t;


static struct {
    const char       *app;
    const char       *secret;
    uint64_t          first;
    uint32_t          devices;
    uint32_t          response_size;
    uint64_t          worker;
    uint32_t          channels;
    uint64_t          prefix;
    uint32_t          events;
    uint64_t          calls;
    double            rate;
} conf = {
    .app = "app", .first = 1, .devices = 1, .channels = 1, .rate = 1000
};


static struct {
    uint64_t          calls;
    uint64_t          right;
    uint64_t          wrong;        /* an error, or not its reply */
    uint64_t          unsent;       /* too many were under way */
    uint64_t          events;
    uint64_t          disordered;
    uint64_t          lost;         /* channels */
    uint64_t          begun;        /* ns */
    uint64_t          end;
} result;


static cometa_target_t       target = COMETA_TARGET_INIT;

static const cometa_option_t  options[] = {
    COMETA_COMMON_OPTIONS(target, conf),
    { "channels", .u32 = &conf.channels, .min = 1, .max = 1000 },
    { "prefix", .u64 = &conf.prefix, .min = 1, .max = 1e18 },
    { "events", .u32 = &conf.events, .max = 1e9 },
    { "calls", .u64 = &conf.calls, .max = 1e12 },
    { "rate", .real = &conf.rate, .min = 0.001, .max = 1e9 },
    { .name = NULL }
};

static cometa_net_t    net;
static channel_t      *channels;
static uint32_t        opened;
static uint32_t       *last;        /* number of the last event, by device */
static call_t         *calls;       /* by number, modulo CALLS */
static uint64_t        news;        /* ns: time of the last message */
static cometa_hist_t   latency;
static char            out[4096];


static void
fault(const char *what, const char *p, size_t n)
{
    static unsigned  told;

    if (told++ < MAX_TOLD) {
        fprintf(stderr, "cb-channel: %s: %.*s\n", what, (int) n, p);
    }
}


static void
lost(channel_t *c)
{
    if (c->state != OPEN) {
        cometa_die("a channel was lost before it was open");
    }

    result.lost++;
    cometa_stream_close(&c->stream);
}


static int
put(channel_t *c, size_t n)
{
    return cometa_stream_send(&net, &c->stream, c, out, n);
}


static void
open_channel(channel_t *c)
{
    int  n;

    n = sprintf(out, "GET /v1/applications/%.64s/channel HTTP/1.1\r\n"
                     "Host: %.255s\r\n%s%.500s%s\r\n",
                conf.app, net.name,
                conf.secret ? "Authorization: OAuth " : "",
                conf.secret ? conf.secret : "", conf.secret ? "\r\n" : "");

    if (cometa_stream_open(&net, &c->stream, c) != 0
        || put(c, (size_t) n) != 0)
    {
        lost(c);
    }
}


/*
 * The steps below take the bytes they understand off the front and return
 * their number, 0 to wait for more, less to have the connection closed.
 */

static ssize_t
read_key(channel_t *c, const char *p, size_t n)
{
    int             rc;
    char            filter[64];
    size_t          size;
    const char     *key;
    cometa_http_t   h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0 || n < h.head + h.length) {
        return rc < 0 ? -1 : 0;
    }

    key = memmem(p + h.head, h.length, KEY, strlen(KEY));

    if (h.status != 200 || key == NULL) {
        cometa_die("no key: %.*s", (int) (h.head + h.length), p);
    }

    filter[0] = '\0';

    if (conf.prefix) {
        sprintf(filter, "&prefix=%llu", (unsigned long long) c->prefix);
    }

    size = (size_t) sprintf(out, "GET /v1/channels/%.*s?events=data%s"
                                 " HTTP/1.1\r\nHost: %.255s\r\n"
                                 "Sec-WebSocket-Protocol: cometa.json.v1\r\n",
                            KEY_LEN, key + strlen(KEY), filter, net.name);
    size += cometa_frame_headers(out + size, c->nonce);
    size += (size_t) sprintf(out + size, "\r\n");

    c->state = OPENING;

    return put(c, size) == 0 ? (ssize_t) (h.head + h.length) : -1;
}


static ssize_t
read_consent(channel_t *c, const char *p, size_t n)
{
    int             rc;
    cometa_http_t   h;

    rc = cometa_http_head(p, n, &h);

    if (rc <= 0) {
        return rc;
    }

    if (!cometa_frame_accepted(p, h.head, c->nonce)) {
        cometa_die("no channel: %.*s", (int) n, p);
    }

    c->state = OPEN;
    opened++;

    return (ssize_t) h.head;
}


/* The value of a member, behind its quote if it is a string; NULL: none. */

static const char *
member(const char *p, size_t n, const char *name)
{
    const char  *value;

    value = memmem(p, n, name, strlen(name));

    return value ? value + strlen(name) : NULL;
}


static void
on_event(const char *p, size_t n)
{
    uint64_t     device;
    const char  *id, *seq;

    id = member(p, n, "\"device\":\"");
    seq = member(p, n, "\"seq\":");
    device = id ? strtoull(id, NULL, 10) - conf.first : conf.devices;

    if (seq == NULL || device >= conf.devices
        || strtoul(seq, NULL, 10) != last[device] + 1)
    {
        result.disordered++;
        fault("not the next event", p, n);
        return;
    }

    last[device]++;
    result.events++;
}


/* The reply is the message: "NUMBER DEVICE". */

static void
on_reply(const char *p, size_t n)
{
    call_t       *call;
    uint64_t      number;
    const char   *name, *reply;
    char          text[64];

    name = member(p, n, "\"call\":");
    reply = member(p, n, "\"reply\":\"");
    number = name ? strtoull(name, NULL, 10) : 0;
    call = &calls[number % CALLS];

    if (number == 0 || call->number != number) {
        result.wrong++;
        fault("no such call", p, n);
        return;
    }

    call->number = 0;

    sprintf(text, "%llu %llu\"", (unsigned long long) number,
            (unsigned long long) call->device);

    if (reply == NULL || strncmp(reply, text, strlen(text)) != 0) {
        result.wrong++;
        fault("not its reply", p, n);
        return;
    }

    result.right++;
    cometa_hist_add(&latency, cometa_now() - call->due);
}


static ssize_t
read_frame(channel_t *c, const char *p, size_t n)
{
    char             text[COMETA_FRAME_HEAD + 125];
    size_t           size;
    ssize_t          used;
    cometa_frame_t   f;

    used = cometa_frame_read(p, n, &f);

    if (used <= 0) {
        return used;
    }

    if (f.type == COMETA_FRAME_CLOSE) {
        fault("closed", f.data + 2, f.size > 2 ? f.size - 2 : 0);
        return -1;
    }

    if (f.type == COMETA_FRAME_PING && f.size <= 125) {
        size = cometa_frame_write(text, COMETA_FRAME_PONG, f.data, f.size);

        if (cometa_stream_send(&net, &c->stream, c, text, size) != 0) {
            return -1;
        }
    }

    if (f.type == COMETA_FRAME_TEXT) {
        news = cometa_now();

        if (f.size > 9 && memcmp(f.data, "{\"event\":", 9) == 0) {
            on_event(f.data, f.size);

        } else {
            on_reply(f.data, f.size);
        }
    }

    return used;
}


static ssize_t
step(channel_t *c, const char *p, size_t n)
{
    return (c->state == KEYING) ? read_key(c, p, n)
           : (c->state == OPENING) ? read_consent(c, p, n)
           : read_frame(c, p, n);
}


static void
on_ready(channel_t *c)
{
    char     *p;
    size_t    n;
    ssize_t   got, used = 0;

    if (c->stream.fd < 0) {
        return;
    }

    got = cometa_stream_ready(&net, &c->stream, c) == 0
          ? cometa_stream_read(&c->stream, &p) : -1;

    if (got < 0) {
        lost(c);
        return;
    }

    for (n = (size_t) got; n; p += used, n -= (size_t) used) {
        used = step(c, p, n);

        if (used <= 0) {
            break;
        }
    }

    if (used < 0) {
        lost(c);

    } else if (n) {
        cometa_stream_keep(&c->stream, p, n);
    }
}


static void
turn(int ms)
{
    int                  i, n;
    struct epoll_event   events[BATCH];

    n = epoll_wait(net.epoll, events, BATCH, ms);

    for (i = 0; i < n; i++) {
        on_ready(events[i].data.ptr);
    }
}


/* All calls that are due by now. */

static void
make_calls(void)
{
    char         text[160];
    int          n;
    call_t      *call;
    uint64_t     due;
    channel_t   *c;

    due = (uint64_t) ((double) (cometa_now() - result.begun) / 1e9
                      * conf.rate);

    if (due > conf.calls) {
        due = conf.calls;
    }

    while (result.calls < due) {
        c = &channels[result.calls % conf.channels];
        call = &calls[++result.calls % CALLS];

        if (call->number || c->stream.fd < 0) {
            result.unsent++;
            continue;
        }

        call->number = result.calls;
        call->device = conf.first + cometa_random_below(conf.devices);
        call->due = result.begun
                    + (uint64_t) ((double) result.calls / conf.rate * 1e9);

        n = sprintf(text, "{\"call\":%llu,\"device\":\"%llu\","
                          "\"message\":\"%llu %llu\"}",
                    (unsigned long long) call->number,
                    (unsigned long long) call->device,
                    (unsigned long long) call->number,
                    (unsigned long long) call->device);

        if (put(c, cometa_frame_write(out, COMETA_FRAME_TEXT, text,
                                      (size_t) n))
            != 0)
        {
            lost(c);
        }
    }
}


static int
is_busy(void)
{
    uint64_t  heard;

    heard = result.events + result.disordered;

    if (result.calls == conf.calls
        && result.right + result.wrong + result.unsent == result.calls
        && heard >= (uint64_t) conf.devices * conf.events)
    {
        return 0;
    }

    return !cometa_stop && (double) (cometa_now() - news) < SILENCE;
}


static void
report(void)
{
    uint64_t  missed;
    double    seconds;

    missed = (uint64_t) conf.devices * conf.events;
    missed = missed > result.events ? missed - result.events : 0;
    seconds = (double) (result.end - result.begun) / 1e9;

    printf("{\"calls\":%llu,\"right\":%llu,\"wrong\":%llu,\"unsent\":%llu,"
           "\"events\":%llu,\"disordered\":%llu,\"missed\":%llu,"
           "\"lost\":%llu,\"seconds\":%.3f,\"rate\":%.1f,"
           "\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n",
           (unsigned long long) result.calls,
           (unsigned long long) result.right,
           (unsigned long long) result.wrong,
           (unsigned long long) result.unsent,
           (unsigned long long) result.events,
           (unsigned long long) result.disordered,
           (unsigned long long) missed,
           (unsigned long long) result.lost, seconds,
           (double) result.right / seconds,
           (double) cometa_hist_percentile(&latency, 50) / 1000,
           (double) cometa_hist_percentile(&latency, 99) / 1000,
           (double) latency.max / 1000);

    exit(missed || result.disordered || result.wrong || result.unsent
         || result.lost ? 1 : 0);
}


int
main(int argc, char **argv)
{
    uint32_t  i;

    cometa_options_read(argc, argv, usage, options);

    if (conf.channels > 1 && conf.prefix == 0) {
        cometa_die("--channels needs --prefix");
    }

    cometa_process_start(&net, &target, conf.channels, "channels");

    channels = cometa_alloc(conf.channels * sizeof(channel_t));
    last = cometa_alloc(conf.devices * sizeof(uint32_t));
    calls = cometa_alloc(CALLS * sizeof(call_t));

    for (i = 0; i < conf.channels; i++) {
        channels[i].stream.fd = -1;
        channels[i].prefix = conf.prefix + i;
        open_channel(&channels[i]);
    }

    while (opened < conf.channels && !cometa_stop) {
        turn(100);
    }

    printf("open %u\n", opened);
    fflush(stdout);

    result.begun = news = cometa_now();

    while (is_busy()) {
        make_calls();
        turn(TURN);
    }

    result.end = cometa_now();
    report();
}
